// The emulated fabric: real data, and no message faster than its links.
#include "impls/substrate/cluster/emulated.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "datasets/user_error.h"
#include "impls/substrate/cluster/cluster.h"
#include "impls/substrate/fabric/all_reduce.h"

namespace assay::substrate {
namespace {

constexpr Tag kTag{.value = 2, .name = "block"};

datasets::Cluster slow_nodes() {
  datasets::Cluster cluster;
  cluster.file = "slow.toml";
  cluster.devices_per_node = 2;
  cluster.nodes = 2;
  cluster.nics_per_node = 1;
  cluster.intra = {.bandwidth = 1e9, .latency = 2e-4};
  cluster.inter = {.bandwidth = 1e8, .latency = 1e-3};
  return cluster;
}

Task<> pass_on(Rank& rank, std::vector<int>* wrong) {
  Buffer held = rank.allocate("held", Memory::communication, 100'000);
  if (rank.real()) std::ranges::fill(held.write<std::byte>(), std::byte(rank.id()));
  for (int hop = 0; hop < rank.size(); ++hop) held = co_await rank.shift(held, +1, {.tag = kTag});
  if (rank.real())
    for (const std::byte each : held.read<std::byte>())
      (*wrong)[static_cast<std::size_t>(rank.id())] += each == std::byte(rank.id()) ? 0 : 1;
}

TEST(EmulatedFabric, MovesRealDataWithTheCountsOfTheCluster) {
  std::vector<int> wrong(4);
  const auto program = [&](Rank& rank) { return pass_on(rank, &wrong); };
  const RunReport emulated = EmulatedFabric(slow_nodes(), 4).run(program);
  EXPECT_EQ(wrong, std::vector<int>(4));
  ClusterFabric projected({.cluster = slow_nodes(),
                           .operator_seconds = [](const OpWork&) { return 0.0; },
                           .memory_bandwidth = 1e12,
                           .ranks = 4});
  EXPECT_EQ(count_difference(emulated, projected.run(program)), "");
}

TEST(EmulatedFabric, NoMessageIsFasterThanItsLinks) {
  std::vector<int> wrong(4);
  const RunReport run = EmulatedFabric(slow_nodes(), 4).run([&](Rank& rank) { return pass_on(rank, &wrong); });
  for (int r = 0; r < 4; ++r)
    for (const MessageLogEntry& each : run.ranks[static_cast<std::size_t>(r)].messages.entries()) {
      if (each.direction != Direction::received) continue;
      const bool inside = each.peer / 2 == r / 2;
      const double least = inside ? 1e5 / 1e9 + 2e-4 : 1e5 / 1e8 + 1e-3;
      EXPECT_GE(to_seconds(each.in_flight), static_cast<double>(each.messages) * least * 0.999)
          << r << " " << each.peer;
    }
  // Four hops of which every rank's blocks cross between nodes twice.
  EXPECT_GE(to_seconds(run.makespan()), 2 * (1e-3 + 1e-3));
}

TEST(EmulatedFabric, RanksThatTheClusterCannotHoldAreRefused) {
  try {
    EmulatedFabric(slow_nodes(), 5);
    ADD_FAILURE();
  } catch (const UserError& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("slow.toml: 5 ranks need 3 nodes of 2 devices, the cluster has 2"));
  }
}

}  // namespace
}  // namespace assay::substrate
