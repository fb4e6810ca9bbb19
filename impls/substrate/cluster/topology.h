#pragma once
// Which links a message occupies on a cluster, computed from where its two ranks sit: no table grows with the square of
// the ranks. Inside a node: a switch with a port for every device, a link for every pair, a ring, or the listed links
// of a tree or mesh. Between nodes: adapters (device d of D has NIC d * nics / D) on a fabric that never blocks, or on
// a fat tree (also by rails), a torus, a dragonfly, or adapters of two kinds. The keys and the sources of the routing
// rules are in docs/fabrics.md.
#include <cstdint>
#include <memory>
#include <vector>

#include "datasets/machine.h"
#include "impls/substrate/cluster/node_graph.h"
#include "impls/substrate/fabric/virtual_time.h"

namespace assay::substrate {

// What carries a message between two slots of a cluster, in a word.
inline const char* kind_of_link(const datasets::Cluster& cluster, int from, int to) {
  if (from == to) return "own memory";
  return from / cluster.devices_per_node == to / cluster.devices_per_node ? "node" : "network";
}

class Topology {
 public:
  // `placement[r]` is the slot (node * devices_per_node + device) of rank r. A rank's message to itself moves at half
  // of `memory_bandwidth`: read and written. Throws UserError when the cluster cannot hold the ranks, or lacks a number
  // that a route between them needs.
  Topology(const datasets::Cluster& cluster, std::vector<int> placement, double memory_bandwidth);

  const std::vector<double>& capacities() const { return capacities_; }  // B/s by link
  std::size_t longest() const { return longest_; }                       // links of a route, at most

  // The links of a message, in order; `links` has room for the longest route.
  std::size_t route(int from, int to, std::uint32_t* links) const {
    if (!two_links_) return long_route(from, to, links);
    const Place a = place(from), b = place(to);
    if (a.node == b.node) {
      links[0] = from == to ? loop_base_ + static_cast<std::uint32_t>(from) : static_cast<std::uint32_t>(from);
      links[1] = static_cast<std::uint32_t>(ranks_ + to);
      return from == to ? 1 : 2;
    }
    links[0] = nic_out(a);
    links[1] = nic_in(b);
    return 2;
  }

  // From the last bit leaving to delivery.
  Picoseconds latency(int from, int to) const {
    if (from == to) return 0;
    if (!long_latency_) return place(from).node == place(to).node ? intra_latency_ : inter_latency_;
    return hop_latency(from, to);
  }

  // Whether only ports and adapters bound messages, so that a fabric that knows no other links can stand for it.
  bool ports_only() const { return two_links_; }
  // Whether a group's messages take the same time wherever the group sits, as long as its members share nodes alike.
  bool translates() const { return between_ == Between::never_blocks && !uneven_nics_; }

 private:
  enum class Inside : std::uint8_t { ports, pairs, ring, graph };
  enum class Between : std::uint8_t { never_blocks, tree, torus, dragonfly, two_kinds };
  struct Place {
    int node, device;
  };

  Place place(int rank) const {
    const int slot = placement_[static_cast<std::size_t>(rank)];
    return {slot / devices_per_node_, slot % devices_per_node_};
  }
  int nic_of(Place at) const { return at.device * nics_ / devices_per_node_; }
  std::uint32_t nic_out(Place at) const { return nic_base_ + static_cast<std::uint32_t>(at.node * nics_ + nic_of(at)); }
  std::uint32_t nic_in(Place at) const { return nic_out(at) + nic_count_; }

  std::size_t long_route(int from, int to, std::uint32_t* links) const;
  Picoseconds hop_latency(int from, int to) const;
  std::size_t inside(int from, int to, std::uint32_t* links) const;
  std::size_t tree(Place from, Place to, std::uint32_t* links) const;
  std::size_t torus(Place from, Place to, std::uint32_t* links) const;
  std::size_t dragonfly(Place from, Place to, std::uint32_t* links) const;

  void read_inside(const datasets::Cluster& cluster);
  void read_tree(const datasets::Cluster& cluster);
  void read_core(const datasets::Cluster& cluster, double group_rate);
  void read_torus(const datasets::Cluster& cluster);
  void read_dragonfly(const datasets::Cluster& cluster);
  void read_two_kinds(const datasets::Cluster& cluster);
  std::uint32_t add_links(std::size_t count, double capacity);

  int ranks_, devices_per_node_, nics_;
  int nodes_ = 1;      // that ranks sit on: the first ones
  int all_nodes_ = 1;  // of the cluster
  Inside inside_ = Inside::ports;
  Between between_ = Between::never_blocks;
  bool two_links_ = true, long_latency_ = false, uneven_nics_ = false;
  Picoseconds intra_latency_, inter_latency_, hop_ = 0, joint_latency_ = 0, second_latency_ = 0;
  std::vector<int> placement_;
  std::vector<double> capacities_;  // port out of rank, port in, NIC out, NIC in, loop of rank, then the rest
  std::uint32_t nic_base_ = 0, nic_count_ = 0, loop_base_ = 0;
  std::size_t longest_ = 2;
  std::uint32_t inner_base_ = 0;            // pairs, ring and graph
  std::shared_ptr<const NodeGraph> graph_;  // one for all nodes
  std::uint32_t outer_base_ = 0;            // between nodes
  // Tree: leaf l has `uplinks_` links up, then as many down, in order of leaf; with a third level so has each pod.
  bool rails_ = false;
  int leaf_nodes_ = 1, uplinks_ = 1;
  int pod_nodes_ = 0, core_uplinks_ = 1;  // 0: two levels
  std::uint32_t core_base_ = 0;
  // Torus: node n has two links out a dimension, towards higher and lower coordinates.
  int extent_[3] = {1, 1, 1};
  // Dragonfly: directed router pairs of a group, then links between groups.
  int groups_ = 1, routers_ = 1, router_nics_ = 1, arcs_ = 1, arcs_a_router_ = 1;
  std::uint32_t global_base_ = 0;
  // Two kinds: nodes from here on have the second one.
  int first_kind_nodes_ = 0;
};

}  // namespace assay::substrate
