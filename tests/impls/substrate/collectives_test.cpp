#include "impls/substrate/fabric/collectives.h"

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace assay::substrate
