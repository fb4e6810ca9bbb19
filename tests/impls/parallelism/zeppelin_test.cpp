// Zeppelin: zones that hold every sequence once within capacity, routed transfers that carry what direct ones do over
// more NICs, and moves that leave every rank an even share at the least price.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <numeric>

#include "datasets/machine.h"
#include "datasets/workloads/length_distribution.h"
#include "impls/parallelism/variable_length/batch_case.h"
#include "impls/parallelism/variable_length/batch_data.h"
#include "impls/parallelism/variable_length/zeppelin_planner.h"
#include "impls/substrate/cluster/cluster.h"
#include "impls/substrate/fabric/threads.h"
#include "impls/substrate/random.h"

namespace assay::parallelism {
namespace {

BatchProblem batch(const char* workload, std::int64_t tokens, int ranks) {
  const auto distribution = datasets::load_length_distribution(workload, datasets::data_root());
  return {.lengths = datasets::draw_tokens(distribution, tokens, tokens, datasets::Overlong::cut, 4),
          .ranks = ranks,
          .heads = 4,
          .kv_heads = 2,
          .head_dim = 8,
          .dtype = substrate::DType::f32,
          .backward = true};
}

TEST(ZeppelinPlans, HoldEveryTokenOnceAndConserveCausalWork) {
  for (const char* workload : {"arxiv", "github", "prolong64k"})
    for (const char* arm : {"te-cp", "routing", "engine", "both", "all"}) {
      const BatchPlan plan = plan_zeppelin(batch(workload, 65536, 16), arm, 8, 8192);
      EXPECT_NO_THROW(require_whole(plan));
      const std::vector<double> pairs = pairs_by_rank(plan);
      EXPECT_NEAR(std::accumulate(pairs.begin(), pairs.end(), 0.0), plan.problem.pairs(), 1e-6 * plan.problem.pairs());
    }
}

TEST(ZeppelinZones, NeverGiveARankMoreThanItsCapacity) {
  for (const char* workload : {"arxiv", "github", "prolong64k", "wikipedia"})
    for (const std::int64_t capacity : {4500, 6000, 9000}) {
      const BatchPlan plan = plan_zeppelin(batch(workload, 65536, 16), "engine", 8, capacity);
      std::vector<std::int64_t> tokens(16, 0);
      for (const BatchItem& item : plan.items)
        for (std::size_t m = 0; m < item.ranks.size(); ++m)
          tokens[static_cast<std::size_t>(item.ranks[m])] += tokens_of(item.shares[m]);
      // Pieces of a zigzag differ by two tokens, in up to two rings a rank is part of.
      EXPECT_LE(*std::ranges::max_element(tokens), capacity + 4) << workload << " " << capacity;
    }
}

TEST(ZeppelinZones, PutLongSequencesOverNodesAndShortOnesOnOneRank) {
  const std::vector<std::int64_t> lengths{40'000, 9000, 500, 400, 300, 200};
  const ZeppelinZones zones = zeppelin_zones(lengths, {.nodes = 2, .node_ranks = 4, .capacity = 8000});
  EXPECT_EQ(zones.between_nodes, std::vector<int>{0});  // more than a node holds
  int inside = 0, local = 0;
  for (const auto& each : zones.inside_node) inside += static_cast<int>(each.size());
  for (const auto& each : zones.local) local += static_cast<int>(each.size());
  EXPECT_GE(inside, 1);  // 9000 tokens are more than a rank holds
  EXPECT_EQ(inside + local, 5);
  EXPECT_GE(local, 2);
}

std::int64_t price(const std::vector<TokenMove>& moves, int node_ranks) {
  std::int64_t sum = 0;
  for (const TokenMove& move : moves) sum += move.tokens * (move.from / node_ranks == move.to / node_ranks ? 1 : 10);
  return sum;
}

TEST(EvenOut, LeavesEveryRankAnEvenShareForTheLeastPrice) {
  substrate::Random random(8);
  for (int i = 0; i < 80; ++i) {
    std::vector<std::int64_t> tokens;
    for (int r = 0; r < 4; ++r) tokens.push_back(static_cast<std::int64_t>(random.below(7)));
    const std::vector<TokenMove> moves = even_out(tokens, 2);
    std::vector<std::int64_t> after = tokens;
    for (const TokenMove& move : moves) {
      after[static_cast<std::size_t>(move.from)] -= move.tokens;
      after[static_cast<std::size_t>(move.to)] += move.tokens;
    }
    const auto [least, most] = std::ranges::minmax_element(after);
    EXPECT_LE(*most - *least, 1);
    // The same totals reached one token at a time, every way there is.
    std::int64_t best = std::numeric_limits<std::int64_t>::max();
    const std::function<void(std::vector<std::int64_t>&, std::int64_t)> search = [&](std::vector<std::int64_t>& now,
                                                                                     std::int64_t paid) {
      if (paid >= best) return;
      std::size_t from = 0;
      while (from < 4 && now[from] <= after[from]) ++from;
      if (from == 4) {
        best = paid;
        return;
      }
      for (std::size_t to = 0; to < 4; ++to) {
        if (now[to] >= after[to]) continue;
        --now[from];
        ++now[to];
        search(now, paid + (from / 2 == to / 2 ? 1 : 10));
        ++now[from];
        --now[to];
      }
    };
    std::vector<std::int64_t> now = tokens;
    search(now, 0);
    EXPECT_EQ(price(moves, 2), best);
  }
}

TEST(Routing, GivesTheResultOfTheOracleWithEveryMutantOfItCaught) {
  for (const int node_ranks : {2, 3}) {
    BatchProblem problem = batch("prolong64k", 300, 6);
    const auto plan = std::make_shared<const BatchPlan>(plan_zeppelin(problem, "routing", node_ranks, 100));
    ASSERT_EQ(plan->routed_node_ranks, node_ranks);
    BatchData data(plan);
    substrate::ThreadsFabric threads(6);
    const auto error_of = [&](const RankProgram& program) {
      data.draw(2);
      threads.run([&](substrate::Rank& rank) { return program(rank, &data); });
      return data.compare(2).error;
    };
    const ProgramScheme scheme = batch_scheme(*plan);
    EXPECT_LE(error_of(scheme.program), 1);
    bool routed_mutant = false;
    for (const ProgramMutant& mutant : scheme.mutants) {
      EXPECT_FALSE(error_of(mutant.program) <= 1) << mutant.name;
      routed_mutant = routed_mutant || mutant.name == "first-route-lost";
    }
    EXPECT_TRUE(routed_mutant);
  }
}

TEST(Routing, BringsALongSequenceOverABorderOfNodesFaster) {
  const std::string root = datasets::data_root();
  const datasets::Cluster cluster = datasets::load_cluster("zeppelin-a", root);
  const datasets::Device device = datasets::load_device(cluster.device, root);
  const auto seconds = [&](const char* arm) {
    BatchProblem problem{.lengths = {65536}, .ranks = 16, .heads = 32, .kv_heads = 32, .head_dim = 100};
    const RankProgram program = batch_program(plan_zeppelin(problem, arm, 8, 65536));
    substrate::ClusterFabric fabric({.cluster = cluster,
                                     .operator_seconds = [](const substrate::OpWork&) { return 0.0; },
                                     .memory_bandwidth = device.at("memory_bandwidth"),
                                     .ranks = 16});
    return substrate::to_seconds(fabric.run([&](substrate::Rank& rank) { return program(rank, nullptr); }).makespan());
  };
  EXPECT_LT(seconds("routing"), 0.7 * seconds("te-cp"));
}

TEST(Remapping, MovesTokensThereAndBackAndTheGateNoticesWhenTheyAreLost) {
  BatchProblem problem = batch("github", 400, 4);
  const auto plan = std::make_shared<const BatchPlan>(plan_zeppelin(problem, "all", 2, 300));
  ASSERT_FALSE(plan->moves.empty());
  BatchData data(plan);
  data.draw(6);
  substrate::ThreadsFabric threads(4);
  const ProgramScheme scheme = batch_scheme(*plan);
  threads.run([&](substrate::Rank& rank) { return scheme.program(rank, &data); });
  EXPECT_LE(data.compare(6).error, 1);
  bool caught = false;
  for (const ProgramMutant& mutant : scheme.mutants) {
    if (mutant.name != "remapped-lost") continue;
    data.draw(6);
    threads.run([&](substrate::Rank& rank) { return mutant.program(rank, &data); });
    caught = !(data.compare(6).error <= 1);
  }
  EXPECT_TRUE(caught);
}

}  // namespace
}  // namespace assay::parallelism
