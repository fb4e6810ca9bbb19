#include "harness/stats/detectable.h"

#include <algorithm>
#include <vector>

#include "harness/stats/median.h"

namespace assay::harness::stats {
namespace {

double median_of(const std::vector<Launch>& launches) {
  std::vector<double> values;
  values.reserve(launches.size());
  for (const Launch& launch : launches) values.push_back(launch.value);
  return median(values);
}

}  // namespace

std::optional<double> detectable_effect(const Contest& contest, int cases, const DecisionRule& rule) {
  if (contest.a.empty() || contest.b.empty()) return std::nullopt;
  DecisionRule alone = rule;
  alone.false_rate /= std::max(1, cases);
  const double level = median_of(contest.a) / median_of(contest.b);
  const auto seen = [&](double effect) {
    Contest planted = contest;
    const double worse = contest.direction == Direction::lower_is_better ? 1 + effect : 1 / (1 + effect);
    for (Launch& launch : planted.b) launch.value *= level * worse;
    return decide(planted, alone).verdict == Verdict::slower;
  };
  constexpr double largest = 1.0;
  if (!seen(largest)) return std::nullopt;
  double low = 0, high = largest;
  while (high - low > 1e-3) {
    const double middle = (low + high) / 2;
    (seen(middle) ? high : low) = middle;
  }
  return high;
}

}  // namespace assay::harness::stats
