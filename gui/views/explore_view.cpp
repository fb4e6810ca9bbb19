#include "gui/views/explore_view.h"

#include <fmt/format.h>

#include <QGridLayout>
#include <QHBoxLayout>
#include <QVBoxLayout>
#include <algorithm>
#include <cmath>
#include <map>

#include "gui/model/palette.h"
#include "gui/theme.h"

namespace assay::gui {
namespace {

QString tip_of(const ExplorePoint& point) {
  const Value& value = point.value;
  QString tip = QStringLiteral("%1\n%2\n%3 %4")
                    .arg(text_of(point.result->info.name), text_of(parameters_text(point.result->info)),
                         text_of(metric_title(value.metric)), text_of(value_text(value)));
  if (const auto interval = interval_text(value); !interval.empty())
    tip += QStringLiteral("  (%1)").arg(text_of(interval));
  return tip + QLatin1Char('\n') + text_of(evidence_text(value));
}

void fill(QComboBox* box, const std::vector<std::string>& names, const std::string& chosen,
          const std::function<std::string(const std::string&)>& title) {
  const QSignalBlocker quiet(box);
  box->clear();
  for (const std::string& name : names) box->addItem(text_of(title(name)), text_of(name));
  box->setCurrentIndex(box->findData(text_of(chosen)));
}

// Two decades of values say nothing on a linear scale.
bool spreads(const Exploration& exploration) {
  double low = std::numeric_limits<double>::infinity(), high = 0;
  for (const auto& [point, to_best] : ranking(exploration)) {
    if (point.value.median <= 0) return false;
    low = std::min(low, point.value.median);
    high = std::max(high, point.value.median);
  }
  return high > 20 * low;
}

// The categories a panel has, the best one on top, which is last.
std::vector<std::size_t> rows_of(const Exploration& exploration, const ExplorePanel& panel) {
  std::map<std::size_t, double> best;
  for (const ExploreSeries& series : panel.series)
    for (const ExplorePoint& point : series.points) {
      const auto category = static_cast<std::size_t>(point.x);
      const double value = exploration.lower_is_better ? point.value.median : -point.value.median;
      const auto [at, is_new] = best.try_emplace(category, value);
      if (!is_new) at->second = std::min(at->second, value);
    }
  std::vector<std::size_t> rows;
  for (const auto& [category, value] : best) rows.push_back(category);
  std::stable_sort(rows.begin(), rows.end(), [&](std::size_t a, std::size_t b) { return best[a] > best[b]; });
  return rows;
}

std::pair<double, double> axis_span(const Exploration& exploration) {
  double low = std::numeric_limits<double>::infinity(), high = 0;
  for (const auto& [point, to_best] : ranking(exploration)) {
    low = std::min(low, point.x);
    high = std::max(high, point.x);
  }
  return {low, high};
}

}  // namespace

ExploreView::ExploreView(Session& session, QWidget* parent)
    : View(session, QStringLiteral("explore"), tr("Explore"), parent) {
  auto* layout = new QVBoxLayout(content());
  layout->setContentsMargins(16, 12, 16, 12);
  auto* controls = new QHBoxLayout;
  metric_ = new QComboBox;
  metric_->setAccessibleName(tr("metric"));
  metric_->setMinimumWidth(170);
  axis_ = new QComboBox;
  axis_->setAccessibleName(tr("axis"));
  axis_->setMinimumWidth(160);
  scale_ = new QPushButton(tr("log scale"));
  scale_->setCheckable(true);
  common_ = new QLabel;
  common_->setObjectName(QStringLiteral("dim"));
  common_->setWordWrap(true);
  controls->addWidget(metric_);
  controls->addWidget(new QLabel(tr("over")));
  controls->addWidget(axis_);
  controls->addWidget(scale_);
  controls->addSpacing(8);
  controls->addWidget(common_, 1);
  layout->addLayout(controls);
  auto* splitter = new QSplitter(Qt::Vertical);
  splitter->setHandleWidth(12);
  scroll_ = new QScrollArea;
  scroll_->setWidgetResizable(true);
  scroll_->setFrameShape(QFrame::NoFrame);
  auto* board = new QWidget;
  grid_ = new QGridLayout(board);
  grid_->setContentsMargins(0, 0, 0, 0);
  grid_->setSpacing(10);
  scroll_->setWidget(board);
  ranking_ = new GridView(tr("ranking"));
  splitter->addWidget(scroll_);
  splitter->addWidget(ranking_);
  splitter->setStretchFactor(0, 3);
  splitter->setStretchFactor(1, 2);
  splitter->setSizes({420, 230});
  layout->addWidget(splitter, 1);

  connect(metric_, &QComboBox::activated, this, [this] {
    wish_.metric = metric_->currentData().toString().toStdString();
    log_.reset();
    refresh();
  });
  connect(axis_, &QComboBox::activated, this, [this] {
    wish_.axis = axis_->currentData().toString().toStdString();
    refresh();
  });
  connect(scale_, &QPushButton::clicked, this, [this](bool on) {
    log_ = on;
    refresh();
  });
  connect(ranking_, &GridView::row_selected, this, [this](qint64 id) {
    if (id != 0) this->session().select_case(id);
  });
  connect(ranking_, &GridView::row_activated, this, [this] { activate(); });
}

void ExploreView::activate() {
  if (ranking_->current_id() == 0) return;
  session().select_case(ranking_->current_id());
  Q_EMIT view_wanted(QStringLiteral("trends"));
}

QStringList ExploreView::arguments() const {
  QStringList out;
  if (!wish_.metric.empty()) out << QStringLiteral("metric=") + text_of(wish_.metric);
  if (!wish_.axis.empty()) out << QStringLiteral("axis=") + text_of(wish_.axis);
  if (log_) out << (*log_ ? QStringLiteral("log=1") : QStringLiteral("log=0"));
  return out;
}

void ExploreView::set_arguments(const QMap<QString, QString>& values) {
  wish_.metric = values.value(QStringLiteral("metric")).toStdString();
  wish_.axis = values.value(QStringLiteral("axis")).toStdString();
  if (values.contains(QStringLiteral("log"))) log_ = values.value(QStringLiteral("log")) == QStringLiteral("1");
}

void ExploreView::refresh() {
  const auto data = session().run();
  if (!data) return show_empty(tr("Nothing to explore yet."), tr("assay run quick"));
  const Exploration exploration = explore(*data, session().filter(), wish_);
  if (exploration.shown == 0) {
    if (exploration.without_metric > 0)
      return show_empty(tr("%1 case(s) match, but none has a value: they failed or were skipped. Overview says why.")
                            .arg(exploration.without_metric));
    if (exploration.filtered_out > 0)
      return show_empty(
          tr("No case of this run matches the filter (%1 do not). Escape clears it.").arg(exploration.filtered_out));
    return show_empty(tr("This run measured nothing."), tr("assay run quick --db %1").arg(session().path()));
  }
  show_content();
  is_log_ = log_.value_or(spreads(exploration));
  show_controls(exploration);
  show_plots(exploration);
  show_ranking(exploration);
}

void ExploreView::show_controls(const Exploration& exploration) {
  fill(metric_, exploration.metrics, exploration.metric, metric_title);
  fill(axis_, exploration.axes, exploration.axis, axis_title);
  scale_->setChecked(is_log_);
  QString text;
  if (!exploration.common.empty()) text = tr("all: %1").arg(text_of(exploration.common));
  QStringList hidden;
  if (exploration.filtered_out > 0) hidden << tr("%1 filtered out").arg(exploration.filtered_out);
  if (exploration.without_metric > 0) hidden << tr("%1 without this value").arg(exploration.without_metric);
  if (!hidden.isEmpty())
    text += (text.isEmpty() ? QString() : QStringLiteral(" · ")) + hidden.join(QStringLiteral(", "));
  common_->setText(text);
}

PlotSpec ExploreView::spec_of(const Exploration& exploration, const ExplorePanel& panel) const {
  PlotSpec spec;
  spec.title = text_of(panel.title);
  PlotAxis values;
  values.title = text_of(metric_title(exploration.metric));
  values.unit = exploration.unit;
  values.metric = exploration.metric;
  values.log = is_log_;
  values.from_zero = !is_log_;
  PlotAxis along;
  const auto rows = exploration.numeric ? std::vector<std::size_t>() : rows_of(exploration, panel);
  along.title = text_of(axis_title(exploration.axis));
  along.kind = AxisKind::count;
  if (exploration.numeric) {
    const auto [low, high] = axis_span(exploration);
    along.log = low > 0 && high >= 4 * low;
    if (high < 1024) along.kind = AxisKind::number;
  } else {
    for (const std::size_t category : rows) along.categories.push_back(text_of(exploration.categories[category]));
  }
  // Names are read level, so categories are rows and the values run to the right.
  spec.x = exploration.numeric ? along : values;
  spec.y = exploration.numeric ? values : along;
  if (!exploration.numeric) spec.y.title.clear();
  const auto row_of = [&](double category) {
    return static_cast<double>(std::find(rows.begin(), rows.end(), static_cast<std::size_t>(category)) - rows.begin());
  };
  for (const ExploreSeries& held : panel.series) {
    PlotSeries series;
    series.name = text_of(held.name + (held.variant.empty() ? "" : ", " + held.variant));
    series.color = technique_color(held.technique);
    series.provenance = held.provenance;
    series.marker = marker_shape(held.technique);
    series.line = exploration.numeric;
    for (const ExplorePoint& point : held.points) {
      PlotPoint drawn;
      drawn.x = exploration.numeric ? point.x : point.value.median;
      drawn.y = exploration.numeric ? point.value.median : row_of(point.x);
      drawn.low = point.value.low;
      drawn.high = point.value.high;
      drawn.id = point.result->info.id;
      drawn.tip = tip_of(point);
      series.points.push_back(std::move(drawn));
    }
    spec.series.push_back(std::move(series));
  }
  return spec;
}

void ExploreView::show_plots(const Exploration& exploration) {
  panels_ = static_cast<int>(exploration.panels.size());
  while (static_cast<int>(plots_.size()) < panels_) {
    auto* plot = new PlotView;
    connect(plot, &PlotView::point_clicked, this, [this](qint64 id) {
      session().select_case(id);
      ranking_->select_id(id);
    });
    connect(plot, &PlotView::point_activated, this, [this](qint64 id) {
      session().select_case(id);
      Q_EMIT view_wanted(QStringLiteral("trends"));
    });
    plots_.push_back(plot);
  }
  place_plots();
  for (int i = 0; i < panels_; ++i)
    plots_[static_cast<std::size_t>(i)]->show_spec(
        spec_of(exploration, exploration.panels[static_cast<std::size_t>(i)]));
}

void ExploreView::place_plots() {
  const int width = std::max(300, scroll_->width());
  const int columns = panels_ <= 1 ? 1 : std::clamp(width / 460, 1, panels_ <= 4 ? 2 : 3);
  for (std::size_t i = 0; i < plots_.size(); ++i) {
    grid_->removeWidget(plots_[i]);
    const int place = static_cast<int>(i);
    plots_[i]->setVisible(place < panels_);
    plots_[i]->setMinimumHeight(panels_ <= 2 ? 200 : 180);
    if (place < panels_) grid_->addWidget(plots_[i], place / columns, place % columns);
  }
}

void ExploreView::resizeEvent(QResizeEvent* event) {
  View::resizeEvent(event);
  if (panels_ > 0) place_plots();
}

void ExploreView::show_ranking(const Exploration& exploration) {
  Grid grid;
  grid.columns = {
      {tr("technique")},          {tr("case"), false, true},    {text_of(metric_title(exploration.metric)), true},
      {tr("95% interval"), true}, {tr("times the best"), true}, {tr("where it comes from")}};
  for (const auto& [point, factor] : ranking(exploration)) {
    GridRow row;
    row.id = point.result->info.id;
    GridCell name(provenance_glyph(point.value.provenance) + QLatin1Char(' ') + text_of(point.result->info.name));
    name.color = technique_color(point.result->info.record.technique);
    name.tip = tip_of(point);
    row.cells = {
        name,
        text_of(parameters_text(point.result->info, exploration.common_axes)) +
            (exploration.one_place ? QString() : QStringLiteral(" · ") + text_of(where_text(point.result->info))),
        GridCell::number(text_of(value_text(point.value)), point.value.median),
        text_of(interval_text(point.value)),
        GridCell::number(std::isfinite(factor) ? text_of(fmt::format("{:.2f}x", factor)) : QString(), factor),
        text_of(evidence_text(point.value))};
    row.cells[1].tip = text_of(point.result->info.record.key);
    row.cells[2].strong = true;
    grid.rows.push_back(std::move(row));
  }
  ranking_->show_grid(std::move(grid));
  if (const auto selected = session().selected_case()) ranking_->select_id(*selected);
}

}  // namespace assay::gui
