#include "gui/model/pareto.h"

#include <algorithm>
#include <limits>
#include <map>

#include "results_db/metrics.h"

namespace assay::gui {
namespace {

bool lower_is_better(const std::string& metric) {
  const auto* definition = results_db::find_metric(metric);
  return definition == nullptr || definition->better != results_db::Better::higher;
}

// Best x first, of those the best y; a point is on the front when its y beats all before it. O(n log n).
void mark_front(Front& front, std::vector<FrontPoint*> points) {
  const auto good = [](double value, bool lower) { return lower ? value : -value; };
  const auto x = [&](const FrontPoint* point) { return good(point->x.median, front.x_lower_is_better); };
  const auto y = [&](const FrontPoint* point) { return good(point->y.median, front.y_lower_is_better); };
  std::sort(points.begin(), points.end(),
            [&](const FrontPoint* a, const FrontPoint* b) { return x(a) != x(b) ? x(a) < x(b) : y(a) < y(b); });
  double best = std::numeric_limits<double>::infinity(), best_x = best;
  for (FrontPoint* point : points) {
    // One that equals the best in both is as good as it.
    point->on_front = y(point) < best || (y(point) == best && x(point) == best_x);
    if (y(point) < best) {
      best = y(point);
      best_x = x(point);
    }
  }
}

}  // namespace

Front front_of(const RunData& data, const Filter& filter, const std::string& x_metric, const std::string& y_metric) {
  Front front;
  front.x_metric = x_metric;
  front.y_metric = y_metric;
  front.x_lower_is_better = lower_is_better(x_metric);
  front.y_lower_is_better = lower_is_better(y_metric);
  for (const CaseResult& result : data.cases) {
    if (!matches(filter, result)) {
      ++front.filtered_out;
      continue;
    }
    const Value* x = result.value(x_metric);
    const Value* y = result.value(y_metric);
    if (x == nullptr || y == nullptr) {
      ++front.without;
      continue;
    }
    front.points.push_back({&result, *x, *y, false});
  }
  std::stable_sort(front.points.begin(), front.points.end(),
                   [](const FrontPoint& a, const FrontPoint& b) { return a.x.median < b.x.median; });
  std::map<results_db::Provenance, std::vector<FrontPoint*>> by_provenance;
  for (FrontPoint& point : front.points) by_provenance[point.y.provenance].push_back(&point);
  for (auto& [provenance, points] : by_provenance) mark_front(front, std::move(points));
  return front;
}

bool inside(const Front& front, const FrontPoint& point, double limit) {
  return front.x_lower_is_better ? point.x.median <= limit : point.x.median >= limit;
}

const FrontPoint* best_inside(const Front& front, double limit, results_db::Provenance provenance) {
  const FrontPoint* best = nullptr;
  for (const FrontPoint& point : front.points) {
    if (point.y.provenance != provenance || !inside(front, point, limit)) continue;
    const bool better = best == nullptr ||
                        (front.y_lower_is_better ? point.y.median < best->y.median : point.y.median > best->y.median);
    if (better) best = &point;
  }
  return best;
}

}  // namespace assay::gui
