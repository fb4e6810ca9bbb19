// What the network model must keep on every topology, whatever the traffic: no link above its capacity, every flow
// bounded by a full link on which none is faster, all bytes delivered, and nothing gained from a slower link.
#include "impls/substrate/cluster/network.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <numeric>
#include <queue>
#include <string>
#include <vector>

#include "impls/substrate/cluster/cluster.h"
#include "impls/substrate/fabric/all_reduce.h"
#include "impls/substrate/fabric/collectives.h"
#include "impls/substrate/fabric/rank.h"

namespace assay::substrate {
namespace {

using datasets::Cluster;

constexpr double kMemory = 1e12;
constexpr double kRounding = 1e-9;

Cluster base(const char* topology, int nodes, int devices, int nics) {
  Cluster cluster;
  cluster.file = "test.toml";
  cluster.topology = topology;
  cluster.nodes = nodes;
  cluster.devices_per_node = devices;
  cluster.nics_per_node = nics;
  cluster.intra = {.bandwidth = 1e11, .latency = 1e-6};
  cluster.inter = {.bandwidth = 1e10, .latency = 2e-6};
  return cluster;
}

// Every topology on 16 ranks or a few more, with the constants its links are made of.
struct Kind {
  std::string name;
  Cluster cluster;
  std::vector<std::string> rates;  // beside intra and inter
};

std::vector<Kind> kinds() {
  std::vector<Kind> all;
  const auto add = [&](const char* name, Cluster cluster,
                       const std::vector<std::pair<std::string, double>>& constants) {
    std::vector<std::string> rates;
    for (const auto& [key, value] : constants) {
      cluster.constants[key].value = value;
      if (key.ends_with("bandwidth")) rates.push_back(key);
    }
    all.push_back({name, std::move(cluster), std::move(rates)});
  };
  add("switch", base("nvswitch", 4, 4, 2), {});
  add("fat tree", base("fat-tree", 16, 1, 1), {{"leaf_nodes", 4}, {"leaf_uplinks", 2}, {"uplink_bandwidth", 9e9}});
  add("fat tree of three levels", base("fat-tree", 16, 1, 1),
      {{"leaf_nodes", 2},
       {"leaf_uplinks", 2},
       {"uplink_bandwidth", 9e9},
       {"pod_nodes", 4},
       {"core_uplinks", 2},
       {"core_bandwidth", 7e9}});
  add("rails", base("rail", 4, 4, 4), {{"leaf_nodes", 2}, {"leaf_uplinks", 2}, {"uplink_bandwidth", 4e9}});
  add("torus 2D", base("torus", 16, 1, 1), {{"torus_x", 4}, {"torus_y", 4}, {"torus_bandwidth", 5e9}});
  add("torus 3D", base("torus", 18, 1, 1), {{"torus_x", 3}, {"torus_y", 3}, {"torus_z", 2}, {"torus_bandwidth", 5e9}});
  add("dragonfly", base("dragonfly", 9, 2, 2),
      {{"groups", 3},
       {"group_routers", 3},
       {"router_nics", 2},
       {"local_bandwidth", 8e9},
       {"group_links", 1},
       {"global_bandwidth", 6e9}});
  add("two kinds", base("mixed-nics", 4, 4, 2),
      {{"first_kind_nodes", 2},
       {"second_bandwidth", 8e9},
       {"second_latency", 3e-6},
       {"joint_bandwidth", 2e9},
       {"joint_latency", 5e-5}});
  add("pairs", base("nvlink-mesh", 4, 4, 2), {});
  add("ring", base("ring", 1, 16, 1), {});
  Cluster tree = base("pcie", 1, 16, 1);
  tree.node_topology = "tree";
  for (int d = 0; d < 16; ++d)
    tree.node_links.push_back({"device" + std::to_string(d), "switch" + std::to_string(d / 4), 3e10, "s", 1});
  for (int s = 0; s < 4; ++s) tree.node_links.push_back({"switch" + std::to_string(s), "root", 4e10, "s", 1});
  add("pcie tree", tree, {});
  return all;
}

int ranks_of(const Cluster& cluster) { return cluster.nodes * cluster.devices_per_node; }

std::vector<int> slots(int ranks) {
  std::vector<int> placement(static_cast<std::size_t>(ranks));
  std::iota(placement.begin(), placement.end(), 0);
  return placement;
}

class Draw {
 public:
  explicit Draw(std::uint64_t seed) : state_(seed) {}
  int below(int bound) {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return static_cast<int>((state_ >> 20) % static_cast<std::uint64_t>(bound));
  }

 private:
  std::uint64_t state_;
};

struct Message {
  int from, to;
  double bytes;
  Picoseconds start;
};

std::vector<Message> traffic(int ranks, int count, Draw& draw, bool at_once = false) {
  std::vector<Message> messages;
  for (int i = 0; i < count; ++i) {
    const int from = draw.below(ranks);
    messages.push_back({from, (from + 1 + draw.below(ranks - 1)) % ranks, 1e4 * (1 + draw.below(100)),
                        at_once ? 0 : Picoseconds{1'000'000} * draw.below(60)});
  }
  std::stable_sort(messages.begin(), messages.end(),
                   [](const Message& a, const Message& b) { return a.start < b.start; });
  return messages;
}

// Plays messages through a network; `look` sees the flows under way after every change.
using Look = std::function<void(const Network&, const std::vector<std::uint32_t>& under_way, Picoseconds now)>;
std::vector<Picoseconds> play(Network& network, const std::vector<Message>& messages, const Look& look = {}) {
  struct Event {
    Picoseconds time;
    std::uint32_t flow, version;
    bool operator>(const Event& other) const { return time != other.time ? time > other.time : flow > other.flow; }
  };
  std::priority_queue<Event, std::vector<Event>, std::greater<>> ends;
  std::map<std::uint32_t, std::size_t> message_of;
  std::vector<Picoseconds> finished(messages.size(), -1);
  std::size_t next = 0;
  while (next < messages.size() || !message_of.empty()) {
    while (!ends.empty() &&
           (!message_of.contains(ends.top().flow) || network.version(ends.top().flow) != ends.top().version))
      ends.pop();
    Picoseconds now = next < messages.size() ? messages[next].start : ends.top().time;
    if (!ends.empty()) now = std::min(now, ends.top().time);
    while (!ends.empty() && ends.top().time == now) {
      const Event event = ends.top();
      ends.pop();
      if (!message_of.contains(event.flow) || network.version(event.flow) != event.version) continue;
      finished[message_of.at(event.flow)] = now;
      message_of.erase(event.flow);
      network.end(event.flow);
    }
    for (; next < messages.size() && messages[next].start == now; ++next)
      message_of[network.start(messages[next].from, messages[next].to, messages[next].bytes, now)] = next;
    network.solve(now, [&](std::uint32_t flow, std::uint32_t version, Picoseconds end) {
      ends.push({end, flow, version});
    });
    if (!look) continue;
    std::vector<std::uint32_t> under_way;
    for (const auto& [flow, unused] : message_of) under_way.push_back(flow);
    look(network, under_way, now);
  }
  return finished;
}

Network network_of(const Cluster& cluster) { return {cluster, slots(ranks_of(cluster)), kMemory}; }

TEST(NetworkProperty, NoLinkIsAboveItsCapacityAndEveryFlowHasABottleneck) {
  for (const Kind& kind : kinds()) {
    Draw draw(0x5eed);
    for (int round = 0; round < 8; ++round) {
      Network network = network_of(kind.cluster);
      int looked = 0;
      play(network, traffic(ranks_of(kind.cluster), 20 + 30 * round, draw),
           [&](const Network& at, const auto& flows, auto) {
             ++looked;
             std::map<std::uint32_t, double> load, fastest;
             for (const std::uint32_t flow : flows)
               for (const std::uint32_t link : at.links(flow)) {
                 load[link] += at.rate(flow);
                 fastest[link] = std::max(fastest[link], at.rate(flow));
               }
             for (const auto& [link, rate] : load)
               ASSERT_LE(rate, at.capacity(link) * (1 + kRounding)) << kind.name << " link " << link;
             for (const std::uint32_t flow : flows) {
               const auto links = at.links(flow);
               ASSERT_TRUE(std::any_of(links.begin(), links.end(),
                                       [&](std::uint32_t link) {
                                         return load[link] >= at.capacity(link) * (1 - kRounding) &&
                                                at.rate(flow) >= fastest[link] * (1 - kRounding);
                                       }))
                   << kind.name << ": a flow of " << at.rate(flow) << " B/s is held back by no link";
             }
           });
      EXPECT_GT(looked, 20);
    }
  }
}

TEST(NetworkProperty, WhatGoesInComesOut) {
  for (const Kind& kind : kinds()) {
    Draw draw(0xfeed);
    const std::vector<Message> messages = traffic(ranks_of(kind.cluster), 150, draw);
    Network network = network_of(kind.cluster);
    double moved = 0;
    Picoseconds before = 0;
    std::map<std::uint32_t, double> rates;
    const auto finished = play(network, messages, [&](const Network& at, const auto& flows, Picoseconds now) {
      for (const auto& [flow, rate] : rates) moved += rate * to_seconds(now - before);
      before = now;
      rates.clear();
      for (const std::uint32_t flow : flows) rates[flow] = at.rate(flow);
    });
    double sent = 0;
    for (const Message& each : messages) sent += each.bytes;
    EXPECT_NEAR(moved, sent, sent * 1e-6) << kind.name;  // an end is rounded up to the picosecond
    EXPECT_TRUE(rates.empty());
    for (std::size_t i = 0; i < messages.size(); ++i) EXPECT_GT(finished[i], messages[i].start) << kind.name;
  }
}

// A slower link shrinks what rates are possible, so the slowest flow cannot gain, nor the next where the slowest is the
// same, and so on: max-min rates are the largest of all possible ones in that order.
TEST(NetworkProperty, ASlowerLinkNeverHelpsTheSlowest) {
  for (const Kind& kind : kinds()) {
    const auto sorted_rates = [&](const Cluster& cluster, std::uint64_t seed) {
      Draw draw(seed);
      Network network = network_of(cluster);
      std::vector<std::uint32_t> flows;
      for (const Message& each : traffic(ranks_of(cluster), 40, draw, true))
        flows.push_back(network.start(each.from, each.to, each.bytes, 0));
      network.solve(0, [](auto, auto, auto) {});
      std::vector<double> rates;
      for (const std::uint32_t flow : flows) rates.push_back(network.rate(flow));
      std::sort(rates.begin(), rates.end());
      return rates;
    };
    for (std::uint64_t seed = 1; seed <= 12; ++seed) {
      const auto before = sorted_rates(kind.cluster, seed);
      std::vector<Cluster> slower(2, kind.cluster);
      slower[0].intra.bandwidth *= 0.6;
      slower[1].inter.bandwidth *= 0.6;
      for (const std::string& key : kind.rates) {
        slower.push_back(kind.cluster);
        slower.back().constants.at(key).value *= 0.6;
      }
      for (const Cluster& each : slower) {
        const auto after = sorted_rates(each, seed);
        const auto differ = std::mismatch(before.begin(), before.end(), after.begin(), [](double a, double b) {
          return std::abs(a - b) <= kRounding * std::max(a, b);
        });
        if (differ.first != before.end()) EXPECT_LT(*differ.second, *differ.first) << kind.name << " seed " << seed;
      }
    }
  }
}

// ---- programs

Picoseconds time_of(const Cluster& cluster, const Program& program) {
  ClusterFabric fabric({.cluster = cluster,
                        .operator_seconds = [](const OpWork&) { return 0.0; },
                        .memory_bandwidth = kMemory,
                        .ranks = ranks_of(cluster)});
  return fabric.run(program).makespan();
}

Program reduce_with(AllReduce algorithm) {
  return [algorithm](Rank& rank) -> Task<> {
    Buffer tensor = rank.allocate("tensor", Memory::workspace, 1'440'000);
    co_await all_reduce(rank, tensor, {.algorithm = algorithm, .node_ranks = 0, .piece_bytes = 65536}, DType::f32,
                        {.value = 3, .name = "sum"});
  };
}

Task<> exchange_all(Rank& rank) {
  std::vector<Buffer> parts;
  for (int r = 0; r < rank.size(); ++r) parts.push_back(rank.allocate("part", Memory::workspace, 100'000));
  const std::vector<std::int64_t> expected(static_cast<std::size_t>(rank.size()), 100'000);
  const auto arrived = co_await all_to_all(rank, std::move(parts), expected, {.value = 4, .name = "parts"}, "part");
}

// Fair sharing is no optimal schedule: where a slower link holds back flows that are not the last to end, those that
// are may gain a little.
TEST(NetworkProperty, NoCollectiveIsFasterOnASlowerLink) {
  constexpr double kSlack = 0.9;
  const std::vector<std::pair<std::string, Program>> programs{{"ring", reduce_with(AllReduce::ring)},
                                                              {"halving", reduce_with(AllReduce::halving_doubling)},
                                                              {"star", reduce_with(AllReduce::star)},
                                                              {"all-to-all", exchange_all}};
  for (const Kind& kind : kinds()) {
    for (const auto& [name, program] : programs) {
      std::vector<std::pair<std::string, std::function<void(Cluster&, double)>>> links{
          {"intra", [](Cluster& c, double f) { c.intra.bandwidth *= f; }},
          {"inter", [](Cluster& c, double f) { c.inter.bandwidth *= f; }}};
      for (const std::string& key : kind.rates)
        links.emplace_back(key, [key](Cluster& c, double f) { c.constants.at(key).value *= f; });
      for (const auto& [key, slow] : links) {
        Picoseconds before = 0;
        for (const double factor : {1.0, 0.8, 0.5, 0.2, 0.05}) {
          Cluster cluster = kind.cluster;
          slow(cluster, factor);
          const Picoseconds now = time_of(cluster, program);
          EXPECT_GE(static_cast<double>(now), kSlack * static_cast<double>(before))
              << kind.name << ", " << name << ", " << key << " at " << factor;
          before = std::max(before, now);
        }
      }
    }
  }
}

TEST(NetworkProperty, AllLinksTwiceAsFastHalveTheTimeOnTheWire) {
  for (Kind kind : kinds()) {
    kind.cluster.intra.latency = kind.cluster.inter.latency = 0;
    for (auto& [key, constant] : kind.cluster.constants)
      if (key.ends_with("latency")) constant.value = 1e-12;
    const Picoseconds before = time_of(kind.cluster, exchange_all);
    kind.cluster.intra.bandwidth *= 2;
    kind.cluster.inter.bandwidth *= 2;
    for (const std::string& key : kind.rates) kind.cluster.constants.at(key).value *= 2;
    for (datasets::NodeLink& link : kind.cluster.node_links) link.bandwidth *= 2;
    EXPECT_NEAR(static_cast<double>(time_of(kind.cluster, exchange_all)), static_cast<double>(before) / 2, 2000)
        << kind.name;
  }
}

TEST(NetworkProperty, ATorusAndARingLookTheSameFromEveryPlace) {
  for (const Kind& kind : kinds()) {
    if (kind.name != "torus 2D" && kind.name != "torus 3D" && kind.name != "ring") continue;
    const int ranks = ranks_of(kind.cluster);
    const int extent[3] = {kind.name == "torus 2D" ? 4
                           : kind.name == "ring"   ? 16
                                                   : 3,
                           kind.name == "torus 2D" ? 4 : 3, 2};
    const auto moved = [&](int rank, int x, int y) {
      if (kind.name == "ring") return (rank + x) % ranks;
      const int a = rank % extent[0], b = rank / extent[0] % extent[1], c = rank / (extent[0] * extent[1]);
      return (a + x) % extent[0] + extent[0] * ((b + y) % extent[1]) + extent[0] * extent[1] * c;
    };
    Draw draw(7);
    std::vector<Message> messages = traffic(ranks, 80, draw);
    Network here = network_of(kind.cluster);
    const auto finished = play(here, messages);
    for (const auto& [x, y] : {std::pair(1, 0), std::pair(2, 1), std::pair(0, 2)}) {
      std::vector<Message> other = messages;
      for (Message& each : other) {
        each.from = moved(each.from, x, y);
        each.to = moved(each.to, x, y);
      }
      Network there = network_of(kind.cluster);
      const auto shifted = play(there, other);
      // Rates are solved in another order of links: the last bit may differ, and with it a picosecond.
      for (std::size_t i = 0; i < messages.size(); ++i)
        EXPECT_NEAR(static_cast<double>(finished[i]), static_cast<double>(shifted[i]), 2000) << kind.name;
    }
  }
}

TEST(NetworkProperty, ASwitchTreatsBothDirectionsAndAllPortsAlike) {
  const Cluster cluster = kinds()[0].cluster;
  Draw draw(11);
  const std::vector<Message> messages = traffic(16, 80, draw);
  Network forth = network_of(cluster), back = network_of(cluster), renamed = network_of(cluster);
  std::vector<Message> reversed = messages, permuted = messages;
  for (Message& each : reversed) std::swap(each.from, each.to);
  for (Message& each : permuted) {
    each.from = (each.from + 4) % 16;  // the next node
    each.to = (each.to + 4) % 16;
  }
  const auto a = play(forth, messages), b = play(back, reversed), c = play(renamed, permuted);
  for (std::size_t i = 0; i < messages.size(); ++i) {
    EXPECT_NEAR(static_cast<double>(a[i]), static_cast<double>(b[i]), 2000);
    EXPECT_NEAR(static_cast<double>(a[i]), static_cast<double>(c[i]), 2000);
  }
}

}  // namespace
}  // namespace assay::substrate
