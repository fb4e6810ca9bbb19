#include "harness/stats/detectable.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "impls/substrate/random.h"

namespace assay::harness::stats {
namespace {

// Launches in turns whose logarithms scatter by `sd`; B is `ratio` times A.
Contest contest(double sd, int launches, double ratio = 1, Direction direction = Direction::lower_is_better) {
  substrate::Random random(7);
  Contest out;
  out.direction = direction;
  for (int at = 0; at < 2 * launches; ++at) {
    const bool b = (at % 4 == 1 || at % 4 == 2) != (at / 4 % 2 == 1);
    const double value = std::exp(sd * random.normal());
    (b ? out.b : out.a).push_back({b ? ratio * value : value, at + 1});
  }
  return out;
}

TEST(DetectableEffect, IsWhatTheVerdictCallsSlowerAndNothingLess) {
  const DecisionRule rule;
  const Contest same = contest(0.01, 10);
  const auto effect = detectable_effect(same, 1, rule);
  ASSERT_TRUE(effect.has_value());
  EXPECT_GT(*effect, rule.effect_floor);
  EXPECT_LT(*effect, 0.1);
  const auto planted = [&](double by) {
    Contest slowed = same;
    std::vector<double> a, b;
    for (const Launch& launch : same.a) a.push_back(launch.value);
    for (const Launch& launch : same.b) b.push_back(launch.value);
    for (Launch& launch : slowed.b) launch.value *= median(a) / median(b) * (1 + by);
    return decide(slowed, rule).verdict;
  };
  EXPECT_EQ(planted(*effect), Verdict::slower);
  EXPECT_NE(planted(*effect - 0.002), Verdict::slower);
}

TEST(DetectableEffect, DoesNotDependOnHowFarApartTheSidesAre) {
  const auto near = detectable_effect(contest(0.01, 10), 1);
  const auto far = detectable_effect(contest(0.01, 10, 1.5), 1);
  ASSERT_TRUE(near && far);
  EXPECT_NEAR(*near, *far, 0.0011);
}

TEST(DetectableEffect, GrowsWithNoiseAndWithTheCasesJudgedTogether) {
  const auto quiet = detectable_effect(contest(0.005, 20), 1);
  const auto wild = detectable_effect(contest(0.05, 20), 1);
  const auto among_many = detectable_effect(contest(0.05, 20), 1000);
  ASSERT_TRUE(quiet && wild && among_many);
  EXPECT_LT(*quiet, *wild);
  EXPECT_LE(*wild, *among_many);
}

TEST(DetectableEffect, HigherIsBetterWorsensDownwards) {
  const auto rate = detectable_effect(contest(0.01, 10, 1, Direction::higher_is_better), 1);
  ASSERT_TRUE(rate.has_value());
  EXPECT_LT(*rate, 0.1);
}

TEST(DetectableEffect, FewLaunchesShowNothing) {
  EXPECT_FALSE(detectable_effect(contest(0.001, 4), 1).has_value());
  EXPECT_FALSE(detectable_effect({}, 1).has_value());
}

}  // namespace
}  // namespace assay::harness::stats
