#pragma once
// What the verdict can and cannot tell on this machine, case by case: launches of one code against itself, and the same
// launches with slow-downs planted.
#include <cstdint>
#include <span>
#include <vector>

#include "harness/stats/decide.h"

namespace assay::harness {

struct PlantedEffect {
  double effect = 0;  // 0.05: 5% slower
  int comparisons = 0;
  int slower = 0, faster = 0, same = 0, unsure = 0;
  // Rules in common use, on the same launches at 5%: how often they call the sides different.
  int mann_whitney_medians = 0;
};

struct Calibration {
  int launches = 0;                    // a side of every comparison
  std::vector<PlantedEffect> effects;  // the first is nothing: FASTER and SLOWER there are false
  double half_width = 0;               // median relative half-width of the interval, A/A
  double detectable = 0;  // smallest effect that is SLOWER in 80% of the comparisons, by bisection; 0: none up to 100%
  int false_alarms() const { return effects.empty() ? 0 : effects.front().slower + effects.front().faster; }
};

// `medians`: launch medians of one case in the order taken. Comparisons are made of consecutive launches
// dealt A B B A or B A A B block by block at random, so that drift between launches stays in
// the data as it was.
Calibration calibrate(std::span<const double> medians, std::span<const double> effects, int comparisons,
                      const stats::DecisionRule& rule, std::uint64_t seed);

}  // namespace assay::harness
