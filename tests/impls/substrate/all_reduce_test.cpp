// All-reduce and broadcast as programs over sends and receives: values, counts and the choice of an algorithm.
#include "impls/substrate/fabric/all_reduce.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>

#include "impls/substrate/cluster/algorithm_choice.h"
#include "impls/substrate/cluster/cluster.h"
#include "impls/substrate/fabric/broadcast.h"
#include "impls/substrate/fabric/threads.h"

namespace assay::substrate {
namespace {

constexpr Tag kTag{.value = 3, .name = "sum"};

datasets::Cluster nodes_of(int devices, int nodes) {
  datasets::Cluster cluster;
  cluster.devices_per_node = devices;
  cluster.nodes = nodes;
  cluster.nics_per_node = devices;
  cluster.intra = {.bandwidth = 1e11, .latency = 2e-6};
  cluster.inter = {.bandwidth = 1e10, .latency = 5e-6};
  return cluster;
}

ClusterFabric on(const datasets::Cluster& cluster, int ranks) {
  return ClusterFabric({.cluster = cluster,
                        .operator_seconds = [](const OpWork&) { return 0.0; },
                        .memory_bandwidth = 1e12,
                        .ranks = ranks});
}

// Rank r has r + 1 + i in element i: sums are whole numbers, so that every order of additions gives the same bits.
Task<> sum_all(Rank& rank, AllReducePlan plan, std::int64_t elements, std::vector<std::vector<float>>* results) {
  Buffer tensor = rank.allocate("tensor", Memory::activation, elements * 4);
  if (rank.real()) {
    const auto values = tensor.write<float>();
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] = static_cast<float>(rank.id() + 1) + static_cast<float>(i);
  }
  co_await all_reduce(rank, tensor, plan, DType::f32, kTag);
  if (!rank.real()) co_return;
  const auto values = tensor.read<float>();
  (*results)[static_cast<std::size_t>(rank.id())].assign(values.begin(), values.end());
}

class AllReduceProgram : public ::testing::TestWithParam<AllReduce> {};

TEST_P(AllReduceProgram, GivesEveryRankTheSumWithTheCountsOfItsVirtualRun) {
  for (const int ranks : {1, 2, 3, 4, 5, 6, 7, 8, 12})
    for (const std::int64_t elements : {1, 3, 100, 1001}) {
      const AllReducePlan plan{.algorithm = GetParam(), .node_ranks = ranks % 2 == 0 ? 2 : 0, .piece_bytes = 128};
      std::vector<std::vector<float>> results(static_cast<std::size_t>(ranks));
      const auto program = [&](Rank& rank) { return sum_all(rank, plan, elements, &results); };
      const RunReport real = ThreadsFabric(ranks).run(program);
      for (const auto& each : results)
        for (std::size_t i = 0; i < each.size(); ++i)
          ASSERT_EQ(each[i],
                    static_cast<float>(ranks * (ranks + 1) / 2) + static_cast<float>(ranks) * static_cast<float>(i))
              << ranks << " ranks, " << elements << " elements";
      ASSERT_EQ(count_difference(real, on(nodes_of(ranks, 1), ranks).run(program)), "");
    }
}

INSTANTIATE_TEST_SUITE_P(Algorithms, AllReduceProgram, ::testing::ValuesIn(kAllReduces), [](const auto& algorithm) {
  std::string name(to_string(algorithm.param));
  std::ranges::replace(name, '-', '_');
  return name;
});

RunReport run(AllReducePlan plan, int ranks, std::int64_t elements) {
  return on(nodes_of(ranks, 1), ranks).run([&](Rank& rank) { return sum_all(rank, plan, elements, nullptr); });
}

TEST(AllReduceCosts, AreThoseOfTheFormulas) {
  for (const int ranks : {2, 4, 8, 16, 64}) {
    const std::int64_t n = 1024 * ranks;
    const auto log2 = static_cast<std::int64_t>(std::log2(ranks));
    for (const RankReport& each : run({.algorithm = AllReduce::ring}, ranks, n).ranks) {
      EXPECT_EQ(each.bytes_sent() * ranks, 2 * (ranks - 1) * n * 4);
      EXPECT_EQ(each.messages_sent(), 2 * (ranks - 1));
    }
    for (const RankReport& each : run({.algorithm = AllReduce::halving_doubling}, ranks, n).ranks) {
      EXPECT_EQ(each.bytes_sent() * ranks, 2 * (ranks - 1) * n * 4);
      EXPECT_EQ(each.messages_sent(), 2 * log2);
    }
    const RunReport star = run({.algorithm = AllReduce::star}, ranks, n);
    EXPECT_EQ(star.ranks[0].bytes_sent(), (ranks - 1) * n * 4);
    EXPECT_EQ(star.ranks[1].bytes_sent(), n * 4);
    if (ranks < 4) continue;
    const RunReport nodes = run({.algorithm = AllReduce::hierarchical, .node_ranks = 4}, ranks, n);
    for (const RankReport& each : nodes.ranks) {
      EXPECT_EQ(each.messages_sent(), 2 * 3 + 2 * (ranks / 4 - 1));
      EXPECT_EQ(each.bytes_sent() * ranks, 2 * 3 * n * ranks + 2 * (ranks / 4 - 1) * n * 4);  // 2 3/4 n + 2 (M-1)/M n/4
    }
  }
}

TEST(AllReduceCosts, ATreeMemberSendsAtMostTwiceTheTensor) {
  for (const int ranks : {2, 3, 8, 9, 64}) {
    const std::int64_t n = 64 * 1024;
    for (const RankReport& each : run({.algorithm = AllReduce::double_tree, .piece_bytes = 4096}, ranks, n).ranks)
      EXPECT_LE(each.bytes_sent(), 2 * n * 4);
  }
}

TEST(DoubleTree, IsTwoTreesAndNoMemberIsInsideBoth) {
  for (int members = 2; members <= 70; ++members) {
    for (std::size_t tree = 0; tree < 2; ++tree) {
      int roots = 0;
      for (int m = 0; m < members; ++m) {
        const TreePlace place = double_tree(members, m)[tree];
        if (place.up < 0) {
          ++roots;
        } else {
          const auto downs = double_tree(members, place.up)[tree].down;
          EXPECT_TRUE(downs[0] == m || downs[1] == m) << m << " of " << members;
        }
        int above = m, steps = 0;
        while (double_tree(members, above)[tree].up >= 0 && ++steps <= members)
          above = double_tree(members, above)[tree].up;
        EXPECT_LE(steps, 8) << "the way to the root is short and ends";
      }
      EXPECT_EQ(roots, 1);
    }
    for (int m = 0; m < members && members % 2 == 0; ++m) {
      const auto places = double_tree(members, m);
      const auto inside = [](const TreePlace& place) { return place.down[0] >= 0 && place.down[1] >= 0; };
      EXPECT_FALSE(inside(places[0]) && inside(places[1])) << m << " of " << members;
    }
  }
}

TEST(Broadcast, GivesEveryRankTheTensorOfTheRoot) {
  for (const Broadcast algorithm : {Broadcast::binomial, Broadcast::chain})
    for (const int ranks : {1, 2, 3, 5, 8}) {
      std::atomic<int> wrong = 0;
      const auto program = [&](Rank& rank) -> Task<> {
        Buffer tensor = rank.allocate("tensor", Memory::activation, 1000);
        const int root = rank.size() / 2;
        if (rank.real()) std::ranges::fill(tensor.write<std::byte>(), std::byte(rank.id() == root ? 5 : 9));
        co_await broadcast(rank, tensor, {.algorithm = algorithm, .root = root, .piece_bytes = 96}, kTag);
        if (rank.real())
          for (const std::byte each : tensor.read<std::byte>()) wrong += each == std::byte{5} ? 0 : 1;
      };
      const RunReport real = ThreadsFabric(ranks).run(program);
      EXPECT_EQ(wrong, 0);
      EXPECT_EQ(count_difference(real, on(nodes_of(ranks, 1), ranks).run(program)), "");
    }
}

Picoseconds makespan(const datasets::Cluster& cluster, int ranks, const AllReducePlan& plan, std::int64_t bytes) {
  return on(cluster, ranks).run([&](Rank& rank) { return sum_all(rank, plan, bytes / 4, nullptr); }).makespan();
}

TEST(AllReduceChoice, IsCloseToTheBestOfAllOnTheSimulatedCluster) {
  for (const auto& [devices, nodes] : {std::pair{8, 1}, {8, 4}, {4, 8}, {1, 16}}) {
    const datasets::Cluster cluster = nodes_of(devices, nodes);
    const int ranks = devices * nodes;
    const auto table = all_reduce_table(cluster, ranks);
    for (const std::int64_t bytes : {1 << 10, 1 << 16, 1 << 20, 1 << 26}) {
      Picoseconds best = makespan(cluster, ranks, choose_all_reduce(table, bytes), bytes);
      const Picoseconds chosen = best;
      for (const AllReduce algorithm : kAllReduces)
        best = std::min(best, makespan(cluster, ranks, plan_all_reduce(cluster, ranks, algorithm, bytes), bytes));
      EXPECT_LE(static_cast<double>(chosen), 1.35 * static_cast<double>(best))
          << bytes << " B on " << nodes << " nodes of " << devices << ": "
          << to_string(choose_all_reduce(table, bytes).algorithm);
    }
  }
}

TEST(AllReduceChoice, FewMessagesForSmallTensorsAndFewBytesForLargeOnes) {
  const auto table = all_reduce_table(nodes_of(1, 64), 64);
  EXPECT_NE(choose_all_reduce(table, 256).algorithm, AllReduce::ring);
  EXPECT_NE(choose_all_reduce(table, std::int64_t{1} << 33).algorithm, AllReduce::star);
}

}  // namespace
}  // namespace assay::substrate
