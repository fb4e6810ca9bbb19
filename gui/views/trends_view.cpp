#include "gui/views/trends_view.h"

#include <fmt/format.h>

#include <QHBoxLayout>
#include <QSplitter>
#include <QVBoxLayout>
#include <cmath>

#include "gui/model/palette.h"
#include "gui/theme.h"

namespace assay::gui {
namespace {
using harness::stats::Decision;
using harness::stats::Verdict;

// More points than this are drawn as the columns of pixels they fill.
constexpr std::size_t most_points = 300;
constexpr int columns = 320;

bool is_roof(const CaseInfo& info) { return info.record.technique == "hardware/cpu-roofs"; }

QString moment(double seconds) { return text_of(moment_text(static_cast<std::int64_t>(seconds * 1e9))); }

QString decision_text(const Decision& decision, const QString& other) {
  QString words;
  switch (decision.verdict) {
    case Verdict::faster:
    case Verdict::slower:
      words = TrendsView::tr("than %1");
      break;
    case Verdict::same:
      words = TrendsView::tr("as %1");
      break;
    case Verdict::unsure:
      words = TrendsView::tr("whether it differs from %1");
      break;
  }
  QString text =
      QStringLiteral("<b style='color:%1'>%2</b> %3: %4 times its time")
          .arg(verdict_color(decision.verdict).name(), QString::fromLatin1(harness::stats::to_string(decision.verdict)),
               words.arg(other), text_of(fmt::format("{:.3f}", decision.ratio)));
  if (decision.interval.bounded() && decision.interval.high < 1e6)
    text += TrendsView::tr(" (95%: %1)")
                .arg(text_of(fmt::format("{:.3f} to {:.3f}", decision.interval.low, decision.interval.high)));
  if (!decision.reason.empty())
    text += QStringLiteral("<br><span style='color:%1'>%2</span>")
                .arg(theme().dim.name(), text_of(decision.reason).toHtmlEscaped());
  return text;
}

}  // namespace

TrendsView::TrendsView(Session& session, QWidget* parent)
    : View(session, QStringLiteral("trends"), tr("Trends"), parent) {
  auto* layout = new QVBoxLayout(content());
  layout->setContentsMargins(16, 12, 16, 12);
  auto* across = new QSplitter(Qt::Horizontal);
  across->setHandleWidth(12);
  cases_ = new GridView(tr("cases"));
  auto* right = new QWidget;
  auto* down = new QVBoxLayout(right);
  down->setContentsMargins(0, 0, 0, 0);
  title_ = new QLabel;
  title_->setObjectName(QStringLiteral("heading"));
  title_->setWordWrap(true);
  answer_ = new QLabel;
  answer_->setTextFormat(Qt::RichText);
  answer_->setWordWrap(true);
  level_ = new PlotView;
  from_before_ = new PlotView;
  from_first_ = new PlotView;
  runs_ = new GridView(tr("history"));
  auto* pair = new QHBoxLayout;
  pair->addWidget(from_before_);
  pair->addWidget(from_first_);
  down->addWidget(title_);
  down->addWidget(answer_);
  down->addWidget(level_, 4);
  down->addLayout(pair, 3);
  down->addWidget(runs_, 3);
  across->addWidget(cases_);
  across->addWidget(right);
  across->setStretchFactor(1, 1);
  across->setSizes({370, 700});
  layout->addWidget(across);
  connect(cases_, &GridView::row_selected, this, [this](qint64 id) {
    if (id == 0) return;
    this->session().select_case(id);
    this->session().guarded([this] { show_case(); });
  });
  for (PlotView* plot : {level_, from_before_, from_first_})
    connect(plot, &PlotView::point_clicked, this, [this](qint64 id) { runs_->select_id(id); });
  connect(runs_, &GridView::row_activated, this, [this] { activate(); });
}

void TrendsView::activate() {
  Database* database = session().database();
  const qint64 run = runs_->current_id();
  if (database == nullptr || run < 1 || run > static_cast<qint64>(database->runs().size())) return;
  session().choose_run(database->runs()[static_cast<std::size_t>(run - 1)].id);
}

void TrendsView::refresh() {
  const auto data = session().run();
  if (!data) return show_empty(tr("No history yet: every run adds a point."), tr("assay run quick"));
  list_cases(*data);
  if (cases_->grid().rows.empty())
    return show_empty(tr("No timed case of this run matches the filter. Escape clears it."));
  show_content();
  const auto selected = session().selected_case();
  cases_->select_id(selected.value_or(0));
  if (cases_->current_id() == 0) cases_->select_id(cases_->grid().rows.front().id);
  show_case();
}

void TrendsView::list_cases(const RunData& data) {
  Grid grid;
  grid.columns = {{tr("technique")}, {tr("case"), false, true}, {tr("time"), true}};
  std::vector<const CaseInfo*> infos;
  for (const CaseResult& result : data.cases)
    if (result.value("time") != nullptr && matches(session().filter(), result) && !is_roof(result.info))
      infos.push_back(&result.info);
  const auto common = common_axes(infos);
  for (const CaseResult& result : data.cases) {
    const Value* time = result.value("time");
    if (time == nullptr || !matches(session().filter(), result) || is_roof(result.info)) continue;
    GridRow row;
    row.id = result.info.id;
    GridCell name(text_of(result.info.name));
    name.color = technique_color(result.info.record.technique);
    row.cells = {name, text_of(parameters_text(result.info, common)),
                 GridCell::number(text_of(value_text(*time)), time->median)};
    row.cells[1].tip = text_of(result.info.record.key);
    grid.rows.push_back(std::move(row));
  }
  cases_->show_grid(std::move(grid));
}

void TrendsView::show_case() {
  const auto data = session().run();
  const CaseResult* result = data ? data->find(cases_->current_id()) : nullptr;
  if (result == nullptr) return;
  trend_ = trend_of(*session().database(), result->info, data->run.machine.id);
  title_->setText(text_of(result->info.name + ": " + parameters_text(result->info) + " on " + data->run.machine.name));
  std::size_t at = trend_.points.size();
  for (std::size_t i = 0; i < trend_.points.size(); ++i)
    if (session().database()->runs()[trend_.points[i].run].id == data->run.id) at = i;
  show_answer(*result, at);
  const double now = at < trend_.points.size() ? trend_.points[at].at : std::nan("");
  show_level(*result, now);
  show_change(from_before_, tr("change from the run before"), false, now);
  show_change(from_first_, tr("change from the first run"), true, now);
  show_runs();
}

void TrendsView::show_answer(const CaseResult& result, std::size_t at) {
  const TrendAnswer answer = judge_trend(*session().database(), result.info, trend_, at);
  QStringList lines;
  if (const Value* time = result.value("time"))
    lines << tr("%1 in this run (%2)").arg(text_of(value_text(*time)), text_of(evidence_text(*time)));
  if (answer.last_from)
    lines << decision_text(answer.last, tr("the run before, %1").arg(moment(trend_.points[*answer.last_from].at)));
  if (answer.week_from && answer.week_from != answer.last_from)
    lines << decision_text(answer.week, tr("a week before, %1").arg(moment(trend_.points[*answer.week_from].at)));
  if (!answer.last_from) lines << tr("the first run of this case on this machine: nothing to compare with");
  answer_->setText(lines.join(QStringLiteral("<br>")));
}

void TrendsView::show_level(const CaseResult& result, double now) {
  PlotSpec spec;
  spec.x.kind = AxisKind::moment;
  spec.x.title = tr("run");
  spec.y.title = tr("time, median over launches; bars: lowest and highest launch");
  spec.y.unit = trend_.unit;
  spec.y.metric = "time";
  spec.shade_after = now;
  if (!trend_.points.empty()) spec.x_range = {trend_.points.front().at, trend_.points.back().at};
  PlotSeries series;
  series.color = technique_color(result.info.record.technique);
  series.provenance = trend_.provenance;
  series.marker = marker_shape(result.info.record.technique);
  if (trend_.points.size() <= most_points) {
    for (const TrendPoint& point : trend_.points) {
      PlotPoint drawn;
      drawn.x = point.at;
      drawn.y = point.median;
      if (point.launches > 1) {
        drawn.low = point.lowest;
        drawn.high = point.highest;
      }
      drawn.id = static_cast<qint64>(point.run) + 1;
      drawn.tip = QStringLiteral("%1\n%2, %3 launches")
                      .arg(moment(point.at), text_of(value_text(point.median, "s", "time")))
                      .arg(point.launches);
      series.points.push_back(std::move(drawn));
      if (point.build_changed)
        spec.references.push_back({point.at, true, tr("build changed"), theme().warn, Qt::DotLine});
      if (point.machine_changed)
        spec.references.push_back({point.at, true, tr("machine changed"), theme().warn, Qt::DotLine});
    }
  } else {
    std::vector<double> x, y;
    for (const TrendPoint& point : trend_.points) {
      x.push_back(point.at);
      y.push_back(point.median);
    }
    series.markers = false;
    for (const Segment& segment : min_max_segments(x, y, columns))
      for (const double value : {segment.first, segment.low, segment.high, segment.last})
        series.points.push_back({segment.x, value, {}, {}, 0, {}});
    spec.y.title =
        tr("time, median over launches; %1 runs as lowest to highest a pixel column").arg(trend_.points.size());
  }
  spec.series.push_back(std::move(series));
  level_->show_spec(std::move(spec));
}

void TrendsView::show_change(PlotView* plot, const QString& title, bool from_first, double now) {
  PlotSpec spec;
  spec.x.kind = AxisKind::moment;
  spec.y.title = title;
  spec.y.unit = "1";
  spec.y.metric = "change_rate";
  spec.shade_after = now;
  if (!trend_.points.empty()) spec.x_range = {trend_.points.front().at, trend_.points.back().at};
  PlotSeries series;
  series.color = theme().accent;
  series.provenance = trend_.provenance;
  std::vector<double> x, y;
  for (std::size_t i = 1; i < trend_.points.size(); ++i) {
    x.push_back(trend_.points[i].at);
    y.push_back(trend_.points[i].median / trend_.points[from_first ? 0 : i - 1].median - 1);
  }
  if (x.size() <= most_points) {
    for (std::size_t i = 0; i < x.size(); ++i)
      series.points.push_back(
          {x[i],
           y[i],
           {},
           {},
           static_cast<qint64>(trend_.points[i + 1].run) + 1,
           QStringLiteral("%1\n%2").arg(moment(x[i]), text_of(fmt::format("{:+.1f}%", 100 * y[i])))});
  } else {
    series.markers = false;
    for (const Segment& segment : min_max_segments(x, y, columns / 2))
      for (const double value : {segment.first, segment.low, segment.high, segment.last})
        series.points.push_back({segment.x, value, {}, {}, 0, {}});
  }
  spec.references.push_back({0, false, {}, theme().dim, Qt::SolidLine});
  spec.series.push_back(std::move(series));
  plot->show_spec(std::move(spec));
}

void TrendsView::show_runs() {
  Grid grid;
  grid.columns = {{tr("run"), false, true},
                  {tr("time"), true},
                  {tr("from the run before"), true},
                  {tr("launches"), true},
                  {tr("commit")}};
  for (std::size_t i = trend_.points.size(); i-- > 0;) {
    const TrendPoint& point = trend_.points[i];
    const auto& run = session().database()->runs()[point.run];
    const double change = i > 0 ? point.median / trend_.points[i - 1].median - 1 : std::nan("");
    GridRow row;
    row.id = static_cast<qint64>(point.run) + 1;
    row.cells = {GridCell::number(text_of(run_title(run)), point.at),
                 GridCell::number(text_of(value_text(point.median, "s", "time")), point.median),
                 GridCell::number(i > 0 ? text_of(fmt::format("{:+.1f}%", 100 * change)) : QString(), change),
                 GridCell::number(QString::number(point.launches), point.launches), text_of(short_commit(run.build))};
    grid.rows.push_back(std::move(row));
  }
  runs_->show_grid(std::move(grid));
}

}  // namespace assay::gui
