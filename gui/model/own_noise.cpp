#include "gui/model/own_noise.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "harness/hand_cuts.h"
#include "harness/history.h"
#include "harness/stats/change_points.h"
#include "harness/stats/fence.h"
#include "harness/stats/median.h"

namespace assay::gui {
using harness::stats::Fence;

NoiseReader::NoiseReader(Database& database) : database_(database), alerts_(database.store().alerts()) {
  for (const auto& run : database.runs())
    if (harness::is_tracked(run)) tracked_.insert(run.id);
}

// As the gate has it.
Fence NoiseReader::fence_of_base(const harness::Comparison& comparison, const harness::ComparedCase& row) {
  std::vector<double> values;
  std::vector<results_db::HistoryPoint> points;
  for (auto& point : database_.store().history(row.id_a, comparison.run_a.machine.id, row.metric)) {
    std::erase_if(point.medians, [](double value) { return !(value > 0); });
    if (point.medians.empty() || !tracked_.contains(point.run)) continue;
    values.push_back(harness::stats::median(point.medians));
    points.push_back(std::move(point));
  }
  const auto base = static_cast<std::size_t>(
      std::find_if(points.begin(), points.end(), [&](const auto& point) { return point.run == comparison.run_a.id; }) -
      points.begin());
  if (base == points.size()) return {};
  const auto cuts = harness::hand_cuts(alerts_, row.id_a, row.metric);
  std::vector<std::size_t> begins;
  for (std::size_t i = 0; i < points.size(); ++i)
    if (cuts.contains(points[i].run)) begins.push_back(i);
  const auto found = harness::with_cuts(harness::stats::find_changes(values), values, begins);
  std::vector<std::vector<double>> level;
  for (std::size_t s = 0; s < found.segments.size(); ++s) {
    const auto& segment = found.segments[s];
    if (base < segment.first || base >= segment.end) continue;
    const std::size_t settled = s > 0 ? found.changes[s - 1].last : segment.first;  // a ramp climbs until then
    for (std::size_t i = std::min(settled, base); i < segment.end; ++i)
      if (points[i].run != comparison.run_b.id || comparison.run_b.id == comparison.run_a.id)
        level.push_back(points[i].medians);
  }
  return harness::stats::fence_of(level);
}

OwnNoise NoiseReader::of(const harness::Comparison& comparison, const harness::ComparedCase& row) {
  OwnNoise noise;
  const double ratio = row.decision.ratio;
  const double floor = harness::stats::DecisionRule().effect_floor;
  noise.allowance = row.decision.session_allowance;
  if (row.decision.design != harness::stats::Design::exact) {
    const Fence fence = fence_of_base(comparison, row);
    if (fence.known()) {
      noise.allowance = fence.allowance();
      noise.runs = fence.runs;
    }
  }
  if (ratio > 0 && std::isfinite(ratio))
    noise.times = std::abs(std::log(ratio)) / std::log1p(std::max(noise.allowance, floor));
  return noise;
}

}  // namespace assay::gui
