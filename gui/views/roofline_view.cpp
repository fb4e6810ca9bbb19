#include "gui/views/roofline_view.h"

#include <fmt/format.h>

#include <QHBoxLayout>
#include <QSplitter>
#include <QVBoxLayout>
#include <algorithm>
#include <cmath>
#include <map>

#include "datasets/quantity.h"
#include "gui/model/palette.h"
#include "gui/theme.h"

namespace assay::gui {
namespace {

QString intensity_text(double intensity) {
  return text_of(intensity >= 100 ? fmt::format("{:.0f} FLOP/B", intensity) : fmt::format("{:.3g} FLOP/B", intensity));
}

// A roof beyond which everything is drawn alike: the lowest and the highest of the slopes say what the others would.
std::vector<Roof> telling(const std::vector<Roof>& roofs) {
  std::vector<Roof> out, slopes;
  for (const Roof& roof : roofs) (roof.memory ? slopes : out).push_back(roof);
  if (!slopes.empty()) out.push_back(slopes.front());
  if (slopes.size() > 1 && slopes.front().value > 1.1 * slopes.back().value) out.push_back(slopes.back());
  return out;
}

}  // namespace

RooflineView::RooflineView(Session& session, QWidget* parent)
    : View(session, QStringLiteral("roofline"), tr("Roofline"), parent) {
  auto* layout = page();
  summary_ = quiet_line();
  backend_ = new QComboBox;
  backend_->setAccessibleName(tr("backend"));
  connect(backend_, &QComboBox::activated, this, [this] {
    wish_ = backend_->currentText().toStdString();
    refresh();
  });
  auto* head = new QHBoxLayout;
  head->addWidget(summary_, 1);
  head->addWidget(backend_);
  layout->addLayout(head);
  auto* splitter = new QSplitter(Qt::Vertical);
  splitter->setHandleWidth(10);
  plot_ = new PlotView;
  points_ = new GridView(tr("cases under the roofs"));
  splitter->addWidget(plot_);
  splitter->addWidget(points_);
  splitter->setSizes({430, 210});
  layout->addWidget(splitter, 1);
  connect(plot_, &PlotView::point_clicked, this, [this](qint64 id) {
    this->session().select_case(id);
    points_->select_id(id);
    Q_EMIT details_wanted();
  });
  connect(points_, &GridView::row_selected, this, [this](qint64 id) {
    if (id != 0) this->session().select_case(id);
  });
  connect(points_, &GridView::row_activated, this, [this] { activate(); });
}

void RooflineView::activate() {
  if (points_->current_id() == 0) return;
  session().select_case(points_->current_id());
  Q_EMIT view_wanted(QStringLiteral("trends"));
}

void RooflineView::toggle_scale() {
  linear_ = !linear_;
  refresh();
}

QStringList RooflineView::arguments() const {
  QStringList out;
  if (!wish_.empty()) out << QStringLiteral("backend=") + text_of(wish_);
  if (linear_) out << QStringLiteral("log=0");
  return out;
}

void RooflineView::set_arguments(const QMap<QString, QString>& values) {
  wish_ = values.value(QStringLiteral("backend")).toStdString();
  linear_ = values.value(QStringLiteral("log")) == QStringLiteral("0");
}

void RooflineView::refresh() {
  const auto data = session().run();
  if (!data) return show_empty(tr("No roofs yet. A run that probes them:"), tr("assay run quick"));
  const Roofline roofline = roofline_of(*data, session().filter(), wish_);
  {
    const QSignalBlocker quiet(backend_);
    backend_->clear();
    for (const std::string& name : roofline.backends) backend_->addItem(text_of(name));
    backend_->setCurrentText(text_of(roofline.backend));
    backend_->setVisible(roofline.backends.size() > 1);
  }
  if (roofline.roofs.empty())
    return show_empty(tr("This run probed no roofs. Run it again with them:"),
                      tr("assay run %1 --roofs").arg(text_of(data->run.suite)));
  if (roofline.points.empty())
    return show_empty(
        roofline.filtered_out > 0 && roofline.without_work == 0 && roofline.elsewhere == 0
            ? tr("No case of this run matches the filter. Escape clears it.")
            : tr("%1 case(s) match, but none declares FLOPs and bytes and was timed.").arg(roofline.without_work));
  show_content();
  std::shared_ptr<const RunData> before;
  if (const auto* record = session().database()->previous(data->run))
    session().guarded([&] { before = session().database()->run(record->id); });
  QStringList words;
  words << tr("%1 roofs measured in this run, %2 cases by declared work")
               .arg(roofline.roofs.size())
               .arg(roofline.points.size());
  if (roofline.without_work > 0) words << tr("%1 not measured or without declared work").arg(roofline.without_work);
  if (roofline.elsewhere > 0) words << tr("%1 of other backends").arg(roofline.elsewhere);
  if (roofline.filtered_out > 0) words << tr("%1 filtered out").arg(roofline.filtered_out);
  if (before)
    words << tr("arrows come from where the case stood in the run before (%1)")
                 .arg(text_of(moment_text(before->run.started_ns)));
  summary_->setText(words.join(QStringLiteral(" · ")));
  show_plot(roofline, before.get());
  show_points(roofline);
}

void RooflineView::show_plot(const Roofline& roofline, const RunData* before) {
  PlotSpec spec;
  spec.x.title = tr("declared FLOPs for each declared byte (FLOP/B)");
  spec.x.unit = "1";
  spec.x.metric = "intensity";
  spec.x.log = !linear_;
  spec.y.title = tr("declared FLOPs a second  ↑ more is better");
  spec.y.unit = "FLOP/s";
  spec.y.log = !linear_;
  double low = roofline.points.front().intensity, high = low, lowest = roofline.points.front().rate.median;
  for (const RoofPoint& point : roofline.points) {
    low = std::min(low, point.intensity);
    high = std::max(high, point.intensity);
    lowest = std::min(lowest, point.rate.median);
  }
  double top = 0;
  const auto roofs = telling(roofline.roofs);
  for (const Roof& roof : roofs)
    if (!roof.memory) top = std::max(top, roof.value);
  if (top == 0)
    for (const RoofPoint& point : roofline.points) top = std::max(top, 2 * point.rate.median);
  double slope = 0;
  for (const Roof& roof : roofs)
    if (roof.memory) slope = std::max(slope, roof.value);
  const double left = slope > 0 ? std::min(low / 2, lowest / slope / 1.5) : low / 2;
  const double right = std::max(high * 2, slope > 0 ? 4 * top / slope : high * 2);
  for (const Roof& roof : roofs) {
    const QString text = QStringLiteral("%1: %2").arg(
        text_of(roof.name), text_of(datasets::format_si(roof.value, roof.memory ? "B/s" : "FLOP/s")));
    if (roof.memory)
      spec.segments.push_back({left, left * roof.value, std::min(right, top / roof.value),
                               std::min(right * roof.value, top), text, theme().dim, 1.6});
    else
      spec.segments.push_back(
          {slope > 0 ? roof.value / slope : left, roof.value, right, roof.value, text, theme().dim, 1.6});
  }
  std::map<std::pair<std::string, results_db::Provenance>, PlotSeries> series;
  for (const RoofPoint& point : roofline.points) {
    const std::string& technique = point.result->info.record.technique;
    PlotSeries& held = series[{technique, point.rate.provenance}];
    held.color = technique_color(technique);
    held.provenance = point.rate.provenance;
    held.marker = marker_shape(technique);
    held.line = false;
    held.name = text_of(point.result->info.name);
    PlotPoint drawn;
    drawn.x = point.intensity;
    drawn.y = point.rate.median;
    drawn.low = point.rate.low;
    drawn.high = point.rate.high;
    drawn.id = point.result->info.id;
    drawn.tip =
        QStringLiteral("%1\n%2\n%3 at %4%5\n%6")
            .arg(text_of(point.result->info.name), text_of(parameters_text(point.result->info)),
                 text_of(value_text(point.rate) + " (" + exact_text(point.rate) + ")"), intensity_text(point.intensity),
                 std::isfinite(point.share)
                     ? tr(", %1 of its roof").arg(text_of(value_text(point.share, "1", "roof_share")))
                     : QString(),
                 text_of(evidence_text(point.rate)));
    held.points.push_back(std::move(drawn));
    const CaseResult* old = before == nullptr ? nullptr : before->find(point.result->info.id);
    const Value* rate = old == nullptr ? nullptr : old->value("flops_rate");
    if (rate != nullptr && rate->median > 0 && rate->provenance == point.rate.provenance)
      spec.segments.push_back({point.intensity,
                               rate->median,
                               point.intensity,
                               point.rate.median,
                               {},
                               technique_color(technique),
                               1.2,
                               true});
  }
  for (auto& [key, held] : series) spec.series.push_back(std::move(held));
  plot_->show_spec(std::move(spec));
}

void RooflineView::show_points(const Roofline& roofline) {
  Grid grid;
  grid.columns = {
      {tr("technique")},       {tr("case"), false, true},       {tr("rate"), true},
      {tr("intensity"), true}, {tr("share of its roof"), true}, {tr("where it comes from"), false, false, 1}};
  auto points = roofline.points;
  std::stable_sort(points.begin(), points.end(), [](const RoofPoint& a, const RoofPoint& b) {
    return std::isfinite(a.share) && (!std::isfinite(b.share) || a.share > b.share);
  });
  std::vector<const CaseInfo*> infos;
  for (const RoofPoint& point : points) infos.push_back(&point.result->info);
  const CommonAxes common = common_by_technique(infos);
  for (const RoofPoint& point : points) {
    GridRow row;
    row.id = point.result->info.id;
    GridCell name(provenance_glyph(point.rate.provenance) + QLatin1Char(' ') + text_of(point.result->info.name));
    name.color = technique_color(point.result->info.record.technique);
    GridCell share = GridCell::number(
        std::isfinite(point.share) ? text_of(value_text(point.share, "1", "roof_share")) : QString(), point.share);
    if (point.share > 1) {
      share.color = theme().bad;
      share.tip = tr("more than the roof: the probe or the declared work is wrong");
    }
    row.cells = {name,
                 text_of(parameters_text(point.result->info, common.at(point.result->info.record.technique))),
                 GridCell::number(text_of(value_text(point.rate)), point.rate.median),
                 GridCell::number(intensity_text(point.intensity), point.intensity),
                 share,
                 text_of(evidence_text(point.rate))};
    grid.rows.push_back(std::move(row));
  }
  points_->show_grid(std::move(grid));
  if (const auto selected = session().selected_case()) points_->select_id(*selected);
}

}  // namespace assay::gui
