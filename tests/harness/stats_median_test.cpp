#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "harness/stats/median.h"
#include "impls/substrate/random.h"

namespace assay::harness::stats {
namespace {

TEST(Median, IsTheMiddleOrTheMeanOfTheTwoMiddles) {
  EXPECT_EQ(median(std::vector<double>{3, 1, 2}), 2);
  EXPECT_EQ(median(std::vector<double>{4, 1, 3, 2}), 2.5);
  EXPECT_EQ(median(std::vector<double>{7}), 7);
  EXPECT_TRUE(std::isnan(median(std::vector<double>{})));
}

TEST(Median, DoesNotOverflowBetweenHugeValues) {
  const double huge = std::numeric_limits<double>::max();
  EXPECT_EQ(median(std::vector<double>{huge, huge}), huge);
}

TEST(Quantile, MatchesTypeSevenOfR) {
  // R: quantile(c(1, 2, 4, 8, 16), c(.1, .25, .5, .9))
  const std::vector<double> values = {16, 1, 8, 2, 4};
  EXPECT_DOUBLE_EQ(quantile(values, 0.10), 1.4);
  EXPECT_DOUBLE_EQ(quantile(values, 0.25), 2);
  EXPECT_DOUBLE_EQ(quantile(values, 0.5), 4);
  EXPECT_DOUBLE_EQ(quantile(values, 0.9), 12.8);
  EXPECT_EQ(quantile(values, 0), 1);
  EXPECT_EQ(quantile(values, 1), 16);
}

TEST(RobustSpread, IsBlindToAFewWildValues) {
  std::vector<double> values = {9, 10, 11, 9, 10, 11, 9, 10, 11};
  const double before = robust_spread(values);
  values.push_back(1e9);
  EXPECT_DOUBLE_EQ(before, 1.4826);
  EXPECT_DOUBLE_EQ(robust_spread(values), before);
}

// Ranks of the sign-test interval as tables of nonparametric statistics print them.
TEST(IntervalRank, MatchesPublishedTables) {
  const std::vector<std::pair<std::size_t, std::size_t>> at95 = {{5, 0},   {6, 1},   {8, 1},   {9, 2},   {10, 2},
                                                                 {12, 3},  {15, 4},  {20, 6},  {25, 8},  {30, 10},
                                                                 {40, 14}, {50, 18}, {75, 29}, {100, 40}};
  for (const auto& [n, k] : at95) EXPECT_EQ(interval_rank(n), k) << "n = " << n;
  const std::vector<std::pair<std::size_t, std::size_t>> at99 = {{7, 0},  {8, 1},  {10, 1}, {12, 2},
                                                                 {15, 3}, {20, 4}, {25, 6}};
  for (const auto& [n, k] : at99) EXPECT_EQ(interval_rank(n, 0.99), k) << "n = " << n;
}

TEST(IntervalRank, FollowsTheNormalLimitForManySamples) {
  const std::size_t n = 1'000'000;
  EXPECT_NEAR(static_cast<double>(interval_rank(n)), n / 2.0 - 1.959964 * 500, 1.5);
}

TEST(MedianInterval, IsUnboundedWhenTooFewSamplesSupportOne) {
  const std::vector<double> five = {1, 2, 3, 4, 5};
  EXPECT_FALSE(median_interval(five).bounded());
  EXPECT_TRUE(std::isinf(relative_half_width(five)));
  const std::vector<double> six = {6, 1, 2, 3, 4, 5};
  EXPECT_EQ(median_interval(six), (Interval{1, 6}));
}

TEST(MedianInterval, TakesTheSecondFromEachEndOfTen) {
  const std::vector<double> ten = {10, 9, 8, 7, 6, 5, 4, 3, 2, 1};
  EXPECT_EQ(median_interval(ten), (Interval{2, 9}));
  EXPECT_DOUBLE_EQ(relative_half_width(ten), 3.5 / 5.5);
}

// Coverage on a skewed distribution with known median. The nominal coverage of k = 40 of 100 is 96.5%.
TEST(MedianInterval, CoversTheMedianOfASkewedDistributionAsOftenAsItSays) {
  substrate::Random random(20240611);
  int covered = 0;
  constexpr int repeats = 4000;
  for (int repeat = 0; repeat < repeats; ++repeat) {
    std::vector<double> samples(100);
    for (double& sample : samples) sample = -std::log(1 - random.uniform());
    const Interval interval = median_interval(samples);
    covered += interval.low <= std::log(2.0) && std::log(2.0) <= interval.high ? 1 : 0;
  }
  const double share = static_cast<double>(covered) / repeats;
  EXPECT_GT(share, 0.965 - 0.012);
  EXPECT_LT(share, 0.965 + 0.012);
}

}  // namespace
}  // namespace assay::harness::stats
