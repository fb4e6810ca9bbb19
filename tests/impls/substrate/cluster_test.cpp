// The cluster fabric: virtual time, shared links, the same contract as on real data.
#include "impls/substrate/cluster/cluster.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <tuple>

#include "datasets/user_error.h"
#include "impls/substrate/cluster/network.h"
#include "impls/substrate/fabric/rank.h"
#include "tests/impls/substrate/rank_programs_for_tests.h"

namespace assay::substrate {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr std::int64_t kMega = 1'000'000;
constexpr Picoseconds kMicro = 1'000'000;

// Ports of 100 GB/s, NICs of 10 GB/s, no latency: a megabyte takes 10 us inside a node and 100 us between nodes.
datasets::Cluster nodes_of(int devices, int nodes, int nics) {
  datasets::Cluster cluster;
  cluster.file = "test.toml";
  cluster.devices_per_node = devices;
  cluster.nodes = nodes;
  cluster.intra = {.bandwidth = 1e11, .latency = 0};
  cluster.inter = {.bandwidth = 1e10, .latency = 0};
  cluster.nics_per_node = nics;
  return cluster;
}

ClusterFabric fabric_of(const datasets::Cluster& cluster, int ranks, std::vector<int> placement = {}) {
  return ClusterFabric({.cluster = cluster,
                        .operator_seconds = [](const OpWork& work) { return work.flops / 1e12; },
                        .memory_bandwidth = 1e12,
                        .ranks = ranks,
                        .placement = std::move(placement)});
}

// Every pair (from, to) sends `bytes` at time 0.
Program exchange(std::vector<std::pair<int, int>> pairs, std::int64_t bytes) {
  return [pairs = std::move(pairs), bytes](Rank& rank) -> Task<> {
    const Buffer mine = rank.allocate("mine", Memory::workspace, bytes);
    std::vector<Transfer> receives;
    std::vector<Send> sends;
    for (const auto& [from, to] : pairs) {
      if (from == rank.id()) sends.push_back(rank.send(mine, to, kToken));
      if (to == rank.id()) receives.push_back(rank.receive(from, {.bytes = bytes, .tag = kToken}));
    }
    for (auto& send : sends) co_await send;
    for (auto& receive : receives) const Buffer got = co_await receive;
  };
}

Picoseconds time_of(const datasets::Cluster& cluster, int ranks, std::vector<std::pair<int, int>> pairs) {
  ClusterFabric fabric = fabric_of(cluster, ranks);
  return fabric.run(exchange(std::move(pairs), kMega)).makespan();
}

TEST(Cluster, AMessageTakesBytesOverBandwidthAndOneLatency) {
  EXPECT_EQ(time_of(nodes_of(4, 1, 1), 2, {{0, 1}}), 10 * kMicro);
  EXPECT_EQ(time_of(nodes_of(4, 2, 1), 8, {{0, 4}}), 100 * kMicro);
  auto slow = nodes_of(4, 1, 1);
  slow.intra.latency = 3e-6;
  EXPECT_EQ(time_of(slow, 2, {{0, 1}}), 13 * kMicro);
}

TEST(Cluster, FlowsThatShareALinkEachGetTheirShare) {
  const auto cluster = nodes_of(4, 2, 4);
  EXPECT_EQ(time_of(cluster, 4, {{0, 1}, {0, 2}}), 20 * kMicro);                     // one port out
  EXPECT_EQ(time_of(cluster, 4, {{0, 2}, {1, 2}}), 20 * kMicro);                     // one port in
  EXPECT_EQ(time_of(cluster, 4, {{0, 1}, {1, 0}}), 10 * kMicro);                     // directions do not share
  EXPECT_EQ(time_of(cluster, 4, {{0, 1}, {2, 3}}), 10 * kMicro);                     // a switch does not block
  EXPECT_EQ(time_of(cluster, 8, {{0, 4}, {1, 5}}), 100 * kMicro);                    // a NIC each
  EXPECT_EQ(time_of(nodes_of(4, 2, 1), 8, {{0, 4}, {1, 5}}), 200 * kMicro);          // one NIC for both
  EXPECT_EQ(time_of(nodes_of(4, 2, 2), 8, {{0, 4}, {1, 5}, {2, 6}}), 200 * kMicro);  // devices 0 and 1 share a NIC
}

TEST(Cluster, ALinkThatFallsFreeIsUsedByTheOthers) {
  // 0 -> 1 and 0 -> 2 share for 20 us; 3 -> 2 meets one of them at the port into 2. Max-min: every flow gets half, all
  // end together. With twice the bytes on 0 -> 2 the rest of it runs alone.
  ClusterFabric fabric = fabric_of(nodes_of(4, 1, 1), 3);
  const auto program = [](Rank& rank) -> Task<> {
    const Buffer small = rank.allocate("small", Memory::workspace, kMega);
    const Buffer large = rank.allocate("large", Memory::workspace, 2 * kMega);
    if (rank.id() == 0) {
      Send a = rank.send(small, 1, kToken);
      Send b = rank.send(large, 2, kToken);
      co_await a;
      EXPECT_EQ(rank.now(), 20 * kMicro);
      co_await b;
      EXPECT_EQ(rank.now(), 30 * kMicro);
    } else {
      const Buffer got = co_await rank.receive(0, {.bytes = rank.id() * kMega, .tag = kToken});
    }
  };
  EXPECT_EQ(fabric.run(program).makespan(), 30 * kMicro);
}

TEST(Network, RatesAreMaxMinFairAndNeverExceedALink) {
  // Flows a: 0->1, b: 0->2, c: 3->2, d: 4->2 with ports of 100: the port into 2 gives b, c, d a third each, a gets the
  // rest of the port out of 0.
  Network network(nodes_of(8, 1, 1), {0, 1, 2, 3, 4}, 1e12);
  const auto a = network.start(0, 1, 1e6, 0);
  const auto b = network.start(0, 2, 1e6, 0);
  const auto c = network.start(3, 2, 1e6, 0);
  const auto d = network.start(4, 2, 1e6, 0);
  int scheduled = 0;
  network.solve(0, [&](auto, auto, auto) { ++scheduled; });
  EXPECT_EQ(scheduled, 4);
  EXPECT_DOUBLE_EQ(network.rate(b), 1e11 / 3);
  EXPECT_DOUBLE_EQ(network.rate(c), 1e11 / 3);
  EXPECT_DOUBLE_EQ(network.rate(d), 1e11 / 3);
  EXPECT_DOUBLE_EQ(network.rate(a), 1e11 * 2 / 3);
  // An end re-shares only what it touches.
  network.end(a);
  scheduled = 0;
  network.solve(1000, [&](auto, auto, auto) { ++scheduled; });
  EXPECT_EQ(scheduled, 0);
  network.end(c);
  network.solve(2000, [&](auto, auto, auto) { ++scheduled; });
  EXPECT_EQ(scheduled, 2);
  EXPECT_DOUBLE_EQ(network.rate(b) + network.rate(d), 1e11);
}

TEST(Cluster, ComputeAdvancesTheClockAndHidesATransfer) {
  ClusterFabric fabric = fabric_of(nodes_of(4, 1, 1), 2);
  const auto overlap = [](double flops) {
    return [flops](Rank& rank) -> Task<> {
      Buffer held = rank.allocate("held", Memory::workspace, kMega);
      auto next = rank.shift(held, +1, {.tag = kToken});
      co_await rank.compute({.flops = flops}, [] { ADD_FAILURE() << "a body ran in virtual time"; });
      held = co_await next;
    };
  };
  const RunReport hidden = fabric.run(overlap(15e6));  // 15 us against 10 us
  EXPECT_EQ(hidden.makespan(), 15 * kMicro);
  EXPECT_EQ(hidden.ranks[0].exposed, 0);
  EXPECT_EQ(hidden.ranks[0].busy[0], 15 * kMicro);
  const RunReport shown = fabric.run(overlap(4e6));
  EXPECT_EQ(shown.makespan(), 10 * kMicro);
  EXPECT_EQ(shown.ranks[0].exposed, 6 * kMicro);
  EXPECT_EQ(shown.ranks[0].exposed_transfer, 6 * kMicro);
}

TEST(Cluster, WaitingForALatePeerIsNotHeldAgainstTheWire) {
  ClusterFabric fabric = fabric_of(nodes_of(4, 1, 1), 2);
  const RunReport run = fabric.run([](Rank& rank) -> Task<> {
    if (rank.id() == 0) {
      const Buffer mine = rank.allocate("mine", Memory::workspace, kMega);
      co_await rank.compute({.flops = 30e6}, [] {});
      co_await rank.send(mine, 1, kToken);
    } else {
      const Buffer got = co_await rank.receive(0, {.bytes = kMega, .tag = kToken});
    }
  });
  EXPECT_EQ(run.ranks[1].exposed, 40 * kMicro);
  EXPECT_EQ(run.ranks[1].exposed_transfer, 10 * kMicro);
}

TEST(Cluster, TheCopyEngineWorksBesideTheComputeEngine) {
  ClusterFabric fabric({.cluster = nodes_of(1, 1, 1),
                        .operator_seconds = [](const OpWork& work) { return work.kind == OpKind::copy ? 5e-6 : 7e-6; },
                        .memory_bandwidth = 1e12,
                        .ranks = 1});
  const RunReport run = fabric.run([](Rank& rank) -> Task<> {
    auto copy = rank.copy(100, [] {});
    auto first = rank.compute({.flops = 1}, [] {});
    auto second = rank.compute({.flops = 1}, [] {});
    co_await copy;
    EXPECT_EQ(rank.now(), 5 * kMicro);
    co_await first;
    co_await second;
  });
  EXPECT_EQ(run.makespan(), 14 * kMicro);
}

Task<> uneven_ring(Rank& rank) {
  Buffer held = rank.allocate("held", Memory::workspace, kMega);
  for (int hop = 0; hop < 5; ++hop) {
    auto next = rank.shift(held, +1, {.tag = kToken});
    co_await rank.compute({.flops = 1e6 * (1 + rank.id() % 3)}, [] {});
    held = co_await next;
  }
}

TEST(Cluster, TwoRunsAreTheSameToThePicosecond) {
  ClusterFabric fabric = fabric_of(nodes_of(4, 4, 2), 16);
  const RunReport a = fabric.run(uneven_ring, {.ranks = 16});
  const RunReport b = fabric.run(uneven_ring, {.ranks = 16});
  EXPECT_EQ(a.events, b.events);
  ASSERT_EQ(a.intervals.size(), b.intervals.size());
  ASSERT_FALSE(a.intervals.empty());
  for (std::size_t i = 0; i < a.intervals.size(); ++i) {
    EXPECT_EQ(a.intervals[i].start, b.intervals[i].start);
    EXPECT_EQ(a.intervals[i].end, b.intervals[i].end);
  }
}

TEST(Cluster, TheTwoHalvesOfAMessageNameEachOtherAndBeginTogether) {
  ClusterFabric fabric = fabric_of(nodes_of(4, 4, 2), 16);
  const RunReport run = fabric.run(uneven_ring, {.ranks = 16});
  std::multiset<std::tuple<int, int, Picoseconds>> sent, received;  // from, to, begin
  for (const Interval& each : run.intervals) {
    if (each.lane == Lane::send) sent.insert({each.rank, each.peer, each.start});
    if (each.lane == Lane::receive) received.insert({each.peer, each.rank, each.start});
    if (each.lane == Lane::compute) EXPECT_EQ(each.peer, -1);
  }
  EXPECT_EQ(sent.size(), 16U * 5U);
  EXPECT_EQ(sent, received);
}

TEST(Cluster, EveryHalfOfAMessageSaysWhatItMovedOverWhatAndHowLongItWasWaitedFor) {
  ClusterFabric fabric = fabric_of(nodes_of(4, 4, 2), 16);
  const RunReport run = fabric.run(uneven_ring, {.ranks = 16});
  std::vector<std::int64_t> sent(16), received(16);
  std::vector<Picoseconds> exposed(16);
  int waited_for = 0;
  for (const Interval& each : run.intervals) {
    const auto rank = static_cast<std::size_t>(each.rank);
    if (each.lane == Lane::send) sent[rank] += each.bytes;
    if (each.lane == Lane::receive) received[rank] += each.bytes;
    if (each.lane != Lane::send && each.lane != Lane::receive) {
      EXPECT_EQ(each.bytes, 0);
      EXPECT_STREQ(each.link, "");
      continue;
    }
    EXPECT_STREQ(each.link, each.rank / 4 == each.peer / 4 ? "node" : "network");
    EXPECT_LE(each.posted, each.start);
    exposed[rank] += each.exposed;
    waited_for += each.exposed > 0 ? 1 : 0;
  }
  EXPECT_GT(waited_for, 16);
  for (std::size_t r = 0; r < 16; ++r) {
    EXPECT_EQ(sent[r], run.ranks[r].bytes_sent());
    EXPECT_EQ(received[r], sent[r]);
    EXPECT_EQ(exposed[r], run.ranks[r].exposed);
  }
}

TEST(Cluster, RanksCanBePermuted) {
  // The same ring of slots under other names: rank r of the second run sits where rank (r + 3) mod 8 sat.
  const auto cluster = nodes_of(4, 2, 2);
  const auto program = [](int turn) {
    return [turn](Rank& rank) -> Task<> {
      Buffer held = rank.allocate("held", Memory::workspace, kMega);
      for (int hop = 0; hop < 7; ++hop) {
        auto next = rank.shift(held, +1, {.tag = kToken});
        co_await rank.compute({.flops = 1e6 * ((rank.id() + turn) % 8)}, [] {});
        held = co_await next;
      }
    };
  };
  ClusterFabric straight = fabric_of(cluster, 8);
  std::vector<int> placement;
  for (int r = 0; r < 8; ++r) placement.push_back((r + 3) % 8);
  ClusterFabric turned = fabric_of(cluster, 8, placement);
  const RunReport a = straight.run(program(0));
  const RunReport b = turned.run(program(3));
  for (int r = 0; r < 8; ++r)
    EXPECT_EQ(b.ranks[static_cast<std::size_t>(r)].finish, a.ranks[static_cast<std::size_t>((r + 3) % 8)].finish);
}

TEST(Cluster, ASlowerLinkOrALongerLatencyNeverHelps) {
  const auto finish = [](double intra, double inter, double latency) {
    auto cluster = nodes_of(4, 4, 2);
    cluster.intra.bandwidth = intra;
    cluster.inter.bandwidth = inter;
    cluster.intra.latency = cluster.inter.latency = latency;
    ClusterFabric fabric = fabric_of(cluster, 16);
    return fabric.run(uneven_ring).makespan();
  };
  const Picoseconds base = finish(1e11, 1e10, 1e-6);
  EXPECT_GT(finish(1e11, 5e9, 1e-6), base);
  EXPECT_GE(finish(5e10, 1e10, 1e-6), base);
  EXPECT_GT(finish(1e9, 1e10, 1e-6), base);
  EXPECT_GT(finish(1e11, 1e10, 5e-6), base);
  EXPECT_EQ(finish(1e11, 1e10, 1e-6), base);
}

TEST(Cluster, WhatIsSentIsReceived) {
  ClusterFabric fabric = fabric_of(nodes_of(4, 4, 2), 16);
  const RunReport run = fabric.run(uneven_ring);
  std::int64_t sent = 0, received = 0;
  for (const RankReport& rank : run.ranks)
    for (const MessageLogEntry& entry : rank.messages.entries())
      (entry.direction == Direction::sent ? sent : received) += entry.bytes;
  EXPECT_EQ(sent, received);
  EXPECT_EQ(sent, 16 * 5 * kMega);
}

TEST(Cluster, ADeadlockNamesBothRanksAndTheirLines) {
  ClusterFabric fabric = fabric_of(nodes_of(4, 1, 1), 2);
  int line = 0;
  const auto both_receive = [&](Rank& rank) -> Task<> {
    line = __LINE__ + 1;
    const Buffer got = co_await rank.receive(1 - rank.id(), {.bytes = 8, .tag = kToken});
  };
  const std::string text = message_of<Deadlock>([&] { fabric.run(both_receive); });
  const std::string place = "cluster_test.cpp:" + std::to_string(line);
  EXPECT_THAT(text, AllOf(HasSubstr("rank 0 waits to receive 8 B 'token' from rank 1, posted at " + place),
                          HasSubstr("rank 1 waits to receive 8 B 'token' from rank 0, posted at " + place)));
}

TEST(Cluster, VirtualDataCannotBeRead) {
  ClusterFabric fabric = fabric_of(nodes_of(4, 1, 1), 1);
  EXPECT_THAT(message_of<ContractViolation>([&] {
                fabric.run([](Rank& rank) -> Task<> {
                  const Buffer mine = rank.allocate("scores", Memory::workspace, 8);
                  (void)mine.read<double>();
                  co_return;
                });
              }),
              AllOf(HasSubstr("virtual buffer 'scores'"), HasSubstr("cluster_test.cpp:")));
}

TEST(Cluster, TagsAndSizesAreChecked) {
  ClusterFabric fabric = fabric_of(nodes_of(4, 1, 1), 2);
  EXPECT_THAT(message_of<ContractViolation>([&] {
                fabric.run([](Rank& rank) -> Task<> {
                  const Buffer mine = rank.allocate("mine", Memory::workspace, 8);
                  const Tag tag{.value = static_cast<std::uint16_t>(rank.id()), .name = "own"};
                  const Buffer got = co_await rank.shift(mine, +1, {.tag = tag});
                });
              }),
              AllOf(HasSubstr("sends tag"), HasSubstr("cluster_test.cpp:")));
}

TEST(Cluster, OverwritingABorrowedVirtualBufferThrowsInDebugBuilds) {
  ClusterFabric fabric = fabric_of(nodes_of(4, 1, 1), 2);
  const auto replace_early = [](Rank& rank) -> Task<> {
    Buffer held = rank.allocate("held", Memory::workspace, 8);
    auto next = rank.shift(held, +1, {.tag = kToken});
    held = rank.allocate("other", Memory::workspace, 8);
    held = co_await next;
  };
  if constexpr (kDebugChecks) {
    EXPECT_THROW(fabric.run(replace_early), ContractViolation);
  } else {
    EXPECT_NO_THROW(fabric.run(replace_early));  // virtual buffers carry no borrow count in release builds
  }
}

TEST(Cluster, AnExceptionOfARankLeavesTheFabricUsable) {
  ClusterFabric fabric = fabric_of(nodes_of(4, 1, 1), 4);
  EXPECT_THROW(fabric.run([](Rank& rank) -> Task<> {
    const Buffer mine = rank.allocate("mine", Memory::workspace, 8);
    auto next = rank.shift(mine, +1, {.tag = kToken});
    if (rank.id() == 2) throw std::runtime_error("gave up");
    const Buffer got = co_await next;
  }),
               std::runtime_error);
  EXPECT_EQ(fabric.run(uneven_ring).ranks.size(), 4U);
}

TEST(Cluster, ATopologyThatNobodyKnowsIsRefusedByName) {
  datasets::Cluster other = nodes_of(4, 2, 1);
  other.topology = "hypercube";
  EXPECT_THAT(message_of<UserError>([&] { fabric_of(other, 8); }), HasSubstr("topology hypercube is not modelled"));
}

TEST(Cluster, MoreRanksThanDevicesAreRefused) {
  EXPECT_THAT(message_of<UserError>([] { fabric_of(nodes_of(4, 2, 1), 9); }),
              HasSubstr("test.toml: 9 ranks need 3 nodes of 4 devices, the cluster has 2"));
}

}  // namespace
}  // namespace assay::substrate
