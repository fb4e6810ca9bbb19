#include "gui/views/trend_plots.h"

#include <fmt/format.h>

#include <QObject>
#include <cmath>

#include "gui/model/palette.h"
#include "gui/theme.h"

namespace assay::gui {
namespace {

// More points than this are drawn as the columns of pixels they fill.
constexpr std::size_t most_points = 300;
constexpr int columns = 320;

QString tip_of(const Trend& trend, const TrendPoint& point) {
  Value value;
  value.metric = trend.metric;
  value.unit = trend.unit;
  value.provenance = trend.provenance;
  value.median = point.median;
  value.lowest = point.lowest;
  value.highest = point.highest;
  value.launches = point.launches;
  if (point.interval.bounded()) {
    value.low = point.interval.low;
    value.high = point.interval.high;
  }
  QString tip =
      QStringLiteral("%1\n%2 (%3)\n%4")
          .arg(moment(point.at), text_of(value_text(value)), text_of(exact_text(value)), text_of(evidence_text(value)));
  if (const std::string interval = interval_text(value); !interval.empty())
    tip += QObject::tr("\n95% interval %1").arg(text_of(interval));
  if (const std::string reach = reach_text(value); !reach.empty())
    tip += QObject::tr("\nlaunches %1").arg(text_of(reach));
  return tip;
}

void add_levels(PlotSpec& spec, const Trend& trend, const TrendLevels& found) {
  const bool first_only = found.levels.size() < 2;
  for (const TrendLevel& level : found.levels) {
    const double from = trend.points[level.first].at, to = trend.points[level.last].at;
    const QString text = first_only ? QString() : text_of(value_text(level.level, trend.unit, trend.metric));
    spec.segments.push_back({from, level.level, to, level.level, text, theme().accent, 2.2});
    if (!level.interval.bounded()) continue;
    QColor faint = theme().accent;
    faint.setAlpha(120);
    for (const double edge : {level.interval.low, level.interval.high})
      spec.segments.push_back({from, edge, to, edge, {}, faint, 0.8});
  }
  for (const TrendChange& change : found.changes) {
    const bool worse = (change.ratio > 1) == trend.lower_is_better;
    const QColor color = !trend.judged ? theme().text : worse ? theme().bad : theme().good;
    const double middle = (trend.points[change.before].at + trend.points[change.at].at) / 2;
    QString text = text_of(fmt::format("{:+.1f}%", 100 * (change.ratio - 1)));
    if (change.by_hand) text += QObject::tr(" (by hand)");
    spec.references.push_back({middle, true, text, color, Qt::DashLine});
  }
}

}  // namespace

QString moment(double seconds) { return text_of(moment_text(static_cast<std::int64_t>(seconds * 1e9))); }

PlotSpec trend_spec(const Trend& trend, const TrendLevels& levels, const std::string& technique, double now, bool log) {
  const QString what = text_of(metric_heading(trend.metric));
  PlotSpec spec;
  spec.x.kind = AxisKind::moment;
  spec.x.title = QObject::tr("run (Shift and drag compares the ends)");
  spec.y.title = QObject::tr("%1; medians, levels: 95% intervals; thin bars: all launches").arg(what);
  spec.y.unit = trend.unit;
  spec.y.metric = trend.metric;
  spec.y.log = log;
  spec.shade_after = now;
  if (!trend.points.empty()) spec.x_range = {trend.points.front().at, trend.points.back().at};
  PlotSeries series;
  series.color = technique_color(technique);
  series.provenance = trend.provenance;
  series.marker = marker_shape(technique);
  if (trend.points.size() <= most_points) {
    for (const TrendPoint& point : trend.points) {
      PlotPoint drawn;
      drawn.x = point.at;
      drawn.y = point.median;
      if (point.interval.bounded()) {
        drawn.low = point.interval.low;
        drawn.high = point.interval.high;
      } else if (point.launches > 1) {
        drawn.low = point.lowest;
        drawn.high = point.highest;
        drawn.spread = Spread::launches;
      }
      drawn.id = static_cast<qint64>(point.run) + 1;
      drawn.tip = tip_of(trend, point);
      series.points.push_back(std::move(drawn));
      if (point.build_changed)
        spec.references.push_back({point.at, true, QObject::tr("build changed"), theme().warn, Qt::DotLine});
      if (point.machine_changed)
        spec.references.push_back({point.at, true, QObject::tr("machine changed"), theme().warn, Qt::DotLine});
    }
  } else {
    std::vector<double> x, y;
    for (const TrendPoint& point : trend.points) {
      x.push_back(point.at);
      y.push_back(point.median);
    }
    series.markers = false;
    for (const Segment& segment : min_max_segments(x, y, columns))
      for (const double value : {segment.first, segment.low, segment.high, segment.last})
        series.points.push_back({segment.x, value, {}, {}, 0, {}});
    spec.y.title =
        QObject::tr("%1; medians of %2 runs, lowest to highest a pixel column").arg(what).arg(trend.points.size());
  }
  spec.series.push_back(std::move(series));
  add_levels(spec, trend, levels);
  return spec;
}

PlotSpec change_spec(const Trend& trend, bool from_first, double now) {
  PlotSpec spec;
  spec.x.kind = AxisKind::moment;
  spec.y.title = from_first ? QObject::tr("change from the first run") : QObject::tr("change from the run before");
  spec.y.unit = "1";
  spec.y.metric = "change_rate";
  spec.shade_after = now;
  if (!trend.points.empty()) spec.x_range = {trend.points.front().at, trend.points.back().at};
  PlotSeries series;
  series.color = theme().accent;
  series.provenance = trend.provenance;
  std::vector<double> x, y;
  std::vector<std::size_t> run;
  for (std::size_t i = 1; i < trend.points.size(); ++i) {
    const double change = trend.points[i].median / trend.points[from_first ? 0 : i - 1].median - 1;
    if (!std::isfinite(change)) continue;  // from nothing
    x.push_back(trend.points[i].at);
    y.push_back(change);
    run.push_back(trend.points[i].run);
  }
  if (x.size() <= most_points) {
    for (std::size_t i = 0; i < x.size(); ++i)
      series.points.push_back(
          {x[i],
           y[i],
           {},
           {},
           static_cast<qint64>(run[i]) + 1,
           QStringLiteral("%1\n%2").arg(moment(x[i]), text_of(fmt::format("{:+.1f}%", 100 * y[i])))});
  } else {
    series.markers = false;
    for (const Segment& segment : min_max_segments(x, y, columns / 2))
      for (const double value : {segment.first, segment.low, segment.high, segment.last})
        series.points.push_back({segment.x, value, {}, {}, 0, {}});
  }
  spec.references.push_back({0, false, {}, theme().dim, Qt::SolidLine});
  spec.series.push_back(std::move(series));
  return spec;
}

}  // namespace assay::gui
