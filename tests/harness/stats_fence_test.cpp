#include "harness/stats/fence.h"

#include <gtest/gtest.h>

#include <cmath>

#include "harness/stats/decide.h"
#include "impls/substrate/random.h"

namespace assay::harness::stats {
namespace {

using Runs = std::vector<std::vector<double>>;

Runs nights(int runs, int launches, double between, double within, std::uint64_t seed) {
  substrate::Random random(seed);
  Runs out;
  for (int run = 0; run < runs; ++run) {
    const double level = between * random.normal();
    out.emplace_back();
    for (int launch = 0; launch < launches; ++launch)
      out.back().push_back(1e-3 * std::exp(level + within * random.normal()));
  }
  return out;
}

TEST(Fence, IsTukeysOfTheLogarithmsOfLaunchMedians) {
  const Fence fence = fence_of(Runs{{1, 2}, {4, 8}, {16, 32, 64}});
  ASSERT_TRUE(fence.known());
  EXPECT_DOUBLE_EQ(fence.centre, 8);
  // Quartiles of 2^0 .. 2^6 are 2^1.5 and 2^4.5; the fence lies 1.5 times 3 octaves beyond.
  EXPECT_NEAR(fence.low, std::exp2(1.5 - 4.5), 1e-12);
  EXPECT_NEAR(fence.high, std::exp2(4.5 + 4.5), 1e-9);
  EXPECT_EQ(fence.runs, 3);
  EXPECT_EQ(fence.launches, 7);
  EXPECT_NEAR(fence.allowance(), std::exp2(6) - 1, 1e-9);
}

TEST(Fence, IsNotKnownFromFewRunsOrLaunches) {
  EXPECT_FALSE(fence_of(Runs{{1, 1, 1}, {1, 1, 1}}).known()) << "two sessions do not show how sessions differ";
  EXPECT_FALSE(fence_of(Runs{{1}, {1}, {1}, {1}}).known());
  EXPECT_FALSE(fence_of(Runs{{1, 1, 1}, {}, {1, 1, 1}}).known()) << "an empty run is none";
  EXPECT_EQ(fence_of(Runs{}).allowance(), 0);
}

TEST(Fence, OfEqualNumbersHasTheLeastWidth) {
  const Fence fence = fence_of(Runs{{2, 2}, {2, 2}, {2, 2}});
  EXPECT_NEAR(fence.allowance(), 1e-3, 1e-9);
  EXPECT_TRUE(fence.holds(2));
  EXPECT_FALSE(fence.holds(2.01));
}

TEST(Fence, HoldsTheNextRunNearlyAlwaysWhenNothingChanged) {
  int outside = 0;
  for (std::uint64_t seed = 0; seed < 1000; ++seed) {
    Runs runs = nights(13, 5, 0.01, 0.01, seed);
    const double next = median(runs.back());
    runs.pop_back();
    outside += fence_of(runs).holds(next) ? 0 : 1;
  }
  EXPECT_LE(outside, 15) << "of 1000";
}

TEST(Magnitude, CountsInMultiplesOfTheLargerOfNoiseAndFloor) {
  EXPECT_EQ(magnitude_of(1.01, 0.001, 0.02), Magnitude::none);
  EXPECT_EQ(magnitude_of(1.03, 0.001, 0.02), Magnitude::small);
  EXPECT_EQ(magnitude_of(1 / 1.03, 0.001, 0.02), Magnitude::small) << "either direction";
  EXPECT_EQ(magnitude_of(1.06, 0.001, 0.02), Magnitude::medium);
  EXPECT_EQ(magnitude_of(1.06, 0.10, 0.02), Magnitude::none) << "a noisy case";
  EXPECT_EQ(magnitude_of(1.12, 0, 0.02), Magnitude::large);
  EXPECT_EQ(magnitude_of(2, 0, 0.02), Magnitude::huge);
}

Contest separate(double ratio, double allowance) {
  substrate::Random random(3);
  Contest contest;
  for (int i = 0; i < 12; ++i) contest.a.push_back({1e-3 * std::exp(0.002 * random.normal()), 1'000'000 + i});
  for (int i = 0; i < 12; ++i) contest.b.push_back({ratio * 1e-3 * std::exp(0.002 * random.normal()), 2'000'000 + i});
  if (allowance > 0) contest.session_allowance = allowance;
  return contest;
}

TEST(SessionAllowance, OfTheCaseTakesThePlaceOfTheRules) {
  const Decision by_rule = decide(separate(1.04, 0));
  EXPECT_EQ(by_rule.verdict, Verdict::unsure) << "4% lies inside the 5% that any two sessions are allowed";
  EXPECT_DOUBLE_EQ(by_rule.session_allowance, 0.05);
  const Decision by_past = decide(separate(1.04, 0.01));
  EXPECT_EQ(by_past.verdict, Verdict::slower) << "its own past shows that sessions agree to 1%";
  EXPECT_DOUBLE_EQ(by_past.session_allowance, 0.01);
  EXPECT_EQ(decide(separate(1.04, 0.10)).verdict, Verdict::unsure);
  EXPECT_EQ(decide(separate(1.0, 0.01)).verdict, Verdict::same);
  EXPECT_EQ(decide(separate(1.0, 0.03)).verdict, Verdict::unsure) << "a fence wider than the floor never says SAME";
}

}  // namespace
}  // namespace assay::harness::stats
