// What the verdict does on data whose truth is known. Seeds are fixed, so every figure here is exact and repeatable.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <numbers>
#include <vector>

#include "harness/stats/decide.h"
#include "impls/substrate/random.h"

namespace assay::harness::stats {
namespace {

// The log of the noise factor of launch `at`; called in the order of time.
using Noise = std::function<double(substrate::Random&, int at)>;

Noise launch_effect(double sd) {
  return [sd](substrate::Random& random, int) { return sd * random.normal(); };
}
Noise linear_drift(double total, double sd) {
  return [=](substrate::Random& random, int at) { return total * at / 20 + sd * random.normal(); };
}
// Stationary AR(1) of standard deviation `sd`.
Noise correlated(double phi, double sd) {
  return [=, level = 0.0](substrate::Random& random, int at) mutable {
    level = at == 0 ? sd * random.normal() : phi * level + std::sqrt(1 - phi * phi) * sd * random.normal();
    return level;
  };
}
Noise two_modes(double gap, double share) {
  return [=](substrate::Random& random, int) { return 0.005 * random.normal() + (random.uniform() < share ? gap : 0); };
}
Noise wild() {
  return [](substrate::Random& random, int) {
    return 0.01 * random.normal() + (random.uniform() < 0.1 ? 0.5 * random.uniform() : 0);
  };
}
Noise waves(double period) {
  return [=](substrate::Random& random, int at) {
    return 0.03 * std::sin(2 * std::numbers::pi * at / period) + 0.005 * random.normal();
  };
}

enum class Order { abba, abab, a_then_b };

bool is_b(Order order, int at, int total) {
  switch (order) {
    case Order::abba:
      return (at % 4 == 1 || at % 4 == 2) != (at / 4 % 2 == 1);
    case Order::abab:
      return at % 2 == 1;
    case Order::a_then_b:
      return at >= total / 2;
  }
  return false;
}

Contest draw(substrate::Random& random, const Noise& noise_of, double effect, int launches = 10,
             Order order = Order::abba) {
  Contest contest;
  Noise noise = noise_of;
  for (int at = 0; at < 2 * launches; ++at) {
    const bool b = is_b(order, at, 2 * launches);
    const double value = 1e-3 * std::exp(noise(random, at)) * (b ? 1 + effect : 1);
    (b ? contest.b : contest.a).push_back({value, 1'000'000 + at});
  }
  return contest;
}

struct Shares {
  double faster = 0, slower = 0, same = 0, unsure = 0;
  double covered = 0;  // the interval holds the true ratio
  double called() const { return faster + slower; }
};

Shares shares(const Noise& noise, double effect, int launches = 10, Order order = Order::abba, int repeats = 1000) {
  substrate::Random random(20260131);
  Shares out;
  const double one = 1.0 / repeats;
  for (int repeat = 0; repeat < repeats; ++repeat) {
    const Decision decision = decide(draw(random, noise, effect, launches, order));
    out.faster += decision.verdict == Verdict::faster ? one : 0;
    out.slower += decision.verdict == Verdict::slower ? one : 0;
    out.same += decision.verdict == Verdict::same ? one : 0;
    out.unsure += decision.verdict == Verdict::unsure ? one : 0;
    out.covered += decision.interval.low <= 1 + effect && 1 + effect <= decision.interval.high ? one : 0;
  }
  return out;
}

TEST(DecideAlike, IsCalledDifferentInAtMostOnePercentWhateverTheNoise) {
  EXPECT_LE(shares(launch_effect(0.01), 0).called(), 0.01);
  EXPECT_LE(shares(launch_effect(0.10), 0).called(), 0.01);
  EXPECT_LE(shares(linear_drift(0.10, 0.01), 0).called(), 0.01);
  EXPECT_LE(shares(correlated(0.5, 0.05), 0).called(), 0.01);
  EXPECT_LE(shares(correlated(0.9, 0.05), 0).called(), 0.01);
  EXPECT_LE(shares(two_modes(0.10, 0.3), 0).called(), 0.01);
  EXPECT_LE(shares(wild(), 0).called(), 0.01);
  EXPECT_LE(shares(waves(7), 0).called(), 0.01);
  EXPECT_LE(shares(waves(40), 0).called(), 0.01);
}

// The floor is taken away, so that this holds for the test itself and not thanks to the floor.
TEST(DecideAlike, IsCalledDifferentAtMostAtTheRateOfTheTestEvenWithoutAFloor) {
  for (const Noise& noise :
       {launch_effect(0.02), linear_drift(0.3, 0.01), correlated(0.5, 0.02), correlated(0.9, 0.02)}) {
    substrate::Random random(99);
    int called = 0;
    for (int repeat = 0; repeat < 3000; ++repeat) {
      const Decision decision = decide(draw(random, noise, 0), {.effect_floor = 1e-9});
      called += decision.verdict == Verdict::faster || decision.verdict == Verdict::slower ? 1 : 0;
    }
    EXPECT_LE(called, 0.014 * 3000);  // 1% and two and a half standard errors
  }
}

TEST(DecideAlike, InQuietMachinesIsCalledSame) {
  EXPECT_GE(shares(launch_effect(0.005), 0).same, 0.99);
  EXPECT_GE(shares(launch_effect(0.01), 0).same, 0.90);
  EXPECT_GE(shares(linear_drift(0.10, 0.005), 0).same, 0.95);
}

TEST(DecideAlike, InNoisyMachinesIsUnsureRatherThanSame) { EXPECT_LE(shares(launch_effect(0.10), 0).same, 0.01); }

TEST(DecideShifted, ByTenPercentIsFound) {
  EXPECT_GE(shares(launch_effect(0.01), 0.10).slower, 0.999);
  EXPECT_GE(shares(launch_effect(0.03), 0.10).slower, 0.99);
  EXPECT_GE(shares(linear_drift(0.10, 0.02), 0.10).slower, 0.99);
  EXPECT_GE(shares(correlated(0.9, 0.05), 0.10).slower, 0.95);
}

TEST(DecideShifted, ByFivePercentIsFoundWhenTheMachineIsNotWorse) {
  EXPECT_GE(shares(launch_effect(0.01), 0.05).slower, 0.999);
  EXPECT_GE(shares(launch_effect(0.02), 0.05).slower, 0.90);
  // One launch in ten up to half as slow again: blocks aligned by means find only half of these.
  EXPECT_GE(shares(wild(), 0.05).slower, 0.65);
}

TEST(DecideShifted, ByTheFloorIsFoundAboutHalfTheTimeAndElseUnsure) {
  const Shares at_floor = shares(launch_effect(0.005), 0.02);
  EXPECT_GT(at_floor.slower, 0.35);
  EXPECT_LT(at_floor.slower, 0.65);
  EXPECT_LE(at_floor.same, 0.025);
}

TEST(DecideShifted, IsNeverCalledTheOtherWay) {
  for (const double sd : {0.01, 0.03, 0.10}) {
    EXPECT_LE(shares(launch_effect(sd), 0.02).faster, 0.004);
    EXPECT_EQ(shares(launch_effect(sd), 0.10).faster, 0);
  }
}

TEST(DecideShifted, BeyondTheFloorIsRarelyCalledSame) {
  for (const double sd : {0.005, 0.01, 0.02}) EXPECT_LE(shares(launch_effect(sd), 0.03).same, 0.01);
}

TEST(DecideShifted, IsFoundMoreOftenWithMoreLaunches) {
  const double ten = shares(launch_effect(0.04), 0.05, 10).slower;
  const double thirty = shares(launch_effect(0.04), 0.05, 30).slower;
  EXPECT_LT(ten, 0.7);
  EXPECT_GT(thirty, 0.95);
}

TEST(DecideInterval, HoldsTheTrueRatioAsOftenAsItSays) {
  for (const double effect : {0.0, 0.05}) {
    EXPECT_GE(shares(launch_effect(0.02), effect).covered, 0.935);
    EXPECT_GE(shares(linear_drift(0.2, 0.01), effect).covered, 0.935);
    EXPECT_GE(shares(correlated(0.7, 0.03), effect).covered, 0.935);
    EXPECT_GE(shares(wild(), effect).covered, 0.935);
  }
}

// Under a strong drift the order of the launches carries the verdict: blocks find what one pool of launches cannot.
TEST(DecideInterleaved, FindsUnderDriftWhatSeparateLaunchesCannot) {
  const Noise drift = linear_drift(0.20, 0.005);
  EXPECT_GE(shares(drift, 0.05, 10, Order::abba).slower, 0.99);
  EXPECT_LE(shares(drift, 0, 10, Order::a_then_b).same, 0);
}

TEST(DecideInterleaved, TakesAlternatingLaunchesAsBlocksToo) {
  substrate::Random random(1);
  const Decision decision = decide(draw(random, launch_effect(0.01), 0.05, 10, Order::abab));
  EXPECT_EQ(decision.design, Design::interleaved);
  EXPECT_EQ(decision.verdict, Verdict::slower);
}

TEST(DecideSeparate, AllowsForWhatSessionsDifferBy) {
  const Noise quiet = launch_effect(0.005);
  // One session 4% slower than the other, nothing else: no verdict.
  const Shares session = shares(quiet, 0.04, 10, Order::a_then_b);
  EXPECT_EQ(session.called(), 0);
  EXPECT_EQ(session.same, 0);
  // 30% is beyond what sessions do.
  EXPECT_GE(shares(quiet, 0.30, 10, Order::a_then_b).slower, 0.99);
  // The verdict is the user's to have by giving the allowance up.
  substrate::Random random(1);
  const Contest contest = draw(random, quiet, 0.04, 10, Order::a_then_b);
  EXPECT_EQ(decide(contest).verdict, Verdict::unsure);
  EXPECT_NE(decide(contest).reason.find("compare --live"), std::string::npos);
  EXPECT_EQ(decide(contest, {.session_allowance = 0}).verdict, Verdict::slower);
}

TEST(DecideSeparate, IsWhatLaunchesWithoutAStartTimeAre) {
  substrate::Random random(2);
  Contest contest = draw(random, launch_effect(0.005), 0.04);
  EXPECT_EQ(decide(contest).design, Design::interleaved);
  for (Launch& launch : contest.a) launch.started_ns = 0;
  EXPECT_EQ(decide(contest).design, Design::separate);
}

TEST(Decide, NeedsTenLaunchesASide) {
  substrate::Random random(3);
  const Decision nine = decide(draw(random, launch_effect(0.001), 0.5, 9));
  EXPECT_EQ(nine.verdict, Verdict::unsure);
  EXPECT_EQ(nine.more_launches, 1);
  EXPECT_EQ(nine.reason, "needs 1 more launch a side");
  EXPECT_NEAR(nine.ratio, 1.5, 0.01);
  const Decision three = decide(draw(random, launch_effect(0.001), 0.5, 3));
  EXPECT_EQ(three.reason, "needs 7 more launches a side");
  EXPECT_EQ(decide(draw(random, launch_effect(0.001), 0.5, 10)).verdict, Verdict::slower);
}

TEST(Decide, LessIsFasterOrMoreIsAsTheMetricSays) {
  substrate::Random random(4);
  Contest contest = draw(random, launch_effect(0.005), 0.10);
  EXPECT_EQ(decide(contest).verdict, Verdict::slower);
  contest.direction = Direction::higher_is_better;
  EXPECT_EQ(decide(contest).verdict, Verdict::faster);
  std::swap(contest.a, contest.b);
  EXPECT_EQ(decide(contest).verdict, Verdict::slower);
}

TEST(Decide, SwappingTheSidesTurnsTheRatioOver) {
  substrate::Random random(5);
  Contest contest = draw(random, launch_effect(0.02), 0.05);
  const Decision forth = decide(contest);
  std::swap(contest.a, contest.b);
  const Decision back = decide(contest);
  EXPECT_NEAR(forth.ratio * back.ratio, 1, 1e-6);
  EXPECT_NEAR(forth.interval.low * back.interval.high, 1, 1e-6);
  EXPECT_NEAR(forth.p, back.p, 1e-12);
}

TEST(Decide, ComputedValuesAreJudgedByTheFloorAlone) {
  const auto verdict = [](double b) {
    return decide(Contest{.a = {{1.0}}, .b = {{b}}, .direction = Direction::lower_is_better, .exact = true}).verdict;
  };
  EXPECT_EQ(verdict(1.5), Verdict::slower);
  EXPECT_EQ(verdict(0.5), Verdict::faster);
  EXPECT_EQ(verdict(1.01), Verdict::same);
}

TEST(Decide, GivesNoVerdictOnNothingOrOnWhatHasNoRatio) {
  EXPECT_EQ(decide(Contest{.a = {{1.0}}}).reason, "nothing measured on one side");
  const Decision zero = decide(Contest{.a = {{0.0}}, .b = {{1.0}}});
  EXPECT_EQ(zero.verdict, Verdict::unsure);
  EXPECT_NE(zero.reason.find("not positive"), std::string::npos);
}

TEST(Decide, SaysAboutHowManyLaunchesWouldSettleIt) {
  // Told for noise of 4%, true effect 5%; taking that advice has to settle most of them.
  substrate::Random random(6);
  int unsure = 0;
  int settled = 0;
  for (int repeat = 0; repeat < 200; ++repeat) {
    const Decision decision = decide(draw(random, launch_effect(0.04), 0.05));
    if (decision.verdict != Verdict::unsure || decision.more_launches == 0) continue;
    ++unsure;
    const int launches = 10 + std::min(decision.more_launches, 200);
    settled += decide(draw(random, launch_effect(0.04), 0.05, launches)).verdict != Verdict::unsure ? 1 : 0;
  }
  EXPECT_GT(unsure, 50);
  EXPECT_GE(settled, unsure / 2);
}

TEST(DecideSuite, KeepsTheShareOfFalseCallsDownWhereManyCasesAreAlike) {
  substrate::Random random(8);
  int called = 0;
  int wrong = 0;
  int found = 0;
  constexpr int suites = 20;
  for (int suite = 0; suite < suites; ++suite) {
    std::vector<Contest> contests;
    for (int i = 0; i < 100; ++i) contests.push_back(draw(random, launch_effect(0.03), i < 10 ? 0.15 : 0, 12));
    const std::vector<Decision> decisions = decide(contests);
    for (int i = 0; i < 100; ++i) {
      const Verdict verdict = decisions[static_cast<std::size_t>(i)].verdict;
      if (verdict == Verdict::same || verdict == Verdict::unsure) continue;
      ++called;
      (i < 10 && verdict == Verdict::slower ? found : wrong) += 1;
    }
  }
  EXPECT_LE(wrong, 0.02 * called);
  EXPECT_GE(found, 0.95 * 10 * suites);
}

TEST(DecideSuite, HoldsACaseToMoreAmongManyThanAlone) {
  substrate::Random random(9);
  std::vector<Contest> contests = {draw(random, launch_effect(0.03), 0.20)};
  EXPECT_EQ(decide(contests).front().verdict, Verdict::slower);
  for (int i = 0; i < 99; ++i) contests.push_back(draw(random, launch_effect(0.03), 0));
  const Decision among_many = decide(contests).front();
  EXPECT_GT(among_many.q, among_many.p);
  // 5 blocks cannot reach p = 0.01/100: the answer is UNSURE, and says that more launches can.
  EXPECT_EQ(among_many.verdict, Verdict::unsure);
  EXPECT_GE(among_many.more_launches, 2);
}

TEST(BlocksOf, PairsNeighboursInTimeAndPutsTwoPairsIntoABlock) {
  const std::vector<Launch> a = {{1, 10}, {4, 40}, {6, 60}, {7, 70}};
  const std::vector<Launch> b = {{2, 20}, {3, 30}, {5, 50}, {8, 80}};
  const std::vector<Block> blocks = blocks_of(a, b, 4);
  ASSERT_EQ(blocks.size(), 2U);
  EXPECT_EQ(blocks[0].a, (std::vector<double>{std::log(1), std::log(4)}));
  EXPECT_EQ(blocks[0].b, (std::vector<double>{std::log(2), std::log(3)}));
  EXPECT_EQ(blocks[1].b, (std::vector<double>{std::log(5), std::log(8)}));
}

TEST(BlocksOf, IsOneBlockWhenTheSidesWereTakenOneAfterTheOther) {
  const std::vector<Launch> a = {{1, 10}, {1, 11}, {1, 12}, {1, 13}};
  const std::vector<Launch> b = {{1, 20}, {1, 21}, {1, 22}, {1, 23}};
  ASSERT_EQ(blocks_of(a, b, 4).size(), 1U);
  EXPECT_EQ(blocks_of(a, b, 4).front().a.size(), 4U);
}

}  // namespace
}  // namespace assay::harness::stats
