// FlexSP: the parts of its planner against what they must be, and the planner against all plans there are.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <numeric>

#include "datasets/machine.h"
#include "datasets/workloads/length_distribution.h"
#include "impls/parallelism/sequence/flexsp_claims.h"
#include "impls/parallelism/variable_length/batch_case.h"
#include "impls/parallelism/variable_length/batch_program.h"
#include "impls/parallelism/variable_length/flexsp_plan.h"
#include "impls/substrate/cluster/cluster.h"
#include "impls/substrate/models/operator_time.h"
#include "impls/substrate/random.h"

namespace assay::parallelism {
namespace {

std::vector<std::int64_t> random_lengths(substrate::Random& random, int count, int most_bits) {
  std::vector<std::int64_t> lengths;
  for (int i = 0; i < count; ++i) {
    const auto bits = 3 + static_cast<int>(random.below(static_cast<std::uint64_t>(most_bits - 2)));
    lengths.push_back((1 << bits) - static_cast<std::int64_t>(random.below(1U << (bits - 1))));
  }
  return lengths;
}

std::vector<int> all_of(const std::vector<std::int64_t>& lengths) {
  std::vector<int> all(lengths.size());
  std::iota(all.begin(), all.end(), 0);
  return all;
}

// No sequence twice or missing, no group over its memory, no more ranks than there are; times are the model's.
void expect_sound(const FlexSpPlan& plan, const std::vector<std::int64_t>& lengths, int ranks,
                  const FlexSpCosts& costs) {
  std::vector<int> seen(lengths.size(), 0);
  double seconds = 0;
  for (const FlexSpMicroBatch& micro_batch : plan.micro_batches) {
    int used = 0;
    double slowest = 0;
    for (const FlexSpGroup& group : micro_batch.groups) {
      EXPECT_EQ(used % group.degree, 0);
      used += group.degree;
      const int level = std::countr_zero(static_cast<unsigned>(group.degree));
      std::int64_t tokens = 0;
      double takes = costs.group(level);
      for (const int sequence : group.sequences) {
        ++seen[static_cast<std::size_t>(sequence)];
        tokens += lengths[static_cast<std::size_t>(sequence)];
        takes += costs.sequence(lengths[static_cast<std::size_t>(sequence)], level);
      }
      EXPECT_LE(tokens, costs.capacity * group.degree);
      EXPECT_NEAR(takes, group.seconds, 1e-9 * takes);
      slowest = std::max(slowest, takes);
    }
    EXPECT_LE(used, ranks);
    seconds += slowest;
  }
  EXPECT_TRUE(std::ranges::all_of(seen, [](int times) { return times == 1; }));
  EXPECT_NEAR(plan.seconds, seconds, 1e-9 * seconds);
}

TEST(FlexSpSolver, IsNeverBetterThanTheExactOneAndSeldomWorse) {
  substrate::Random random(11);
  double sum = 0;
  int tried = 0;
  for (int i = 0; i < 120; ++i) {
    const int ranks = 1 << (1 + random.below(3));
    const FlexSpCosts costs = flexsp_round_costs(ranks, 96);
    const auto lengths = random_lengths(random, 3 + static_cast<int>(random.below(5)), 8);
    const FlexSpMicroBatch exact = exact_micro_batch(lengths, all_of(lengths), ranks, costs);
    const FlexSpMicroBatch solved = solve_micro_batch(lengths, all_of(lengths), ranks, costs, 0);
    if (std::isinf(exact.seconds)) {
      EXPECT_TRUE(std::isinf(solved.seconds));
      continue;
    }
    EXPECT_LE(micro_batch_bound(lengths, all_of(lengths), ranks, costs), exact.seconds * (1 + 1e-12));
    if (std::isinf(solved.seconds)) continue;  // greedy packing may miss a tight fit: a batch then takes more parts
    EXPECT_GE(solved.seconds, exact.seconds * (1 - 1e-12));
    EXPECT_LE(solved.seconds, 1.1 * exact.seconds);
    sum += solved.seconds / exact.seconds;
    ++tried;
  }
  EXPECT_GT(tried, 40);
  EXPECT_LT(sum / tried, 1.01);
}

TEST(FlexSpSolver, PlansEverySequenceOnceWithinMemory) {
  for (const char* id : {"github", "wikipedia", "byted"}) {
    const auto distribution = datasets::load_length_distribution(id, datasets::data_root());
    for (const int ranks : {8, 64}) {
      const FlexSpCosts costs = flexsp_round_costs(ranks, 6000);
      const auto lengths = datasets::draw_lengths(distribution, 128, 6000 * ranks, datasets::Overlong::drop, 2);
      expect_sound(plan_flexsp(lengths, ranks, costs), lengths, ranks, costs);
      expect_sound(plan_batch_adaptive(lengths, ranks, costs), lengths, ranks, costs);
      const int level = costs.least_level(*std::ranges::max_element(lengths));
      expect_sound(plan_one_degree(lengths, ranks, level, costs), lengths, ranks, costs);
    }
  }
}

TEST(FlexSpSolver, IsNotSlowerThanOneDegreeForAll) {
  const auto distribution = datasets::load_length_distribution("github", datasets::data_root());
  const FlexSpCosts costs = flexsp_round_costs(16, 8000);
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    const auto lengths = datasets::draw_lengths(distribution, 64, 128'000, datasets::Overlong::drop, seed);
    EXPECT_LE(plan_flexsp(lengths, 16, costs).seconds, 1.02 * plan_batch_adaptive(lengths, 16, costs).seconds);
  }
}

TEST(FlexSpSolver, TakesLargeGroupsForLongSequencesAndSmallOnesForShort) {
  std::vector<std::int64_t> lengths(24, 512);
  lengths.push_back(24'000);
  FlexSpCosts costs = flexsp_round_costs(16, 4096);
  costs.pair_seconds = 0;
  costs.token_seconds = 1;
  costs.exchange_seconds = {0, 0.5, 0.25, 2, 2};  // a cliff between 4 and 8
  const FlexSpPlan plan = plan_flexsp(lengths, 16, costs);
  ASSERT_FALSE(plan.micro_batches.empty());
  const FlexSpGroup& largest = plan.micro_batches.front().groups.front();
  EXPECT_GE(largest.degree, 8);
  EXPECT_NE(std::ranges::find(largest.sequences, 24), largest.sequences.end());
  int small = 0;
  for (const FlexSpMicroBatch& micro_batch : plan.micro_batches)
    for (const FlexSpGroup& group : micro_batch.groups) small += group.degree <= 2 ? 1 : 0;
  EXPECT_GT(small, 0);
}

TEST(FlexSpSolver, FindsNothingToWinWhereNoExchangeCosts) {
  FlexSpCosts costs = flexsp_round_costs(8, 4096);
  std::ranges::fill(costs.exchange_seconds, 0.0);
  const std::vector<std::int64_t> lengths(32, 1000);
  const double flexible = plan_flexsp(lengths, 8, costs).seconds,
               widest = plan_one_degree(lengths, 8, 3, costs).seconds;
  EXPECT_NEAR(flexible, widest, 0.01 * widest);
}

TEST(Buckets, AreTheBestThereAre) {
  substrate::Random random(5);
  for (int i = 0; i < 60; ++i) {
    auto lengths = random_lengths(random, 9, 9);
    const int buckets = 1 + static_cast<int>(random.below(4));
    // All ways to choose tops among the lengths, the largest always in.
    std::vector<std::int64_t> sorted = lengths;
    std::ranges::sort(sorted);
    double best = INFINITY;
    for (unsigned chosen = 0; chosen < 1U << (sorted.size() - 1); ++chosen) {
      if (std::popcount(chosen) >= buckets) continue;
      std::vector<std::int64_t> tops;
      for (std::size_t k = 0; k + 1 < sorted.size(); ++k)
        if ((chosen >> k & 1U) != 0) tops.push_back(sorted[k]);
      tops.push_back(sorted.back());
      best = std::min(best, bucket_error(lengths, tops));
    }
    const auto tops = bucket_tops(lengths, buckets);
    EXPECT_LE(static_cast<int>(tops.size()), buckets);
    EXPECT_NEAR(bucket_error(lengths, tops), best, 1e-12);
  }
}

TEST(CutByTokens, HasTheLeastLargestPart) {
  substrate::Random random(6);
  for (int i = 0; i < 60; ++i) {
    const auto lengths = random_lengths(random, 8, 9);
    std::vector<std::int64_t> sorted = lengths;
    std::ranges::sort(sorted, std::greater{});
    const int parts = 1 + static_cast<int>(random.below(4));
    std::int64_t best = 1 << 30;
    for (unsigned cuts = 0; cuts < 1U << 7; ++cuts) {
      if (std::popcount(cuts) >= parts) continue;
      std::int64_t most = 0, sum = 0;
      for (std::size_t k = 0; k < sorted.size(); ++k) {
        sum += sorted[k];
        most = std::max(most, sum);
        if (k < 7 && (cuts >> k & 1U) != 0) sum = 0;
      }
      best = std::min(best, most);
    }
    std::int64_t most = 0;
    for (const auto& part : cut_by_tokens(lengths, parts)) {
      std::int64_t sum = 0;
      for (const int sequence : part) sum += lengths[static_cast<std::size_t>(sequence)];
      most = std::max(most, sum);
    }
    EXPECT_EQ(most, best);
  }
}

TEST(FlexSpCosts, SayWhatTheProgramTakesOnTheModelledCluster) {
  const std::string root = datasets::data_root();
  const datasets::Cluster cluster = datasets::load_cluster("flexsp-a100-40g", root);
  const datasets::Device device = datasets::load_device(cluster.device, root);
  BatchPlan plan;
  plan.problem = {.lengths = {60'000, 9000, 8000, 7000, 6000, 5000, 3000, 2000, 1500, 1500, 700, 700},
                  .ranks = 16,
                  .heads = 64,
                  .kv_heads = 64,
                  .head_dim = 64,
                  .backward = true};
  const FlexSpCosts costs = flexsp_layer_costs(plan.problem, 8192, device, cluster);
  const FlexSpMicroBatch solved = solve_micro_batch(plan.problem.lengths, all_of(plan.problem.lengths), 16, costs, 0);
  ASSERT_FALSE(solved.groups.empty());
  plan.items = flexsp_items(plan.problem, {.micro_batches = {solved}, .seconds = solved.seconds});
  substrate::ClusterFabric fabric(
      {.cluster = cluster,
       .operator_seconds = [&](const substrate::OpWork& work) { return substrate::operator_seconds(device, work); },
       .memory_bandwidth = device.at("memory_bandwidth"),
       .ranks = 16});
  const RankProgram program = batch_program(plan);
  const double simulated =
      substrate::to_seconds(fabric.run([&](substrate::Rank& rank) { return program(rank, nullptr); }).makespan());
  EXPECT_NEAR(solved.seconds, simulated, 0.15 * simulated);
}

harness::claims::Setting batch_setting() {
  const std::string root = datasets::data_root();
  harness::claims::Setting setting;
  setting.dtype = "bf16";
  setting.ranks = 64;
  setting.workload = "github";
  setting.device = datasets::load_device("a100-40g-sxm", root);
  setting.cluster = datasets::load_cluster("flexsp-a100-40g", root);
  setting.model.emplace();
  setting.model->id = "of this test";
  setting.model->numbers = {{"layers", 32},   {"hidden", 4096}, {"heads", 64},    {"kv_heads", 64},
                            {"head_dim", 64}, {"ffn", 16384},   {"vocab", 50257}, {"parameters", 6.7e9}};
  setting.axes.set("context", std::int64_t{196608});
  setting.axes.set("global_batch", std::int64_t{64});
  return setting;
}

// The mesh is chosen anew where links change: a fixed one would lose in proportion.
TEST(FlexSpClaims, MegatronTakesTheFastestOfItsMeshes) {
  auto setting = batch_setting();
  const auto found = project_flexsp_megatron(setting, "throughput");
  ASSERT_TRUE(found.has_value());
  EXPECT_NE(found->note.find("the fastest of"), std::string::npos);
  auto slow = setting;
  slow.cluster->constants.at("inter_bandwidth").value /= 16;
  datasets::apply_constants(*slow.cluster);
  const auto on_slow = project_flexsp_megatron(slow, "throughput");
  EXPECT_LT(on_slow->value, found->value);
  EXPECT_GT(on_slow->value, found->value / 16);
  auto shorter = setting;
  shorter.axes.set("context", std::int64_t{65536});
  EXPECT_GT(project_flexsp_megatron(shorter, "throughput")->value, found->value) << "smaller replicas hold it";
}

TEST(FlexSpClaims, AModelThatNoMeshHoldsHasNoValue) {
  auto setting = batch_setting();
  setting.model->numbers.at("parameters") = 1e13;
  EXPECT_FALSE(project_flexsp_megatron(setting, "throughput").has_value());
}

}  // namespace
}  // namespace assay::parallelism
