// Batches of sequences of different lengths: that tokens, pairs and capacity are conserved by every way of dealing
// them, and that a planned batch runs as it is counted.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "datasets/machine.h"
#include "datasets/workloads/length_distribution.h"
#include "impls/parallelism/variable_length/batch_case.h"
#include "impls/parallelism/variable_length/batch_costs.h"
#include "impls/parallelism/variable_length/batch_data.h"
#include "impls/parallelism/variable_length/packing.h"
#include "impls/substrate/cluster/cluster.h"
#include "impls/substrate/fabric/threads.h"
#include "impls/substrate/random.h"

namespace assay::parallelism {
namespace {

std::vector<std::int64_t> random_lengths(std::uint64_t seed, int count, std::int64_t longest) {
  substrate::Random random(seed);
  std::vector<std::int64_t> lengths;
  for (int i = 0; i < count; ++i)
    lengths.push_back(1 + static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(longest))));
  return lengths;
}

std::vector<int> all_of(const std::vector<std::int64_t>& lengths) {
  std::vector<int> all(lengths.size());
  std::iota(all.begin(), all.end(), 0);
  return all;
}

std::vector<int> ranks_upto(int count) {
  std::vector<int> ranks(static_cast<std::size_t>(count));
  std::iota(ranks.begin(), ranks.end(), 0);
  return ranks;
}

TEST(TokenSlices, CountPairsAsALoopDoes) {
  substrate::Random random(3);
  const auto below = [&](std::int64_t n) {
    return static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(n)));
  };
  for (int i = 0; i < 300; ++i) {
    const Slice q{static_cast<int>(below(2)), below(9), 9 + below(6)},
        k{static_cast<int>(below(2)), below(9), 9 + below(6)};
    std::int64_t pairs = 0;
    for (std::int64_t a = q.begin; a < q.end; ++a)
      for (std::int64_t b = k.begin; b < k.end; ++b) pairs += q.sequence == k.sequence && b <= a ? 1 : 0;
    EXPECT_EQ(causal_pairs(q, k), pairs);
  }
}

TEST(Shares, HoldEveryTokenOnceAndConserveCausalWork) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed)
    for (const int members : {1, 2, 3, 5, 8})
      for (const Exchange exchange : {Exchange::ring, Exchange::heads}) {
        BatchPlan plan;
        plan.problem.lengths = random_lengths(seed, 7, 90);
        plan.problem.ranks = members;
        plan.items = {make_item(plan.problem, ranks_upto(members), all_of(plan.problem.lengths), exchange)};
        EXPECT_NO_THROW(require_whole(plan));
        const std::vector<double> pairs = pairs_by_rank(plan);
        EXPECT_NEAR(std::accumulate(pairs.begin(), pairs.end(), 0.0), plan.problem.pairs(), 1e-6);
      }
}

TEST(Shares, OfAZigzagAreEqualToTwoTokensAndHaveEqualWork) {
  BatchPlan plan;
  plan.problem.lengths = random_lengths(9, 40, 3000);
  plan.problem.ranks = 8;
  plan.items = {make_item(plan.problem, ranks_upto(8), all_of(plan.problem.lengths), Exchange::ring)};
  std::int64_t least = 1 << 30, most = 0;
  for (const Share& share : plan.items[0].shares) {
    least = std::min(least, tokens_of(share));
    most = std::max(most, tokens_of(share));
  }
  EXPECT_LE(most - least, 2);
  const std::vector<double> pairs = pairs_by_rank(plan);
  EXPECT_LT(*std::ranges::max_element(pairs), 1.01 * plan.problem.pairs() / 8);
}

TEST(Plans, ThatLoseOrRepeatATokenAreRefused) {
  BatchPlan plan;
  plan.problem.lengths = {20, 30};
  plan.problem.ranks = 2;
  const BatchItem good = make_item(plan.problem, {0, 1}, {0, 1}, Exchange::ring);
  plan.items = {good, good};
  EXPECT_THROW(require_whole(plan), std::logic_error);
  plan.items = {good};
  plan.items[0].shares[1].pop_back();
  EXPECT_THROW(require_whole(plan), std::logic_error);
  plan.items = {make_item(plan.problem, {0, 2}, {0, 1}, Exchange::ring)};
  EXPECT_THROW(require_whole(plan), std::logic_error);
}

TEST(BestFitRows, HoldEverySequenceOnceAndNeverMoreThanTheirRoom) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const auto lengths = random_lengths(seed, 60, 100);
    std::vector<int> seen(lengths.size(), 0);
    std::int64_t tokens = 0;
    const auto rows = best_fit_rows(lengths, all_of(lengths), 120);
    for (const auto& row : rows) {
      std::int64_t sum = 0;
      for (const int sequence : row) {
        ++seen[static_cast<std::size_t>(sequence)];
        sum += lengths[static_cast<std::size_t>(sequence)];
      }
      EXPECT_LE(sum, 120);
      tokens += sum;
    }
    EXPECT_TRUE(std::ranges::all_of(seen, [](int times) { return times == 1; }));
    EXPECT_LE(rows.size(), static_cast<std::size_t>(2 * tokens / 120 + 1));  // no two rows would fit one
  }
}

TEST(BestFitRows, GiveWhatIsLongerThanTheRoomARowOfItsOwn) {
  const auto rows = best_fit_rows({50, 10, 10}, {0, 1, 2}, 20);
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[0], std::vector<int>{0});
  EXPECT_EQ(rows[1], (std::vector<int>{1, 2}));
}

// Two groups side by side, then all ranks together, packed and not, by both exchanges.
BatchPlan mixed_plan(substrate::DType dtype, int kv_heads) {
  BatchPlan plan;
  plan.problem = {.lengths = {37, 5, 64, 18, 90, 1},
                  .ranks = 4,
                  .heads = 4,
                  .kv_heads = kv_heads,
                  .head_dim = 8,
                  .dtype = dtype,
                  .backward = true};
  plan.items = {make_item(plan.problem, {0, 2}, {0, 1}, Exchange::heads),
                make_item(plan.problem, {1, 3}, {2}, Exchange::ring, 0.5),
                make_item(plan.problem, {3}, {3, 5}, Exchange::ring),
                make_item(plan.problem, {0, 1, 2, 3}, {4}, Exchange::ring)};
  return plan;
}

TEST(ABatch, GivesEverySequenceTheResultItHasAloneByBothExchangesSideBySide) {
  for (const substrate::DType dtype : {substrate::DType::f32, substrate::DType::bf16})
    for (const int kv_heads : {4, 2, 1}) {
      const auto plan = std::make_shared<const BatchPlan>(mixed_plan(dtype, kv_heads));
      BatchData data(plan);
      data.draw(5);
      substrate::ThreadsFabric threads(4);
      const RankProgram program = batch_program(*plan);
      threads.run([&](substrate::Rank& rank) { return program(rank, &data); });
      const harness::Check check = data.compare(5);
      EXPECT_LE(check.error, 1) << kv_heads << " key heads: " << check.detail;
      EXPECT_EQ(check.coverage, 1);
    }
}

TEST(ABatch, CountsTheSameOnRealAndOnVirtualRanks) {
  const auto plan = std::make_shared<const BatchPlan>(mixed_plan(substrate::DType::bf16, 2));
  BatchData data(plan);
  data.draw(5);
  substrate::ThreadsFabric threads(4);
  const RankProgram program = batch_program(*plan);
  const auto real = threads.run([&](substrate::Rank& rank) { return program(rank, &data); });
  EXPECT_EQ(substrate::count_difference(real, count_program(program, 4)), "");
}

TEST(LayerCosts, AreThoseOfTheOperatorTheyStandFor) {
  const datasets::Device device = datasets::load_device("a100-80g-sxm", datasets::data_root());
  const BatchProblem shape{.lengths = {}, .ranks = 1, .heads = 32, .kv_heads = 32, .head_dim = 128, .backward = true};
  const LayerCosts costs = attention_costs(shape, device);
  // Causal attention of 16k tokens, forward and backward, at half to full rate of the tensor cores.
  const double pairs = 16384.0 * 16385 / 2;
  const double at_peak = 14 * pairs * 32 * 128 / 3.12e14;
  EXPECT_GT(costs.pair_seconds * pairs, at_peak);
  EXPECT_LT(costs.pair_seconds * pairs, 3 * at_peak);
  EXPECT_GE(costs.token_seconds, 0);
}

TEST(ExchangeCosts, FallFromInsideANodeToBetweenNodes) {
  const std::string root = datasets::data_root();
  const datasets::Cluster cluster = datasets::load_cluster("flexsp-a100-40g", root);
  const datasets::Device device = datasets::load_device(cluster.device, root);
  const BatchProblem shape{.lengths = {}, .ranks = 1, .heads = 64, .kv_heads = 64, .head_dim = 64, .backward = true};
  const double inside = heads_exchange_costs(shape, 8, device, cluster).token_seconds * 8;
  const double between = heads_exchange_costs(shape, 16, device, cluster).token_seconds * 16;
  EXPECT_GT(between, 2 * inside);  // seconds of a rank's token: the cliff that FlexSP plans around
}

TEST(TokenMemory, IsThirtyFourBytesAHiddenAndLayerUntilThatDoesNotFit) {
  const datasets::Model model{.id = "m",
                              .numbers = {{"layers", 32}, {"hidden", 4096}, {"ffn", 16384}, {"vocab", 0}},
                              .source = {},
                              .reconstructed = {},
                              .file = {},
                              .hash = {}};
  const TokenMemory roomy = token_memory(model, 40e9, 0, 1000);
  EXPECT_DOUBLE_EQ(roomy.bytes, 34.0 * 4096 * 32);
  EXPECT_EQ(roomy.recomputed, 0);
  const TokenMemory tight = token_memory(model, 40e9, 0, 15000);
  EXPECT_GT(tight.recomputed, 0);
  EXPECT_GE(tight.capacity, 15000);
}

}  // namespace
}  // namespace assay::parallelism
