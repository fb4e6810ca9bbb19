#include "harness/stats/fence.h"

#include <algorithm>
#include <cmath>

#include "harness/stats/median.h"

namespace assay::harness::stats {

double Fence::allowance() const { return known() ? std::max(high / centre, centre / low) - 1 : 0; }

Fence fence_of(std::span<const std::vector<double>> runs, const FenceRule& rule) {
  Fence fence;
  std::vector<double> logs;
  for (const std::vector<double>& run : runs) {
    if (run.empty()) continue;
    ++fence.runs;
    for (const double value : run) logs.push_back(std::log(value));
  }
  fence.launches = static_cast<int>(logs.size());
  if (fence.runs < rule.min_runs || fence.launches < rule.min_launches) return fence;
  const double middle = median(logs);
  const double q1 = quantile(logs, 0.25);
  const double q3 = quantile(logs, 0.75);
  const double least = std::log1p(rule.least_width);
  fence.centre = std::exp(middle);
  fence.low = std::exp(std::min(q1 - rule.reach * (q3 - q1), middle - least));
  fence.high = std::exp(std::max(q3 + rule.reach * (q3 - q1), middle + least));
  return fence;
}

const char* to_string(Magnitude magnitude) {
  switch (magnitude) {
    case Magnitude::none:
      return "none";
    case Magnitude::small:
      return "small";
    case Magnitude::medium:
      return "medium";
    case Magnitude::large:
      return "large";
    case Magnitude::huge:
      return "huge";
  }
  return "";
}

Magnitude magnitude_of(double ratio, double allowance, double effect_floor) {
  if (!(ratio > 0)) return Magnitude::none;
  const double times = std::abs(std::log(ratio)) / std::log1p(std::max(allowance, effect_floor));
  if (times < 1) return Magnitude::none;
  if (times < 2) return Magnitude::small;
  if (times < 4) return Magnitude::medium;
  if (times < 8) return Magnitude::large;
  return Magnitude::huge;
}

}  // namespace assay::harness::stats
