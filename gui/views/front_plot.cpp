#include "gui/views/front_plot.h"

#include <QObject>
#include <algorithm>
#include <map>
#include <set>

#include "gui/model/palette.h"
#include "gui/theme.h"

namespace assay::gui {
namespace {
using results_db::Provenance;

// "TTFT, 99th percentile" is a percentile of one launch each; a median over launches of it is no percentile of them
// all.
int percentile_of(const std::string& metric) {  // 99 of ttft_p99; 0: it is none
  const std::size_t p = metric.rfind("_p");
  if (p == std::string::npos || p + 2 >= metric.size() ||
      metric.find_first_not_of("0123456789", p + 2) != std::string::npos)
    return 0;
  return std::stoi(metric.substr(p + 2));
}

QString name_of(const FrontPoint& point, const std::set<std::string>& common) {
  const std::string parameters = parameters_text(point.result->info, common);
  return text_of(point.result->info.name + (parameters.empty() ? "" : ", " + parameters));
}

PlotAxis axis_of(const std::string& metric, const Value& value, double low, double high) {
  PlotAxis axis;
  axis.title = text_of(metric_heading(metric));
  axis.unit = value.unit;
  axis.metric = metric;
  axis.log = low > 0 && high > 20 * low;
  axis.from_zero = !axis.log;
  return axis;
}

PlotPoint drawn(const FrontPoint& point) {
  PlotPoint out;
  out.x = point.x.median;
  out.y = point.y.median;
  out.low = point.y.low;
  out.high = point.y.high;
  out.id = point.result->info.id;
  return out;
}

}  // namespace

double widest_limit(const Front& front) {
  if (front.points.empty()) return 0;
  return front.x_lower_is_better ? front.points.back().x.median : front.points.front().x.median;
}

PlotSpec front_spec(const Front& front, double limit, const std::shared_ptr<const RunData>& data) {
  PlotSpec spec;
  if (front.points.empty()) return spec;
  double low = front.points.front().y.median, high = low;
  for (const FrontPoint& point : front.points) {
    low = std::min(low, point.y.median);
    high = std::max(high, point.y.median);
  }
  spec.x = axis_of(front.x_metric, front.points.front().x, front.points.front().x.median, front.points.back().x.median);
  spec.y = axis_of(front.y_metric, front.points.front().y, low, high);
  spec.tip = [data, x = front.x_metric, y = front.y_metric](qint64 id) {
    const CaseResult* result = data->find(id);
    if (result == nullptr) return QString();
    QString tip = text_of(result->info.name + "\n" + parameters_text(result->info));
    for (const std::string& metric : {x, y})
      if (const Value* value = result->value(metric))
        tip += QLatin1Char('\n') + text_of(metric_title(metric) + " " + value_text(*value) + " (" + exact_text(*value) +
                                           "), " + evidence_text(*value));
    return tip;
  };
  std::map<std::tuple<std::string, Provenance, bool>, PlotSeries> series;
  std::map<Provenance, PlotSeries> fronts;
  std::set<std::string> named;
  for (const FrontPoint& point : front.points) {
    const std::string& technique = point.result->info.record.technique;
    const bool kept = inside(front, point, limit);
    PlotSeries& held = series[{technique, point.y.provenance, kept}];
    held.color = technique_color(technique);
    if (!kept) held.color.setAlpha(80);
    held.provenance = point.y.provenance;
    held.marker = marker_shape(technique);
    held.line = false;
    if (held.name.isEmpty() && named.insert(technique).second) held.name = text_of(point.result->info.name);
    held.points.push_back(drawn(point));
    if (!point.on_front) continue;
    PlotSeries& line = fronts[point.y.provenance];
    line.color = theme().dim;
    line.provenance = point.y.provenance;
    line.markers = false;
    line.points.push_back(drawn(point));
  }
  for (auto& [provenance, line] : fronts) spec.series.push_back(std::move(line));
  for (auto& [key, held] : series) spec.series.push_back(std::move(held));
  PlotReference line{limit, true, {}, theme().bad, Qt::SolidLine};
  line.text = QObject::tr("limit %1 (drag)").arg(text_of(value_text(limit, spec.x.unit, front.x_metric)));
  line.movable = true;
  spec.references.push_back(std::move(line));
  return spec;
}

Grid front_grid(const Front& front, double limit) {
  Grid grid;
  grid.columns = {{QObject::tr("technique")},
                  {QObject::tr("case"), false, true},
                  {text_of(metric_title(front.y_metric)), true},
                  {text_of(metric_title(front.x_metric)), true},
                  {QObject::tr("on the front")},
                  {QObject::tr("inside the limit")},
                  {QObject::tr("where it comes from")}};
  std::vector<const FrontPoint*> order;
  for (const FrontPoint& point : front.points) order.push_back(&point);
  std::stable_sort(order.begin(), order.end(), [&](const FrontPoint* a, const FrontPoint* b) {
    const bool in_a = inside(front, *a, limit), in_b = inside(front, *b, limit);
    if (in_a != in_b) return in_a;
    if (a->y.median == b->y.median) return false;
    return (a->y.median < b->y.median) == front.y_lower_is_better;
  });
  std::vector<const CaseInfo*> infos;
  for (const FrontPoint* point : order) infos.push_back(&point->result->info);
  const auto common = common_axes(infos);
  for (const FrontPoint* point : order) {
    GridRow row;
    row.id = point->result->info.id;
    GridCell name(provenance_glyph(point->y.provenance) + QLatin1Char(' ') + text_of(point->result->info.name));
    name.color = technique_color(point->result->info.record.technique);
    row.cells = {name,
                 text_of(parameters_text(point->result->info, common)),
                 GridCell::number(text_of(value_text(point->y)), point->y.median),
                 GridCell::number(text_of(value_text(point->x)), point->x.median),
                 point->on_front ? QObject::tr("yes") : QString(),
                 inside(front, *point, limit) ? QObject::tr("yes") : QObject::tr("no"),
                 text_of(evidence_text(point->y))};
    row.cells[2].strong = true;
    grid.rows.push_back(std::move(row));
  }
  return grid;
}

QString limit_text(const Front& front, double limit) {
  if (front.points.empty()) return {};
  const std::string unit = front.points.front().x.unit;
  std::set<Provenance> provenances;
  for (const FrontPoint& point : front.points) provenances.insert(point.y.provenance);
  std::vector<const CaseInfo*> infos;
  for (const FrontPoint& point : front.points) infos.push_back(&point.result->info);
  const auto common = common_axes(infos);
  QStringList parts;
  for (const Provenance provenance : provenances) {
    const FrontPoint* best = best_inside(front, limit, provenance);
    parts << (best == nullptr ? QObject::tr("%1: nothing").arg(QString::fromLatin1(to_string(provenance)))
                              : QObject::tr("%1: %2 with %3")
                                    .arg(QString::fromLatin1(to_string(provenance)), text_of(value_text(best->y)),
                                         name_of(*best, common)));
  }
  QString text = QObject::tr("best %1 with %2 %3 %4: %5")
                     .arg(text_of(metric_title(front.y_metric)), text_of(metric_title(front.x_metric)),
                          front.x_lower_is_better ? QObject::tr("up to") : QObject::tr("from"),
                          text_of(value_text(limit, unit, front.x_metric)), parts.join(QStringLiteral("; ")));
  // What is best inside a limit on a percentile is the goodput at that limit over the rates that were run.
  const int percentile = percentile_of(front.x_metric);
  if (percentile > 0 && front.x_lower_is_better)
    text += QObject::tr(" · %1% of the requests of such a case are inside").arg(percentile);
  const bool many = std::any_of(front.points.begin(), front.points.end(),
                                [](const FrontPoint& point) { return point.x.launches > 1; });
  if (many && percentile > 0)
    text += QObject::tr(" · a percentile here is the median of the launches' percentiles, not one over all requests");
  return text;
}

}  // namespace assay::gui
