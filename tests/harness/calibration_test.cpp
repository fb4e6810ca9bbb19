#include "harness/calibration.h"

#include <gtest/gtest.h>

#include <cmath>

#include "impls/substrate/random.h"

namespace assay::harness {
namespace {

std::vector<double> launches(int n, double noise, double drift = 0) {
  substrate::Random random(8);
  std::vector<double> out;
  for (int i = 0; i < n; ++i) out.push_back(1e-3 * std::exp(noise * random.normal() + drift * i / n));
  return out;
}

constexpr double planted[] = {0.02, 0.10};

TEST(Calibration, CountsFalseAlarmsAndPower) {
  const Calibration found = calibrate(launches(80, 0.01), planted, 300, {}, 1);
  EXPECT_EQ(found.launches, 10);
  ASSERT_EQ(found.effects.size(), 3U);
  EXPECT_EQ(found.effects[0].effect, 0);
  for (const PlantedEffect& one : found.effects)
    EXPECT_EQ(one.slower + one.faster + one.same + one.unsure, one.comparisons);
  EXPECT_LE(found.false_alarms(), 3) << "of 300";
  EXPECT_GE(found.effects[2].slower, 290) << "10% over 1% of noise";
  EXPECT_GT(found.detectable, 0.02);
  EXPECT_LT(found.detectable, 0.05);
}

TEST(Calibration, NoisierCasesSeeLess) {
  const Calibration quiet = calibrate(launches(80, 0.005), planted, 200, {}, 1);
  const Calibration loud = calibrate(launches(80, 0.08), planted, 200, {}, 1);
  EXPECT_LT(quiet.detectable, loud.detectable);
  EXPECT_LT(quiet.half_width, loud.half_width);
  EXPECT_GT(loud.effects[0].unsure, 150);
}

TEST(Calibration, DriftBetweenLaunchesIsNoAlarm) {
  EXPECT_LE(calibrate(launches(80, 0.005, 0.5), planted, 300, {}, 1).false_alarms(), 3);
}

TEST(Calibration, TooFewLaunchesAreNone) {
  const Calibration none = calibrate(launches(19, 0.01), planted, 100, {}, 1);
  EXPECT_EQ(none.launches, 0);
  EXPECT_TRUE(none.effects.empty());
}

}  // namespace
}  // namespace assay::harness
