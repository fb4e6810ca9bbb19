// Change points on series whose truth is known. Seeds are fixed, so every figure here is exact and repeatable.
#include "harness/stats/change_points.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <stdexcept>

#include "impls/substrate/random.h"

namespace assay::harness::stats {
namespace {

using Level = std::function<double(int)>;

std::vector<double> series(int n, double noise, const Level& level, std::uint64_t seed = 5) {
  substrate::Random random(seed);
  std::vector<double> out;
  for (int i = 0; i < n; ++i) out.push_back(level(i) * std::exp(noise * random.normal()));
  return out;
}

double flat(int) { return 3e-3; }
Level step(double ratio, int at) {
  return [=](int i) { return i < at ? 1.0 : ratio; };
}

TEST(ChangePoints, AStepIsFoundWhereItIsWithItsLevels) {
  const Segmentation found = find_changes(series(60, 0.01, step(1.09, 25)));
  ASSERT_EQ(found.changes.size(), 1U);
  EXPECT_EQ(found.changes[0].kind, ChangeKind::step);
  EXPECT_NEAR(static_cast<double>(found.changes[0].first), 25, 1);
  EXPECT_NEAR(found.changes[0].ratio(), 1.09, 0.01);
  ASSERT_EQ(found.segments.size(), 2U);
  EXPECT_EQ(found.segments[0].end, found.segments[1].first);
  EXPECT_NEAR(found.segments[0].level, 1, 0.01);
  EXPECT_NEAR(found.noise, 0.01, 0.005);
}

TEST(ChangePoints, AFallIsFoundLikeARise) {
  const std::vector<double> up = series(60, 0.01, step(1.09, 25));
  std::vector<double> down;
  for (const double value : up) down.push_back(1 / value);
  const Segmentation rise = find_changes(up);
  const Segmentation fall = find_changes(down);
  ASSERT_EQ(fall.changes.size(), rise.changes.size());
  EXPECT_EQ(fall.changes[0].first, rise.changes[0].first);
  EXPECT_NEAR(fall.changes[0].ratio() * rise.changes[0].ratio(), 1, 1e-9);
}

TEST(ChangePoints, SeveralStepsAreAllFound) {
  const Segmentation found = find_changes(series(120, 0.01, [](int i) {
    return i < 30 ? 1.0 : i < 60 ? 1.2 : i < 90 ? 1.05 : 1.12;
  }));
  ASSERT_EQ(found.changes.size(), 3U);
  for (int i = 0; i < 3; ++i)
    EXPECT_NEAR(static_cast<double>(found.changes[static_cast<std::size_t>(i)].first), 30.0 * (i + 1), 2) << i;
}

TEST(ChangePoints, ARampIsOneChangeAndCalledARamp) {
  const Segmentation found =
      find_changes(series(100, 0.01, [](int i) { return 1 + 0.2 * std::clamp((i - 30) / 40.0, 0.0, 1.0); }));
  ASSERT_EQ(found.changes.size(), 1U);
  EXPECT_EQ(found.changes[0].kind, ChangeKind::ramp);
  EXPECT_GE(found.changes[0].first, 28U);
  EXPECT_LE(found.changes[0].last, 72U);
  EXPECT_NEAR(found.changes[0].ratio(), 1.2, 0.02);
}

TEST(ChangePoints, OutliersAreNoLevels) {
  std::vector<double> values = series(100, 0.01, flat);
  for (const std::size_t at : {7U, 40U, 41U, 80U, 99U}) values[at] *= 3;
  EXPECT_TRUE(find_changes(values).changes.empty());
  std::vector<double> with_step = series(100, 0.01, step(1.1, 50));
  for (const std::size_t at : {7U, 30U, 31U, 80U}) with_step[at] *= 3;
  const Segmentation found = find_changes(with_step);
  ASSERT_EQ(found.changes.size(), 1U);
  EXPECT_NEAR(static_cast<double>(found.changes[0].first), 50, 1);
}

TEST(ChangePoints, NoiseAloneRaisesFewAlarms) {
  int alarms = 0;
  for (std::uint64_t seed = 0; seed < 400; ++seed)
    for (const int n : {12, 40}) alarms += find_changes(series(n, 0.03, flat, seed)).changes.empty() ? 0 : 1;
  EXPECT_LE(alarms, 8) << "of 800 series";
}

TEST(ChangePoints, WhatIsBelowTheFloorDoesNotMatter) {
  const std::vector<double> values = series(200, 0.002, step(1.01, 100));
  EXPECT_TRUE(find_changes(values).changes.empty());
  EXPECT_EQ(find_changes(values, {.effect_floor = 0.005}).changes.size(), 1U);
}

TEST(ChangePoints, ALevelThatHasJustBegunIsNotBelievedYet) {
  EXPECT_TRUE(find_changes(series(40, 0.005, step(1.2, 38))).changes.empty());
  EXPECT_EQ(find_changes(series(40, 0.005, step(1.2, 36))).changes.size(), 1U);
}

// Computed values repeat exactly and have no noise: every move of them is a change.
TEST(ChangePoints, EveryMoveOfComputedValuesIsAChange) {
  const Segmentation found = find_changes(std::vector<double>{1, 1, 1, 1, 1, 1.1, 1.1, 1.1, 1.1, 1, 1, 1, 1});
  ASSERT_EQ(found.changes.size(), 2U);
  EXPECT_EQ(found.changes[0].first, 5U);
  EXPECT_EQ(found.changes[1].first, 9U);
}

TEST(ChangePoints, DoNotDependOnTheUnit) {
  const std::vector<double> seconds = series(80, 0.02, step(1.15, 40));
  std::vector<double> hours;
  for (const double value : seconds) hours.push_back(value / 3600);
  const auto a = find_changes(seconds);
  const auto b = find_changes(hours);
  ASSERT_EQ(a.changes.size(), b.changes.size());
  EXPECT_EQ(a.changes.at(0).first, b.changes.at(0).first);
}

TEST(ChangePoints, FewValuesAreOneLevelAndNoneIsNone) {
  EXPECT_TRUE(find_changes({}).segments.empty());
  const Segmentation three = find_changes(std::vector<double>{1, 2, 9});
  ASSERT_EQ(three.segments.size(), 1U);
  EXPECT_EQ(three.segments[0].level, 2);
  EXPECT_THROW(find_changes(std::vector<double>{1, 0, 1}), std::invalid_argument);
}

}  // namespace
}  // namespace assay::harness::stats
