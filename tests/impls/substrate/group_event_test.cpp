// Collectives of groups as single events against their programs of messages.
#include "impls/substrate/fabric/group_event.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "impls/substrate/cluster/cluster.h"
#include "impls/substrate/fabric/all_reduce.h"
#include "impls/substrate/fabric/collectives.h"
#include "impls/substrate/fabric/reduction.h"
#include "impls/substrate/fabric/threads.h"

namespace assay::substrate {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr Tag kSum{.value = 3, .name = "sum"};
constexpr std::int64_t kBytes = 15 * 64 * 4096;

datasets::Cluster nodes(int devices, int nics) {
  datasets::Cluster cluster;
  cluster.file = "test.toml";
  cluster.devices_per_node = devices;
  cluster.nodes = 64;
  cluster.nics_per_node = nics;
  cluster.intra = {.bandwidth = 1e11, .latency = 1e-6};
  cluster.inter = {.bandwidth = 1e10, .latency = 3e-6};
  return cluster;
}

datasets::Cluster torus() {
  datasets::Cluster cluster = nodes(1, 1);
  cluster.topology = "torus";
  for (const auto& [key, value] : {std::pair("torus_x", 4.0), std::pair("torus_y", 4.0), std::pair("torus_z", 4.0),
                                   std::pair("torus_bandwidth", 5e9)})
    cluster.constants[key].value = value;
  return cluster;
}

ClusterFabric fabric_of(const datasets::Cluster& cluster, int ranks, bool events) {
  return ClusterFabric({.cluster = cluster,
                        .operator_seconds = [](const OpWork& work) { return 1e-6 + work.bytes / 1e12; },
                        .memory_bandwidth = 1e12,
                        .ranks = ranks,
                        .groups_as_events = events});
}

GroupCall reduce(AllReduce algorithm, int node_ranks) {
  return {.name = "all-reduce",
          .sizes = {kBytes, static_cast<std::int64_t>(algorithm), node_ranks},
          .program = [algorithm, node_ranks](Group group) -> Task<> {
            Buffer tensor = group.rank().allocate("tensor", Memory::communication, kBytes);
            co_await all_reduce(group, tensor, {.algorithm = algorithm, .node_ranks = node_ranks, .piece_bytes = 65536},
                                DType::f32, kSum);
          }};
}

GroupCall exchange(int size) {
  return {.name = "all-to-all", .sizes = {size}, .program = [size](Group group) -> Task<> {
            std::vector<Buffer> parts;
            const std::vector<std::int64_t> expected(static_cast<std::size_t>(size), 40960);
            for (int i = 0; i < size; ++i) parts.push_back(group.rank().allocate("part", Memory::communication, 40960));
            const auto arrived = co_await all_to_all(group, std::move(parts), expected, kSum, "arrived");
          }};
}

void expect_equal(const RunReport& messages, const RunReport& event, const std::string& what) {
  EXPECT_EQ(count_difference(messages, event), "") << what;
  ASSERT_EQ(messages.ranks.size(), event.ranks.size());
  for (std::size_t r = 0; r < event.ranks.size(); ++r) {
    EXPECT_EQ(messages.ranks[r].finish, event.ranks[r].finish) << what << " rank " << r;
    EXPECT_EQ(messages.ranks[r].busy, event.ranks[r].busy) << what << " rank " << r;
    EXPECT_EQ(messages.ranks[r].bytes_sent(), event.ranks[r].bytes_sent()) << what << " rank " << r;
  }
}

TEST(GroupEvent, HasTheTimesAndCountsOfItsMessages) {
  const std::vector<std::pair<std::string, datasets::Cluster>> clusters{
      {"switch", nodes(64, 1)}, {"nodes of 4", nodes(4, 4)}, {"shared NICs", nodes(4, 2)}, {"torus", torus()}};
  for (const auto& [name, cluster] : clusters) {
    for (const int ranks : {2, 3, 4, 8, 12, 16, 31, 64}) {
      std::vector<std::pair<std::string, GroupCall>> calls;
      for (const AllReduce algorithm : kAllReduces)
        calls.emplace_back(to_string(algorithm), reduce(algorithm, ranks % 4 == 0 ? 4 : 0));
      calls.emplace_back("all-to-all", exchange(ranks));
      for (const auto& [algorithm, call] : calls) {
        const auto program = [&call = call](Rank& rank) -> Task<> {
          co_await rank.compute({.bytes = 1e6}, [] {});
          co_await GroupEvent(rank, call);
        };
        ClusterFabric messages = fabric_of(cluster, ranks, false), events = fabric_of(cluster, ranks, true);
        const RunReport one = events.run(program);
        expect_equal(messages.run(program), one, name + " " + algorithm + " of " + std::to_string(ranks));
        EXPECT_LE(one.events, 3U * static_cast<unsigned>(ranks));
      }
    }
  }
}

// Rows and columns of a mesh, one after the other, several at once on links of their own.
TEST(GroupEvent, GroupsOfAMeshHaveTheTimesOfTheirMessages) {
  const GroupCall ring = reduce(AllReduce::ring, 0), halves = reduce(AllReduce::halving_doubling, 0);
  for (const int ranks : {16, 32, 64}) {
    const auto program = [&](Rank& rank) -> Task<> {
      const Group all(rank), row = all.block(4), column = all.across(4);
      const Group diagonal =
          Group::split(rank, [](int r) { return (r / 4 + r) % 4; });  // members are listed, not evenly spaced
      for (int layer = 0; layer < 3; ++layer) {
        co_await GroupEvent(row, ring);
        co_await rank.compute({.bytes = 2e6}, [] {});
        co_await GroupEvent(column, halves);
        if (layer == 1) co_await GroupEvent(column, ring);
      }
      if (diagonal.size() == ranks / 4) co_await GroupEvent(all, ring);
    };
    ClusterFabric messages = fabric_of(nodes(4, 4), ranks, false), events = fabric_of(nodes(4, 4), ranks, true);
    expect_equal(messages.run(program), events.run(program), "mesh of " + std::to_string(ranks));
  }
}

TEST(GroupEvent, ListedMembersAreAGroupOfTheirOwn) {
  const GroupCall ring = reduce(AllReduce::ring, 0);
  const auto program = [&](Rank& rank) -> Task<> {
    // {0, 3, 5} and {1, 2, 4, 6, 7} of a switch: no spacing describes them.
    const Group group = Group::split(rank, [](int r) { return r == 0 || r == 3 || r == 5 ? 0 : 1; });
    co_await GroupEvent(group, ring);
    co_await GroupEvent(group, ring);
  };
  ClusterFabric messages = fabric_of(nodes(8, 1), 8, false), events = fabric_of(nodes(8, 1), 8, true);
  expect_equal(messages.run(program), events.run(program), "listed");
}

TEST(GroupEvent, BeginsWhenTheLastMemberHasComeAndIsNeverEarlierThanItsMessages) {
  for (const AllReduce algorithm : kAllReduces) {
    const GroupCall call = reduce(algorithm, 0);
    const auto program = [&](Rank& rank) -> Task<> {
      co_await rank.compute({.bytes = 1e7 * (1 + rank.id() % 5)}, [] {});
      co_await GroupEvent(rank, call);
    };
    const auto alone = [&](Rank& rank) -> Task<> { co_await GroupEvent(rank, call); };
    ClusterFabric messages = fabric_of(nodes(16, 1), 16, false), events = fabric_of(nodes(16, 1), 16, true);
    const RunReport one = events.run(program);
    EXPECT_GE(one.makespan(), messages.run(program).makespan()) << to_string(algorithm);
    const auto work = [&](Rank& rank) -> Task<> { co_await rank.compute({.bytes = 5e7}, [] {}); };  // of the last
    EXPECT_EQ(one.makespan(), events.run(work).makespan() + events.run(alone).makespan()) << to_string(algorithm);
  }
}

TEST(GroupEvent, IsHiddenBehindWorkThatIsDoneBesideIt) {
  const GroupCall call = reduce(AllReduce::ring, 0);
  const auto beside = [&](Rank& rank) -> Task<> {
    GroupEvent first(rank, call), second(rank, call);
    co_await rank.compute({.bytes = 1e9}, [] {});
    co_await first;
    co_await second;
  };
  ClusterFabric events = fabric_of(nodes(8, 1), 8, true);
  const RunReport run = events.run(beside);
  const auto work = [&](Rank& rank) -> Task<> { co_await rank.compute({.bytes = 1e9}, [] {}); };
  EXPECT_EQ(run.makespan(), events.run(work).makespan());
  EXPECT_EQ(run.ranks[3].exposed, 0);
  // Two of one group go one after the other.
  const auto both = [&](Rank& rank) -> Task<> {
    GroupEvent first(rank, call), second(rank, call);
    co_await second;
    co_await first;
  };
  const auto single = [&](Rank& rank) -> Task<> { co_await GroupEvent(rank, call); };
  EXPECT_EQ(events.run(both).makespan(), 2 * events.run(single).makespan());
}

TEST(GroupEvent, GroupsThatSitAlikeAreSimulatedOnceAndOthersAreNot) {
  // Two members in one node are faster than two in two nodes, whatever their names.
  const GroupCall call = reduce(AllReduce::ring, 0);
  const auto of = [&](auto color) {
    return [&call, color](Rank& rank) -> Task<> {
      co_await GroupEvent(Group::split(rank, [color](int r) { return color(r); }), call);
    };
  };
  ClusterFabric events = fabric_of(nodes(2, 2), 8, true), messages = fabric_of(nodes(2, 2), 8, false);
  const auto inside = of([](int r) { return r / 2; });
  const auto between = of([](int r) { return r % 2 + 2 * (r / 4); });
  expect_equal(messages.run(inside), events.run(inside), "inside");
  expect_equal(messages.run(between), events.run(between), "between");
  EXPECT_LT(events.run(inside).makespan(), events.run(between).makespan());
}

TEST(GroupEvent, IsItsMessagesOnFabricsWithData) {
  ThreadsFabric threads(4);
  std::vector<float> sums(4);
  const GroupCall call{.name = "sum", .sizes = {4}, .program = [&](Group group) -> Task<> {
                         Buffer tensor = group.rank().allocate("tensor", Memory::workspace, 16);
                         for (float& each : tensor.write<float>()) each = static_cast<float>(1 + group.id());
                         co_await all_reduce(group, tensor, {}, DType::f32, kSum);
                         sums[static_cast<std::size_t>(group.rank().id())] = tensor.read<float>()[3];
                       }};
  threads.run([&](Rank& rank) -> Task<> { co_await GroupEvent(rank, call); });
  EXPECT_THAT(sums, ::testing::Each(10.0F));
}

template <class Error>
std::string said(ClusterFabric& fabric, const Program& program) {
  try {
    fabric.run(program);
  } catch (const Error& error) {
    return error.what();
  }
  return "nothing was thrown";
}

TEST(GroupEvent, AMemberThatNeverComesIsNamed) {
  const GroupCall call = reduce(AllReduce::ring, 0);
  ClusterFabric events = fabric_of(nodes(4, 1), 4, true);
  EXPECT_THAT(said<Deadlock>(events,
                             [&](Rank& rank) -> Task<> {
                               if (rank.id() != 2) co_await GroupEvent(rank, call);
                             }),
              AllOf(HasSubstr("rank 0 waits in 'all-reduce' of a group of 4 for rank 2, 3 have come, posted at"),
                    HasSubstr("group_event_test.cpp")));
}

TEST(GroupEvent, MembersThatComeToDifferentCollectivesAreNamed) {
  const GroupCall ring = reduce(AllReduce::ring, 0), star = reduce(AllReduce::star, 0);
  ClusterFabric events = fabric_of(nodes(4, 1), 2, true);
  EXPECT_THAT(said<ContractViolation>(
                  events, [&](Rank& rank) -> Task<> { co_await GroupEvent(rank, rank.id() == 0 ? ring : star); }),
              HasSubstr("rank 0 to 'all-reduce' of other sizes"));
}

}  // namespace
}  // namespace assay::substrate
