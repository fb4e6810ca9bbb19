// ByteScale: the degree of a sequence as the paper counts it, and what its schedules conserve and balance.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "datasets/machine.h"
#include "datasets/workloads/length_distribution.h"
#include "impls/parallelism/variable_length/hdp_planner.h"

namespace assay::parallelism {
namespace {

HdpCosts costs_of(std::int64_t capacity) {
  return {
      .pair_seconds = 1, .token_seconds = 16, .act_bytes = 1, .host_bandwidth = 0, .layers = 32, .capacity = capacity};
}

BatchProblem batch(const char* workload, std::int64_t tokens, std::int64_t longest, int ranks) {
  const auto distribution = datasets::load_length_distribution(workload, datasets::data_root());
  return {.lengths = datasets::draw_tokens(distribution, tokens, longest, datasets::Overlong::cut, 3), .ranks = ranks};
}

double ratio(const std::vector<double>& seconds) {
  return *std::ranges::max_element(seconds) / *std::ranges::min_element(seconds);
}

TEST(HdpDegree, IsThatOfTheExamplesOfThePaper) {
  EXPECT_EQ(hdp_degree(312 << 10, 0, costs_of(8192)), 39);
  EXPECT_EQ(hdp_degree(768 << 10, 0, costs_of(8192)), 96);
}

TEST(HdpDegree, FallsWithWhatIsOffloadedToTwoLayersWorth) {
  const HdpCosts costs = costs_of(8192);
  int before = hdp_degree(1 << 20, 0, costs);
  for (const double offload : {0.25, 0.5, 0.75, 1.0}) {
    const int degree = hdp_degree(1 << 20, offload, costs);
    EXPECT_LT(degree, before);
    before = degree;
  }
  EXPECT_EQ(before, (128 * 2 + 31) / 32);
}

TEST(HdpChoice, OffloadsNoMoreThanALayerHidesAndNoMoreThanTheDegreeNeeds) {
  for (const double bandwidth : {0.0, 0.001, 0.01, 0.1, 10.0}) {
    HdpCosts costs = costs_of(100);
    costs.host_bandwidth = bandwidth;
    for (const std::int64_t length : {100, 250, 1000, 5000}) {
      const HdpChoice choice = choose_hdp(length, 1000, costs);
      const double hidden = costs.seconds(length) / costs.layers / 3 * bandwidth / static_cast<double>(length);
      EXPECT_LE(choice.offload, std::min(1.0, hidden) + 1e-12);
      EXPECT_GE(choice.offload, 0);
      EXPECT_EQ(hdp_degree(length, choice.offload, costs), choice.degree);
      if (choice.offload > 0.02) EXPECT_GT(hdp_degree(length, choice.offload - 0.01, costs), choice.degree) << length;
    }
  }
}

class Schedules : public ::testing::TestWithParam<const char*> {};

TEST_P(Schedules, HoldEveryTokenOnceWithinCapacityAndConserveCausalWork) {
  for (const int ranks : {8, 64}) {
    BatchPlan plan;
    plan.problem = batch(GetParam(), 600'000, 60'000, ranks);
    const HdpCosts costs = costs_of(8000);
    const std::vector<HdpPlan> plans{
        plan_hdp_naive(plan.problem, costs), plan_hdp_balanced(plan.problem, costs, HdpBalance::data),
        plan_hdp_balanced(plan.problem, costs, HdpBalance::pipeline), plan_static_mesh(plan.problem, 60'000, costs)};
    for (const HdpPlan& each : plans) {
      plan.items = each.items;
      EXPECT_NO_THROW(require_whole(plan));
      EXPECT_LE(most_tokens_of_a_rank(plan), 8000 + 2);  // pieces of a zigzag differ by two tokens
      const std::vector<double> pairs = pairs_by_rank(plan);
      EXPECT_NEAR(std::accumulate(pairs.begin(), pairs.end(), 0.0), plan.problem.pairs(), 1e-6 * plan.problem.pairs());
    }
  }
}

TEST_P(Schedules, AreBalancedWhereThePaperSaysSo) {
  const BatchProblem problem = batch(GetParam(), 4 << 20, 256 << 10, 64);
  const HdpCosts costs = costs_of(8192);
  const double naive = ratio(plan_hdp_naive(problem, costs).seconds);
  const double balanced = ratio(plan_hdp_balanced(problem, costs, HdpBalance::data).seconds);
  EXPECT_GT(naive, 1.5);
  EXPECT_LT(balanced, 1.1);
  EXPECT_LT(ratio(plan_hdp_balanced(problem, costs, HdpBalance::pipeline).seconds), naive);
}

INSTANTIATE_TEST_SUITE_P(Workloads, Schedules, ::testing::Values("byted", "github"));

TEST(StaticMesh, GivesEveryRowTheRanksOfTheLongestSequence) {
  const BatchProblem problem = batch("github", 600'000, 60'000, 32);
  for (const BatchItem& item : plan_static_mesh(problem, 60'000, costs_of(8000)).items) EXPECT_EQ(item.members(), 8);
}

}  // namespace
}  // namespace assay::parallelism
