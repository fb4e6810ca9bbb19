#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <vector>

#include "harness/stats/median.h"
#include "harness/stats/shape.h"
#include "harness/stats/stop_rule.h"
#include "impls/substrate/random.h"

namespace assay::harness::stats {
namespace {

std::vector<double> draw(std::size_t n, std::uint64_t seed,
                         const std::function<double(substrate::Random&, std::size_t)>& of) {
  substrate::Random random(seed);
  std::vector<double> samples(n);
  for (std::size_t i = 0; i < n; ++i) samples[i] = of(random, i);
  return samples;
}

double steady(substrate::Random& random) { return 1 + 0.01 * random.normal(); }

// Share of 400 series of 200 samples for which `holds`.
double share(const std::function<double(substrate::Random&, std::size_t)>& of, bool Shape::*label) {
  int holds = 0;
  for (std::uint64_t seed = 0; seed < 400; ++seed) holds += shape_of(draw(200, seed, of)).*label ? 1 : 0;
  return holds / 400.0;
}

TEST(Warmup, IsTheSlowSamplesAtTheFront) {
  const std::vector<double> samples =
      draw(100, 1, [](substrate::Random& random, std::size_t i) { return steady(random) * (i < 7 ? 1.5 : 1.0); });
  EXPECT_EQ(warmup_length(samples), 7U);
}

TEST(Warmup, FollowsASlowApproachUntilItReachesTheNoise) {
  const std::vector<double> samples = draw(300, 2, [](substrate::Random& random, std::size_t i) {
    return steady(random) + std::exp(-static_cast<double>(i) / 20);
  });
  EXPECT_GT(warmup_length(samples), 40U);  // exp(-40/20) = 13% above
  EXPECT_LT(warmup_length(samples), 90U);  // exp(-90/20) = 1%
}

TEST(Warmup, OfASteadyLaunchIsNearlyAlwaysNone) {
  int flagged = 0;
  for (std::uint64_t seed = 0; seed < 1000; ++seed)
    flagged += warmup_length(draw(50, seed, [](substrate::Random& random, std::size_t) { return steady(random); })) > 0
                   ? 1
                   : 0;
  EXPECT_LE(flagged, 10);
}

TEST(Warmup, NeverTakesMoreThanHalf) {
  const std::vector<double> rising =
      draw(100, 3, [](substrate::Random&, std::size_t i) { return 1 + 0.1 * static_cast<double>(i); });
  EXPECT_LE(warmup_length(rising), 50U);
  const std::vector<double> few = {9, 1, 1, 1, 1};
  EXPECT_EQ(warmup_length(few), 0U);
}

TEST(Shape, OfNormalSamplesIsPlain) {
  const auto normal = [](substrate::Random& random, std::size_t) { return steady(random); };
  EXPECT_LE(share(normal, &Shape::bimodal), 0.01);
  EXPECT_LE(share(normal, &Shape::drifting), 0.01);
  EXPECT_LE(share(normal, &Shape::heavy_tail), 0.01);
}

TEST(Shape, OfUniformSamplesIsNotBimodal) {
  EXPECT_LE(share([](substrate::Random& random, std::size_t) { return 1 + 0.1 * random.uniform(); }, &Shape::bimodal),
            0.01);
}

TEST(Shape, SeesTwoModes) {
  const auto two = [](substrate::Random& random, std::size_t) {
    return steady(random) + (random.uniform() < 0.3 ? 0.1 : 0);
  };
  EXPECT_GE(share(two, &Shape::bimodal), 0.95);
}

TEST(Shape, SeesTwoModesBesideAWildValue) {
  const auto two = [](substrate::Random& random, std::size_t i) {
    return i == 50 ? 40 : steady(random) + (random.uniform() < 0.3 ? 0.1 : 0);
  };
  EXPECT_GE(share(two, &Shape::bimodal), 0.95);
}

TEST(Shape, SeesADriftingLevel) {
  const auto rising = [](substrate::Random& random, std::size_t i) {
    return steady(random) + 0.0003 * static_cast<double>(i);
  };
  EXPECT_GE(share(rising, &Shape::drifting), 0.95);
}

TEST(Shape, SeesAHeavyTail) {
  const auto tailed = [](substrate::Random& random, std::size_t) {
    return steady(random) + (random.uniform() < 0.05 ? 0.2 : 0);
  };
  EXPECT_GE(share(tailed, &Shape::heavy_tail), 0.95);
  EXPECT_LE(share(tailed, &Shape::bimodal), 0.01);
}

TEST(Shape, IsNotGuessedFromFewSamples) {
  EXPECT_TRUE(shape_of(draw(39, 1, [](substrate::Random&, std::size_t i) { return static_cast<double>(i); })).plain());
}

TEST(Shape, IsSaidInWords) {
  EXPECT_EQ(to_string(Shape{}), "");
  EXPECT_EQ(to_string(Shape{true, false, true}), "bimodal, heavy tail");
}

TEST(Stopper, StopsWhenTheMedianIsKnownWellEnough) {
  substrate::Random random(1);
  Stopper stopper({.noise_target = 0.005, .budget_seconds = 1e9, .min_samples = 10, .max_samples = 100'000});
  Stop stop = Stop::go_on;
  while (stop == Stop::go_on) stop = stopper.add(steady(random), 0);
  EXPECT_EQ(stop, Stop::noise);
  EXPECT_LE(relative_half_width(stopper.samples()), 0.006);
  EXPECT_LT(stopper.samples().size(), 200U);  // 1.96 * 1.25 * 1% / sqrt(n) = 0.5% at n = 24
}

TEST(Stopper, NeedsMoreSamplesWhereThereIsMoreNoise) {
  const auto samples_at = [](double noise) {
    substrate::Random random(2);
    Stopper stopper({.noise_target = 0.01, .budget_seconds = 1e9, .min_samples = 10, .max_samples = 100'000});
    while (stopper.add(1 + noise * random.normal(), 0) == Stop::go_on) {
    }
    return stopper.samples().size();
  };
  EXPECT_GT(samples_at(0.10), 10 * samples_at(0.01));
}

TEST(Stopper, StopsAtTheBudgetAndAtTheLargestNumberOfSamples) {
  substrate::Random random(3);
  const StopRule rule{.noise_target = 0, .budget_seconds = 1.0, .min_samples = 10, .max_samples = 50};
  Stopper by_time(rule);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(by_time.add(random.uniform(), 0.1), Stop::go_on);
  EXPECT_EQ(by_time.add(random.uniform(), 1.0), Stop::budget);
  Stopper by_count(rule);
  for (int i = 0; i < 49; ++i) EXPECT_EQ(by_count.add(random.uniform(), 0.1), Stop::go_on);
  EXPECT_EQ(by_count.add(random.uniform(), 0.1), Stop::samples);
}

TEST(Stopper, DoesNotLookAtTheNoiseOfFewerThanTheLeastSamples) {
  Stopper stopper({.noise_target = 1, .budget_seconds = 1e9, .min_samples = 20, .max_samples = 50});
  for (int i = 0; i < 20; ++i) EXPECT_EQ(stopper.add(1, 0), Stop::go_on);
  EXPECT_NE(stopper.add(1, 0), Stop::samples);
  EXPECT_EQ(stopper.add(1, 0), Stop::noise);
}

TEST(Stopper, StopsALongCaseAfterOneSampleThatSpentTheBudget) {
  Stopper stopper({.noise_target = 0.01, .budget_seconds = 1, .min_samples = 5, .max_samples = 50});
  EXPECT_EQ(stopper.add(30, 30), Stop::budget);
}

// Stopping on the width leaves the interval nearly as honest as a fixed number of samples would.
TEST(Stopper, LeavesTheCoverageOfTheIntervalAboveNinetyThreePercent) {
  substrate::Random random(4);
  int covered = 0;
  constexpr int repeats = 2000;
  for (int repeat = 0; repeat < repeats; ++repeat) {
    Stopper stopper({.noise_target = 0.01, .budget_seconds = 1e9, .min_samples = 10, .max_samples = 100'000});
    while (stopper.add(std::exp(0.05 * random.normal()), 0) == Stop::go_on) {
    }
    const Interval interval = median_interval(stopper.samples());
    covered += interval.low <= 1 && 1 <= interval.high ? 1 : 0;
  }
  EXPECT_GE(covered, 0.93 * repeats);
}

}  // namespace
}  // namespace assay::harness::stats
