#include "harness/calibration.h"

#include <algorithm>
#include <cmath>
#include <random>

#include "harness/stats/median.h"
#include "harness/stats/rank_test.h"

namespace assay::harness {
namespace {

using stats::Verdict;

// Launches of one comparison: which of them are side B.
struct Deal {
  std::size_t first;
  std::vector<bool> is_b;
};

std::vector<Deal> deals(std::size_t launches, std::size_t needed, int comparisons, std::uint64_t seed) {
  std::mt19937_64 engine(seed);
  std::vector<Deal> out;
  for (int i = 0; i < comparisons; ++i) {
    Deal deal{engine() % (launches - needed + 1), {}};
    for (std::size_t block = 0; block < needed / 4; ++block) {
      const bool first = (engine() >> 33) % 2 == 1;
      for (const bool b : {first, !first, !first, first}) deal.is_b.push_back(b);
    }
    out.push_back(std::move(deal));
  }
  return out;
}

stats::Contest contest_of(std::span<const double> medians, const Deal& deal, double effect) {
  stats::Contest contest;
  for (std::size_t i = 0; i < deal.is_b.size(); ++i) {
    const double value = medians[deal.first + i] * (deal.is_b[i] ? 1 + effect : 1);
    (deal.is_b[i] ? contest.b : contest.a).push_back({value, static_cast<std::int64_t>(i + 1)});
  }
  return contest;
}

double power(std::span<const double> medians, const std::vector<Deal>& all, double effect,
             const stats::DecisionRule& rule) {
  int slower = 0;
  for (const Deal& deal : all)
    slower += stats::decide(contest_of(medians, deal, effect), rule).verdict == Verdict::slower ? 1 : 0;
  return static_cast<double>(slower) / static_cast<double>(all.size());
}

bool medians_differ(const stats::Contest& contest) {
  stats::Block block;
  for (const auto& launch : contest.a) block.a.push_back(launch.value);
  for (const auto& launch : contest.b) block.b.push_back(launch.value);
  return stats::rank_test(std::vector<stats::Block>{block}) <= 0.05;
}

}  // namespace

Calibration calibrate(std::span<const double> medians, std::span<const double> effects, int comparisons,
                      const stats::DecisionRule& rule, std::uint64_t seed) {
  Calibration out;
  const auto needed = static_cast<std::size_t>((rule.min_launches + 1) / 2 * 4);  // whole blocks of four
  if (medians.size() < needed || comparisons < 1) return out;
  out.launches = static_cast<int>(needed / 2);
  const std::vector<Deal> all = deals(medians.size(), needed, comparisons, seed);
  std::vector<double> half_widths;
  std::vector<double> wanted = {0};
  wanted.insert(wanted.end(), effects.begin(), effects.end());
  for (const double effect : wanted) {
    PlantedEffect planted;
    planted.effect = effect;
    for (const Deal& deal : all) {
      const stats::Contest contest = contest_of(medians, deal, effect);
      const stats::Decision decision = stats::decide(contest, rule);
      ++planted.comparisons;
      planted.slower += decision.verdict == Verdict::slower ? 1 : 0;
      planted.faster += decision.verdict == Verdict::faster ? 1 : 0;
      planted.same += decision.verdict == Verdict::same ? 1 : 0;
      planted.unsure += decision.verdict == Verdict::unsure ? 1 : 0;
      planted.mann_whitney_medians += medians_differ(contest) ? 1 : 0;
      if (effect == 0) half_widths.push_back(std::expm1(std::log(decision.interval.high / decision.interval.low) / 2));
    }
    out.effects.push_back(planted);
  }
  out.half_width = stats::median(half_widths);
  constexpr double enough = 0.8;
  constexpr double largest = 1.0;
  if (power(medians, all, largest, rule) >= enough) {
    double low = 0, high = largest;
    while (high - low > 1e-3) {
      const double middle = (low + high) / 2;
      (power(medians, all, middle, rule) >= enough ? high : low) = middle;
    }
    out.detectable = high;
  }
  return out;
}

}  // namespace assay::harness
