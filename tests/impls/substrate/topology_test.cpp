// Routes of the cluster's topologies against their definitions, and descriptors that cannot be routed.
#include "impls/substrate/cluster/topology.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <set>

#include "datasets/user_error.h"
#include "impls/substrate/cluster/network.h"

namespace assay::substrate {
namespace {

using datasets::Cluster;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr double kMemory = 1e12;
const std::string kData = std::string(ASSAY_SOURCE_DIR) + "/datasets";

Cluster nodes(int count, int devices, int nics, const char* topology) {
  Cluster cluster;
  cluster.file = "test.toml";
  cluster.topology = topology;
  cluster.nodes = count;
  cluster.devices_per_node = devices;
  cluster.nics_per_node = nics;
  cluster.intra = {.bandwidth = 1e11, .latency = 1e-6};
  cluster.inter = {.bandwidth = 1e10, .latency = 2e-6};
  return cluster;
}

void set(Cluster& cluster, std::initializer_list<std::pair<const char*, double>> values) {
  for (const auto& [key, value] : values) cluster.constants[key].value = value;
}

std::vector<int> everywhere(const Cluster& cluster) {
  std::vector<int> slots(static_cast<std::size_t>(cluster.nodes * cluster.devices_per_node));
  std::iota(slots.begin(), slots.end(), 0);
  return slots;
}

Topology whole(const Cluster& cluster) { return {cluster, everywhere(cluster), kMemory}; }

std::vector<std::uint32_t> route(const Topology& topology, int from, int to) {
  std::vector<std::uint32_t> links(topology.longest());
  links.resize(topology.route(from, to, links.data()));
  return links;
}

std::vector<double> rates(const Topology& topology, int from, int to) {
  std::vector<double> found;
  for (const std::uint32_t link : route(topology, from, to)) found.push_back(topology.capacities()[link]);
  return found;
}

std::string refusal(const Cluster& cluster, int ranks = -1) {
  try {
    std::vector<int> slots = everywhere(cluster);
    if (ranks >= 0) slots.resize(static_cast<std::size_t>(ranks));
    Topology(cluster, slots, kMemory);
  } catch (const UserError& wrong) {
    return wrong.what();
  }
  return "accepted";
}

Cluster torus(int x, int y, int z) {
  Cluster cluster = nodes(x * y * z, 1, 1, "torus");
  set(cluster, {{"torus_x", x}, {"torus_y", y}, {"torus_z", z}, {"torus_bandwidth", 5e9}, {"hop_latency", 1e-7}});
  return cluster;
}

Cluster dragonfly() {
  Cluster cluster = nodes(36, 2, 2, "dragonfly");  // 9 groups of 4 routers with 2 adapters each
  set(cluster, {{"groups", 9},
                {"group_routers", 4},
                {"router_nics", 2},
                {"local_bandwidth", 4e9},
                {"group_links", 2},
                {"global_bandwidth", 3e9}});
  return cluster;
}

Cluster tree(const char* kind) {
  Cluster cluster = nodes(16, 2, 2, kind);
  set(cluster, {{"leaf_nodes", 4}, {"leaf_uplinks", 4}, {"uplink_bandwidth", 6e9}});
  return cluster;
}

// Pods of two leaves.
Cluster three_levels(const char* kind) {
  Cluster cluster = tree(kind);
  set(cluster, {{"pod_nodes", 8}, {"core_uplinks", 2}, {"core_bandwidth", 4e9}});
  return cluster;
}

std::vector<Cluster> all_kinds() {
  Cluster mixed = nodes(6, 2, 1, "mixed-nics");
  set(mixed, {{"first_kind_nodes", 3},
              {"second_bandwidth", 8e9},
              {"second_latency", 3e-6},
              {"joint_bandwidth", 1e9},
              {"joint_latency", 5e-5}});
  Cluster mesh = nodes(3, 4, 2, "nvlink-mesh");
  return {torus(4, 3, 2),
          torus(5, 4, 1),
          dragonfly(),
          tree("fat-tree"),
          tree("rail"),
          mixed,
          mesh,
          nodes(1, 7, 1, "ring"),
          three_levels("fat-tree"),
          three_levels("rail")};
}

TEST(Topology, ATorusRoutesDimensionByDimensionTheShorterWay) {
  const Topology topology = whole(torus(4, 4, 4));
  const auto hops = [&](int from, int to) { return static_cast<int>(route(topology, from, to).size()) - 2; };
  for (int from = 0; from < 64; ++from) {
    for (int to = 0; to < 64; ++to) {
      if (from == to) continue;
      int least = 0;
      for (const int stride : {1, 4, 16}) {
        const int apart = std::abs(from / stride % 4 - to / stride % 4);
        least += std::min(apart, 4 - apart);
      }
      EXPECT_EQ(hops(from, to), least) << from << " to " << to;
      EXPECT_EQ(topology.latency(from, to), 2'000'000 + 100'000 * least);
    }
  }
  // 0 to (1, 1, 0): along x first, so the link that leaves 0 along x and the one that leaves 1 along y.
  const auto corner = route(topology, 0, 5), x = route(topology, 0, 1), y = route(topology, 1, 5);
  EXPECT_THAT(corner, ElementsAre(corner[0], x[1], y[1], corner[3]));
  // Both directions of one cable are links of their own.
  EXPECT_NE(route(topology, 0, 1)[1], route(topology, 1, 0)[1]);
}

TEST(Topology, ADragonflyTakesAtMostOneHopInEachGroupAndOneBetween) {
  const Cluster cluster = dragonfly();
  const Topology topology = whole(cluster);
  std::set<std::uint32_t> global;
  for (int from = 0; from < 72; ++from) {
    for (int to = 0; to < 72; ++to) {
      if (from / 2 == to / 2) continue;
      const auto found = rates(topology, from, to);
      const auto count = [&](double rate) { return std::count(found.begin(), found.end(), rate); };
      const bool same_group = from / 8 == to / 8, same_router = from / 2 == to / 2;
      EXPECT_EQ(count(3e9), same_group ? 0 : 1);
      EXPECT_LE(count(4e9), same_group ? 1 : 2);
      if (same_group) EXPECT_EQ(count(4e9), same_router ? 0 : 1);
      for (const std::uint32_t link : route(topology, from, to))
        if (topology.capacities()[link] == 3e9) global.insert(link);
    }
  }
  EXPECT_EQ(global.size(), 9U * 8 * 2);  // every link between groups carries something
}

TEST(Topology, AFatTreeGoesUpOnlyBetweenLeavesAndSpreadsByDestination) {
  const Topology topology = whole(tree("fat-tree"));
  EXPECT_EQ(rates(topology, 0, 6).size(), 2U);                            // node 0 to node 3: one leaf
  EXPECT_THAT(rates(topology, 0, 8), ElementsAre(1e10, 6e9, 6e9, 1e10));  // node 4 is below another
  std::set<std::uint32_t> up;
  for (int to = 8; to < 16; ++to) up.insert(route(topology, 0, to)[1]);
  EXPECT_EQ(up.size(), 4U);  // destinations differ in place, so all uplinks are used
  std::set<std::uint32_t> down;
  for (int from = 0; from < 8; ++from) down.insert(route(topology, from, 9)[2]);
  EXPECT_EQ(down.size(), 1U);  // and messages to one destination come down one link
}

TEST(Topology, AFatTreeOfThreeLevelsGoesOverTheCoreOnlyBetweenPods) {
  const Topology topology = whole(three_levels("fat-tree"));
  EXPECT_EQ(rates(topology, 0, 6).size(), 2U);                                       // one leaf
  EXPECT_THAT(rates(topology, 0, 8), ElementsAre(1e10, 6e9, 6e9, 1e10));             // node 4: the same pod
  EXPECT_THAT(rates(topology, 0, 16), ElementsAre(1e10, 6e9, 4e9, 4e9, 6e9, 1e10));  // node 8: another pod
  std::set<std::uint32_t> up, down;
  for (int to = 16; to < 32; ++to) up.insert(route(topology, 0, to)[2]);
  EXPECT_EQ(up.size(), 2U);
  for (int from = 0; from < 16; ++from) down.insert(route(topology, from, 17)[3]);
  EXPECT_EQ(down.size(), 1U);
  const Topology rails = whole(three_levels("rail"));
  EXPECT_EQ(route(rails, 0, 2).size(), 2U);   // one rail, one leaf
  EXPECT_EQ(route(rails, 0, 8).size(), 4U);   // another leaf of the pod
  EXPECT_EQ(route(rails, 0, 16).size(), 6U);  // another pod
}

TEST(Topology, AnOversubscribedPodSharesItsLinksToTheCore) {
  Cluster cluster = nodes(8, 1, 1, "fat-tree");
  set(cluster, {{"leaf_nodes", 2}, {"oversubscription", 1}, {"pod_nodes", 4}, {"core_oversubscription", 4}});
  EXPECT_THAT(rates(whole(cluster), 0, 4), ElementsAre(1e10, 2e10, 1e10, 1e10, 2e10, 1e10));
  Network network(cluster, everywhere(cluster), kMemory);
  std::vector<std::uint32_t> flows;
  for (int r = 0; r < 4; ++r) flows.push_back(network.start(r, r + 4, 1e6, 0));
  network.solve(0, [](auto, auto, auto) {});
  for (const std::uint32_t flow : flows) EXPECT_DOUBLE_EQ(network.rate(flow), 2.5e9);
}

TEST(Topology, RailsMeetInALeafAcrossNodesAndLeaveItForAnotherRail) {
  const Topology topology = whole(tree("rail"));
  EXPECT_EQ(route(topology, 0, 2).size(), 2U);  // device 0 of nodes 0 and 1: one rail, one leaf
  EXPECT_EQ(route(topology, 0, 3).size(), 4U);  // another rail: over the spine
  EXPECT_EQ(route(topology, 0, 8).size(), 4U);  // the same rail, another leaf
}

TEST(Topology, AnOversubscribedLeafSharesItsUplinks) {
  Cluster cluster = nodes(8, 1, 1, "fat-tree");
  set(cluster, {{"leaf_nodes", 4}, {"oversubscription", 2}});
  EXPECT_THAT(rates(whole(cluster), 0, 4), ElementsAre(1e10, 2e10, 2e10, 1e10));
  Network network(cluster, everywhere(cluster), kMemory);
  std::vector<std::uint32_t> flows;
  for (int r = 0; r < 4; ++r) flows.push_back(network.start(r, r + 4, 1e6, 0));
  network.solve(0, [](auto, auto, auto) {});
  for (const std::uint32_t flow : flows) EXPECT_DOUBLE_EQ(network.rate(flow), 5e9);  // half of what its adapter can
}

TEST(Topology, NodesOfTwoKindsMeetOverTheJointAdapter) {
  const Topology topology = whole(all_kinds()[5]);
  EXPECT_THAT(rates(topology, 0, 2), ElementsAre(1e10, 1e10));
  EXPECT_THAT(rates(topology, 6, 8), ElementsAre(8e9, 8e9));
  EXPECT_THAT(rates(topology, 0, 6), ElementsAre(1e9, 1e9));
  EXPECT_EQ(topology.latency(0, 6), 50'000'000);
  EXPECT_EQ(topology.latency(6, 8), 3'000'000);
}

TEST(Topology, AdaptersOfOneNodeMayDiffer) {
  Cluster cluster = nodes(2, 2, 2, "nvswitch");
  set(cluster, {{"nic1_bandwidth", 4e9}});
  EXPECT_THAT(rates(whole(cluster), 0, 2), ElementsAre(1e10, 1e10));
  EXPECT_THAT(rates(whole(cluster), 1, 3), ElementsAre(4e9, 4e9));
}

TEST(Topology, AMeshGivesEveryPairItsShareOfThePort) {
  const Topology topology = whole(nodes(1, 4, 1, "nvlink-mesh"));
  EXPECT_THAT(rates(topology, 0, 3), ElementsAre(1e11 / 3));
  EXPECT_NE(route(topology, 0, 1), route(topology, 0, 2));
}

TEST(Topology, ARingSendsThroughItsNeighbours) {
  const Topology topology = whole(nodes(1, 7, 1, "ring"));
  EXPECT_EQ(route(topology, 0, 1).size(), 1U);
  EXPECT_EQ(route(topology, 0, 3).size(), 3U);
  EXPECT_EQ(route(topology, 0, 4).size(), 3U);  // the other way round
  EXPECT_EQ(topology.latency(0, 4), 3'000'000);
}

TEST(Topology, ACubeMeshSendsThroughOneNeighbourWhereNoLinkIs) {
  const Topology topology({datasets::load_cluster("dgx1-v100", kData)}, {0, 1, 2, 3, 4, 5, 6, 7}, kMemory);
  EXPECT_THAT(rates(topology, 0, 3), ElementsAre(5e10));
  EXPECT_THAT(rates(topology, 0, 1), ElementsAre(2.5e10));
  EXPECT_THAT(rates(topology, 0, 7), ElementsAre(5e10, 5e10));  // over 4, not over 3
  double sum = 0;
  for (const int to : {1, 2, 3, 4}) sum += rates(topology, 0, to)[0];
  EXPECT_DOUBLE_EQ(sum, 1.5e11);  // all six links
}

TEST(Topology, APcieTreeSharesTheSwitchesUplink) {
  const Cluster cluster = datasets::load_cluster("tokenring-4xa10-tree", kData);
  Network network(cluster, {0, 1, 2, 3}, kMemory);
  const auto a = network.start(0, 2, 1e6, 0), b = network.start(1, 3, 1e6, 0);
  network.solve(0, [](auto, auto, auto) {});
  EXPECT_DOUBLE_EQ(network.rate(a), 3.15e10 / 2);
  EXPECT_DOUBLE_EQ(network.rate(b), 3.15e10 / 2);
  network.end(a);
  network.end(b);
  const auto c = network.start(0, 1, 1e6, 0), d = network.start(2, 3, 1e6, 0);
  network.solve(0, [](auto, auto, auto) {});
  EXPECT_DOUBLE_EQ(network.rate(c), 3.15e10);
  EXPECT_DOUBLE_EQ(network.rate(d), 3.15e10);
}

TEST(Topology, ANicOfATreeIsReachedOverItsLinks) {
  Cluster cluster = nodes(2, 2, 1, "pcie");
  cluster.node_topology = "tree";
  for (const char* end : {"device0", "device1", "nic0"})
    cluster.node_links.push_back({.from = end, .to = "switch", .bandwidth = 2e10, .source = "s"});
  EXPECT_THAT(rates(whole(cluster), 0, 3), ElementsAre(2e10, 2e10, 1e10, 1e10, 2e10, 2e10));
  EXPECT_THAT(rates(whole(cluster), 0, 1), ElementsAre(2e10, 2e10));
}

TEST(Topology, EveryRouteFitsUsesEachLinkOnceAndTurnsRoundInAsMany) {
  for (const Cluster& cluster : all_kinds()) {
    const Topology topology = whole(cluster);
    const int ranks = cluster.nodes * cluster.devices_per_node;
    for (int from = 0; from < ranks; ++from) {
      for (int to = 0; to < ranks; ++to) {
        const auto there = route(topology, from, to), back = route(topology, to, from);
        EXPECT_LE(there.size(), topology.longest()) << cluster.topology;
        EXPECT_EQ(std::set(there.begin(), there.end()).size(), there.size()) << cluster.topology;
        for (const std::uint32_t link : there) ASSERT_LT(link, topology.capacities().size());
        if (cluster.topology != "dragonfly") EXPECT_EQ(there.size(), back.size()) << cluster.topology;
        EXPECT_EQ(topology.latency(from, to), topology.latency(to, from)) << cluster.topology;
        if (from != to)
          for (const std::uint32_t link : there) EXPECT_EQ(std::count(back.begin(), back.end(), link), 0);
      }
    }
  }
}

TEST(Topology, TheLargestMachinesKeepNoTableOfPairs) {
  // 78,848 ranks on Frontier: links grow with ranks and groups, routes are computed.
  const Cluster cluster = datasets::load_cluster("frontier", kData);
  const Topology topology = whole(cluster);
  EXPECT_LT(topology.capacities().size(), 10U * 78848);
  EXPECT_LE(topology.longest(), 5U);
  EXPECT_GE(route(topology, 0, 78847).size(), 3U);
}

TEST(Topology, EveryShippedClusterRoutesOrNamesTheNumberItLacks) {
  std::set<std::string> refused;
  for (const std::string& id : datasets::cluster_ids(kData)) {
    const Cluster cluster = datasets::load_cluster(id, kData);
    const std::string said = refusal(cluster, std::min(64, cluster.nodes * cluster.devices_per_node));
    if (said == "accepted") continue;
    EXPECT_THAT(said, HasSubstr(cluster.file)) << id;
    refused.insert(id);
  }
  EXPECT_THAT(refused, ElementsAre("polaris", "sem-moe-8x96g"));
}

// ---- what cannot be routed

TEST(Topology, AMissingNumberIsNamedWithItsFile) {
  Cluster cluster = dragonfly();
  cluster.constants.erase("group_routers");
  EXPECT_THAT(refusal(cluster), HasSubstr("test.toml: group_routers is missing, expected routers of a group"));
  Cluster flat = nodes(4, 1, 1, "torus");
  EXPECT_THAT(refusal(flat), HasSubstr("test.toml: torus_x is missing"));
  Cluster leafless = nodes(4, 1, 1, "fat-tree");
  set(leafless, {{"oversubscription", 2}});
  EXPECT_THAT(refusal(leafless), HasSubstr("leaf_nodes is missing"));
  Cluster podless = tree("fat-tree");
  set(podless, {{"core_uplinks", 2}});
  EXPECT_THAT(refusal(podless), HasSubstr("pod_nodes is missing"));
  set(podless, {{"pod_nodes", 6}});
  EXPECT_THAT(refusal(podless), HasSubstr("pod_nodes is 6, expected a multiple of leaf_nodes, 4"));
  set(podless, {{"pod_nodes", 8}});
  EXPECT_THAT(refusal(podless), HasSubstr("core_bandwidth is missing"));
  EXPECT_THAT(refusal(nodes(4, 1, 1, "mixed-nics")), HasSubstr("first_kind_nodes is missing"));
  EXPECT_THAT(refusal(nodes(4, 2, 1, "cube-mesh")), HasSubstr("node_links is missing"));
  EXPECT_THAT(refusal(nodes(4, 2, 1, "hypercube")), HasSubstr("topology hypercube is not modelled"));
}

TEST(Topology, ADisconnectedNetworkIsRefused) {
  Cluster apart = dragonfly();
  set(apart, {{"group_links", 0}});
  EXPECT_THAT(refusal(apart), HasSubstr("group_links is 0, expected links between two groups above 0: else its nodes"));
  Cluster cut = tree("fat-tree");
  set(cut, {{"uplink_bandwidth", 0}});
  EXPECT_THAT(refusal(cut), HasSubstr("uplink_bandwidth is 0"));
  Cluster dark = nodes(2, 2, 1, "nvswitch");
  dark.inter.bandwidth = 0;
  EXPECT_THAT(refusal(dark), HasSubstr("inter_bandwidth is 0, expected more than 0 B/s"));
  EXPECT_EQ(refusal(dark, 2), "accepted");  // both on one node
}

TEST(Topology, ANetworkTooSmallForItsNodesIsRefused) {
  Cluster small = torus(4, 4, 1);
  small.nodes = 17;
  EXPECT_THAT(refusal(small), HasSubstr("a torus of 4 x 4 x 1 has 16 places, expected the 17 of nodes"));
  Cluster full = dragonfly();
  set(full, {{"groups", 8}});
  EXPECT_THAT(refusal(full), HasSubstr("hold 64 adapters, expected the 72"));
}

class NodeLinks : public ::testing::Test {
 protected:
  static std::string said(const std::string& kind, const std::string& rows) {
    const std::filesystem::path file = std::filesystem::temp_directory_path() / "assay-links.toml";
    std::ofstream stream(file);
    stream << "id = \"assay-links\"\nname = \"n\"\ndevice = \"t4\"\ntopology = \"pcie\"\nnode_topology = \"" << kind
           << "\"\n[constants]\n";
    for (const char* key : {"devices_per_node", "nodes", "nics_per_node"})
      stream << key << " = { value = " << (key[0] == 'd' ? 3 : 1) << ", source = \"s\" }\n";
    for (const char* key : {"intra_bandwidth", "intra_latency", "inter_bandwidth", "inter_latency"})
      stream << key << " = { value = 1e10, source = \"s\" }\n";
    stream << rows;
    stream.close();
    try {
      datasets::load_cluster(file.string(), kData);
    } catch (const UserError& wrong) {
      return wrong.what();
    }
    return "accepted";
  }
  static std::string row(const char* from, const char* to, const char* rate = "1e10") {
    return std::string("[[node_links]]\njoin = [\"") + from + "\"]\nto = \"" + to + "\"\nbandwidth = " + rate +
           "\nsource = \"s\"\n";
  }
};

TEST_F(NodeLinks, ATreeIsAccepted) {
  EXPECT_EQ(said("tree", row("device0", "s") + row("device1", "s") + row("device2", "s")), "accepted");
}

TEST_F(NodeLinks, ACycleIsRefusedWhereATreeIsMeant) {
  const std::string ring = row("device0", "device1") + row("device1", "device2") + row("device2", "device0");
  EXPECT_THAT(said("tree", ring), HasSubstr("assay-links.toml:25: node_links: device2 to device0 closes a cycle"));
  EXPECT_EQ(said("mesh", ring), "accepted");
}

TEST_F(NodeLinks, ADeviceWithoutALinkIsRefused) {
  EXPECT_THAT(said("tree", row("device0", "s") + row("device1", "s")),
              HasSubstr("node_links: no path from device0 to device2, expected one connected tree"));
  EXPECT_THAT(said("mesh", row("device0", "device1") + row("device2", "island")), HasSubstr("no path from device0"));
}

TEST_F(NodeLinks, WhatIsNotThereOrTwiceOrWithoutARateIsRefused) {
  EXPECT_THAT(said("mesh", row("device0", "device3")), HasSubstr("found device3, expected device0 to device2"));
  EXPECT_THAT(said("mesh", row("device0", "device1") + row("device1", "device0")),
              HasSubstr("joined already in line 15"));
  EXPECT_THAT(said("mesh", row("device0", "device0")), HasSubstr("joined to itself"));
  EXPECT_THAT(said("mesh", row("device0", "device1", "0")), HasSubstr("bandwidth of device0 to device1 is 0"));
  EXPECT_THAT(said("mesh", "[[node_links]]\njoin = [\"device0\"]\nto = \"s\"\nbandwidth = 1e10\n"),
              HasSubstr("a row of node_links is not whole"));
  EXPECT_THAT(said("bus", row("device0", "device1")), HasSubstr("node_topology is 'bus' beside node_links"));
}

}  // namespace
}  // namespace assay::substrate
