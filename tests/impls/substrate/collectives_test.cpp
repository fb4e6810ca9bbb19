#include "impls/substrate/fabric/collectives.h"

#include <gtest/gtest.h>

#include <cmath>

#include "impls/substrate/cluster/cluster.h"
#include "impls/substrate/fabric/threads.h"

namespace assay::substrate {
namespace {

constexpr Tag kTag{.value = 9, .name = "parts"};

// Rank r has 8 (r + 2 p + 1) bytes for rank p, each number 100 r + p.
std::int64_t size_for(int from, int to) { return 8 * (from + 2 * to + 1); }

Task<> exchange(Rank& rank, std::vector<int>& wrong) {
  std::vector<Buffer> parts;
  std::vector<std::int64_t> expected;
  for (int p = 0; p < rank.size(); ++p) {
    parts.push_back(rank.allocate("part", Memory::communication, size_for(rank.id(), p)));
    if (rank.real()) std::ranges::fill(parts.back().write<double>(), 100 * rank.id() + p);
    expected.push_back(size_for(p, rank.id()));
  }
  const std::vector<Buffer> got = co_await all_to_all(rank, std::move(parts), std::move(expected), kTag, "arrived");
  for (int p = 0; p < rank.size(); ++p) {
    const Buffer& each = got[static_cast<std::size_t>(p)];
    int& bad = wrong[static_cast<std::size_t>(rank.id())];
    bad += each.bytes() == size_for(p, rank.id()) ? 0 : 1;
    if (rank.real())
      for (const double value : each.read<double>()) bad += value == 100 * p + rank.id() ? 0 : 1;
  }
}

class AllToAll : public ::testing::TestWithParam<int> {};

TEST_P(AllToAll, GivesEveryRankItsPartOfEveryOther) {
  const int ranks = GetParam();
  ThreadsFabric fabric(ranks);
  std::vector<int> wrong(static_cast<std::size_t>(ranks));
  const RunReport real = fabric.run([&](Rank& rank) { return exchange(rank, wrong); });
  EXPECT_EQ(wrong, std::vector<int>(static_cast<std::size_t>(ranks)));
  datasets::Cluster cluster;
  cluster.devices_per_node = ranks;
  cluster.intra = {.bandwidth = 1e9, .latency = 1e-6};
  ClusterFabric projected({.cluster = cluster,
                           .operator_seconds = [](const OpWork&) { return 0.0; },
                           .memory_bandwidth = 1e12,
                           .ranks = ranks});
  EXPECT_EQ(count_difference(real, projected.run([&](Rank& rank) { return exchange(rank, wrong); })), "");
  for (int r = 0; r < ranks; ++r) {
    std::int64_t bytes = 0;
    for (int p = 0; p < ranks; ++p) bytes += p == r ? 0 : size_for(r, p);
    EXPECT_EQ(real.ranks[static_cast<std::size_t>(r)].bytes_sent(), bytes);
    EXPECT_EQ(real.ranks[static_cast<std::size_t>(r)].messages_sent(), ranks - 1);
  }
}
INSTANTIATE_TEST_SUITE_P(Sizes, AllToAll, ::testing::Values(1, 2, 3, 4, 8));

TEST(AllToAllTime, IsThatOfABusiestLinkPlusOneLatency) {
  datasets::Cluster cluster;
  cluster.devices_per_node = 4;
  cluster.intra = {.bandwidth = 1e9, .latency = 5e-6};
  ClusterFabric fabric({.cluster = cluster,
                        .operator_seconds = [](const OpWork&) { return 0.0; },
                        .memory_bandwidth = 1e12,
                        .ranks = 4});
  const RunReport run = fabric.run([](Rank& rank) -> Task<> {
    std::vector<Buffer> parts;
    for (int p = 0; p < 4; ++p) parts.push_back(rank.allocate("part", Memory::communication, 1'000'000));
    const auto got = co_await all_to_all(rank, std::move(parts), std::vector<std::int64_t>(4, 1'000'000), kTag, "got");
  });
  EXPECT_NEAR(to_seconds(run.makespan()), 3e6 / 1e9 + 5e-6, 1e-9);
}

// -- all-gather and reduce-scatter

struct Nodes {
  int ranks, of_node;
};
std::ostream& operator<<(std::ostream& out, const Nodes& nodes) {
  return out << nodes.ranks << " in nodes of " << nodes.of_node;
}

RunReport run_virtual(int ranks, int of_node, const Program& program) {
  datasets::Cluster cluster;
  cluster.devices_per_node = of_node > 0 ? of_node : ranks;
  cluster.nodes = ranks;
  cluster.nics_per_node = cluster.devices_per_node;
  cluster.intra = {.bandwidth = 1e9, .latency = 1e-6};
  cluster.inter = {.bandwidth = 1e8, .latency = 1e-6};
  ClusterFabric fabric({.cluster = cluster,
                        .operator_seconds = [](const OpWork&) { return 0.0; },
                        .memory_bandwidth = 1e12,
                        .ranks = ranks});
  return fabric.run(program);
}

Task<> gather_all(Rank& rank, int of_node, std::int64_t scale, int& wrong) {
  std::vector<std::int64_t> bytes;
  for (int r = 0; r < rank.size(); ++r) bytes.push_back(8 * scale * (r + 1));
  Buffer mine = rank.allocate("mine", Memory::communication, bytes[static_cast<std::size_t>(rank.id())]);
  if (rank.real()) std::ranges::fill(mine.write<double>(), rank.id());
  AllGather gather(rank, std::move(mine), bytes, of_node, kTag, "gathered");
  const std::vector<Buffer> parts = co_await gather.arrived();
  for (int r = 0; r < rank.size(); ++r) {
    const Buffer& each = parts[static_cast<std::size_t>(r)];
    wrong += each.bytes() == bytes[static_cast<std::size_t>(r)] ? 0 : 1;
    if (rank.real())
      for (const double value : each.read<double>()) wrong += value == r ? 0 : 1;
  }
}

// Rank r has 2^r (p + 1) for rank p.
Task<> reduce_all(Rank& rank, int of_node, DType dtype, std::int64_t scale, int& wrong) {
  std::vector<Buffer> parts;
  for (int p = 0; p < rank.size(); ++p) {
    parts.push_back(rank.allocate("addend", Memory::communication, size_of(dtype) * scale * (p + 1)));
    const auto value = static_cast<float>((1 << rank.id()) * (p + 1));
    if (!rank.real()) continue;
    if (dtype == DType::f32) {
      std::ranges::fill(parts.back().write<float>(), value);
    } else {
      std::ranges::fill(parts.back().write<BFloat16>(), to_bf16(value));
    }
  }
  ReduceScatter scatter(rank, std::move(parts), dtype, of_node, kTag, "sum");
  const Buffer sum = co_await scatter.sum();
  wrong += sum.bytes() == size_of(dtype) * scale * (rank.id() + 1) ? 0 : 1;
  if (!rank.real()) co_return;
  const auto expected = static_cast<float>(((1 << rank.size()) - 1) * (rank.id() + 1));
  if (dtype == DType::f32) {
    for (const float value : sum.read<float>()) wrong += value == expected ? 0 : 1;
  } else {
    for (const BFloat16 value : sum.read<BFloat16>()) wrong += std::abs(to_float(value) / expected - 1) < 0.01 ? 0 : 1;
  }
}

class NodeCollectives : public ::testing::TestWithParam<Nodes> {};

TEST_P(NodeCollectives, GiveEveryRankEveryPartWithOneMessageAPeer) {
  const auto [ranks, of_node] = GetParam();
  std::vector<int> wrong(static_cast<std::size_t>(ranks));
  const auto program = [&](Rank& rank) {
    return gather_all(rank, of_node, 3, wrong[static_cast<std::size_t>(rank.id())]);
  };
  const RunReport real = ThreadsFabric(ranks).run(program);
  EXPECT_EQ(wrong, std::vector<int>(static_cast<std::size_t>(ranks)));
  EXPECT_EQ(count_difference(real, run_virtual(ranks, of_node, program)), "");
  std::int64_t sent = 0;
  for (const RankReport& each : real.ranks) {
    EXPECT_EQ(each.messages_sent(), ranks - 1);
    sent += each.bytes_sent();
  }
  EXPECT_EQ(sent, std::int64_t{8} * 3 * (ranks - 1) * ranks * (ranks + 1) / 2) << "every part to every other rank once";
}

TEST_P(NodeCollectives, SumTheAddendsOfAllRanks) {
  const auto [ranks, of_node] = GetParam();
  for (const DType dtype : {DType::f32, DType::bf16}) {
    std::vector<int> wrong(static_cast<std::size_t>(ranks));
    const auto program = [&](Rank& rank) {
      return reduce_all(rank, of_node, dtype, 5, wrong[static_cast<std::size_t>(rank.id())]);
    };
    const RunReport real = ThreadsFabric(ranks).run(program);
    EXPECT_EQ(wrong, std::vector<int>(static_cast<std::size_t>(ranks)));
    EXPECT_EQ(count_difference(real, run_virtual(ranks, of_node, program)), "");
    for (const RankReport& each : real.ranks) EXPECT_EQ(each.messages_sent(), ranks - 1);
  }
}

INSTANTIATE_TEST_SUITE_P(Sizes, NodeCollectives,
                         ::testing::Values(Nodes{1, 0}, Nodes{2, 0}, Nodes{4, 0}, Nodes{4, 2}, Nodes{6, 2}, Nodes{6, 3},
                                           Nodes{8, 4}, Nodes{5, 2}));

// Between nodes every rank carries its own share: with one NIC each the slow links take parts of a node only, not all.
TEST(NodeCollectivesTime, NicsOfANodeWorkSideBySide) {
  constexpr std::int64_t kElements = 125'000;  // parts of 1 MB
  const auto gather = [](int of_node) {
    return [of_node](Rank& rank) -> Task<> {
      Buffer mine = rank.allocate("mine", Memory::communication, 8 * kElements);
      AllGather under_way(rank, std::move(mine), std::vector<std::int64_t>(8, 8 * kElements), of_node, kTag, "all");
      const auto all = co_await under_way.arrived();
    };
  };
  datasets::Cluster cluster;
  cluster.devices_per_node = 4;
  cluster.nodes = 2;
  cluster.nics_per_node = 4;
  cluster.intra = {.bandwidth = 1e9, .latency = 0};
  cluster.inter = {.bandwidth = 1e8, .latency = 0};
  const auto seconds = [&](int of_node) {
    ClusterFabric fabric({.cluster = cluster,
                          .operator_seconds = [](const OpWork&) { return 0.0; },
                          .memory_bandwidth = 1e12,
                          .ranks = 8});
    return to_seconds(fabric.run(gather(of_node)).makespan());
  };
  EXPECT_NEAR(seconds(4), 1e6 / 1e8 + 3e6 / 1e9, 1e-6) << "one part over a NIC, then three inside the node";
  EXPECT_NEAR(seconds(0), 4e6 / 1e8, 1e-3) << "four parts over every NIC";
}

}  // namespace
}  // namespace assay::substrate
