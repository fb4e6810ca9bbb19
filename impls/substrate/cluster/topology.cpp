#include "impls/substrate/cluster/topology.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string_view>

#include "datasets/node_links.h"
#include "datasets/user_error.h"

namespace assay::substrate {

namespace {

using datasets::Cluster;

double need(const Cluster& cluster, std::string_view key, std::string_view expected) {
  const auto found = cluster.constants.find(key);
  if (found == cluster.constants.end())
    throw UserError(
        fmt::format("{}: {} is missing, expected {} for topology {}", cluster.file, key, expected, cluster.topology));
  if (!(found->second.value > 0))
    throw UserError(fmt::format("{}: {} is {}, expected {} above 0: else its nodes are not connected", cluster.file,
                                key, found->second.value, expected));
  return found->second.value;
}

int whole(const Cluster& cluster, std::string_view key, std::string_view expected) {
  const double value = need(cluster, key, expected);
  if (value != std::floor(value) || value > std::numeric_limits<int>::max())
    throw UserError(fmt::format("{}: {} is {}, expected {}, a whole number", cluster.file, key, value, expected));
  return static_cast<int>(value);
}

bool has(const Cluster& cluster, std::string_view key) { return cluster.constants.contains(key); }

int modulo(int value, int size) { return ((value % size) + size) % size; }

// Steps from a to b round `size` places, the shorter way; of equals the upward one.
int steps_round(int a, int b, int size) {
  const int up = modulo(b - a, size);
  return 2 * up <= size ? up : up - size;
}

template <std::size_t n>
bool one_of(const std::array<std::string_view, n>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Inside a node every device has a port of its own, between nodes only adapters bound what moves.
constexpr std::array<std::string_view, 5> kSwitched{"", "nvswitch", "ub", "star", "pcie"};
constexpr std::array<std::string_view, 4> kInsideOnly{"nvlink-mesh", "ring", "cube-mesh", "soc"};
constexpr std::array<std::string_view, 5> kOutside{"fat-tree", "rail", "torus", "dragonfly", "mixed-nics"};

}  // namespace

Topology::Topology(const Cluster& cluster, std::vector<int> placement, double memory_bandwidth)
    : ranks_(static_cast<int>(placement.size())),
      devices_per_node_(cluster.devices_per_node),
      nics_(cluster.nics_per_node),
      all_nodes_(cluster.nodes),
      intra_latency_(to_picoseconds(cluster.intra.latency)),
      inter_latency_(to_picoseconds(cluster.inter.latency)),
      placement_(std::move(placement)) {
  const auto ranks = static_cast<std::uint32_t>(ranks_);
  nodes_ = (ranks_ == 0 ? 0 : *std::max_element(placement_.begin(), placement_.end())) / devices_per_node_ + 1;
  if (nodes_ > cluster.nodes)
    throw UserError(fmt::format("{}: {} ranks need {} nodes of {} devices, the cluster has {}", cluster.file, ranks_,
                                nodes_, devices_per_node_, cluster.nodes));
  if (nodes_ > 1 && nics_ < 1)
    throw UserError(fmt::format("{}: {} nodes but no NIC to join them", cluster.file, nodes_));
  if (!one_of(kSwitched, cluster.topology) && !one_of(kInsideOnly, cluster.topology) &&
      !one_of(kOutside, cluster.topology))
    throw UserError(
        fmt::format("{}: topology {} is not modelled, expected nvswitch, ub, star, pcie, nvlink-mesh, "
                    "cube-mesh, ring, soc, fat-tree, rail, torus, dragonfly or mixed-nics",
                    cluster.file, cluster.topology));
  if (ranks_ > 1 && devices_per_node_ > 1 && !(cluster.intra.bandwidth > 0))
    throw UserError(
        fmt::format("{}: intra_bandwidth is {}, expected more than 0 B/s", cluster.file, cluster.intra.bandwidth));
  if (nodes_ > 1 && !(cluster.inter.bandwidth > 0))
    throw UserError(
        fmt::format("{}: inter_bandwidth is {}, expected more than 0 B/s", cluster.file, cluster.inter.bandwidth));

  add_links(2 * std::size_t{ranks}, cluster.intra.bandwidth);
  nic_count_ = nodes_ > 1 ? static_cast<std::uint32_t>(nodes_ * nics_) : 0;
  nic_base_ = add_links(2 * std::size_t{nic_count_}, cluster.inter.bandwidth);
  loop_base_ = add_links(ranks, memory_bandwidth / 2);
  for (int nic = 0; nic < nics_ && nodes_ > 1; ++nic) {
    const std::string key = fmt::format("nic{}_bandwidth", nic);
    if (!has(cluster, key)) continue;
    uneven_nics_ = true;
    const double rate =
        need(cluster, key, "B/s per direction of that adapter") * datasets::constant_or(cluster, "eff_inter", 1);
    for (std::uint32_t n = static_cast<std::uint32_t>(nic); n < nic_count_; n += static_cast<std::uint32_t>(nics_))
      capacities_[nic_base_ + n] = capacities_[nic_base_ + nic_count_ + n] = rate;
  }
  read_inside(cluster);
  hop_ = to_picoseconds(datasets::constant_or(cluster, "hop_latency", 0));
  long_latency_ = hop_ > 0 || (inside_ == Inside::ring && devices_per_node_ > 1);
  if (nodes_ > 1) {
    if (cluster.topology == "fat-tree" || cluster.topology == "rail") read_tree(cluster);
    if (cluster.topology == "torus") read_torus(cluster);
    if (cluster.topology == "dragonfly") read_dragonfly(cluster);
    if (cluster.topology == "mixed-nics") read_two_kinds(cluster);
  }
  two_links_ = inside_ == Inside::ports && between_ == Between::never_blocks;
}

std::uint32_t Topology::add_links(std::size_t count, double capacity) {
  const auto base = static_cast<std::uint32_t>(capacities_.size());
  capacities_.resize(capacities_.size() + count, capacity);
  return base;
}

void Topology::read_inside(const Cluster& cluster) {
  std::string_view kind = cluster.node_topology;
  if (kind.empty() && !one_of(kOutside, cluster.topology)) {
    if (cluster.topology == "ring") kind = "ring";
    if (cluster.topology == "nvlink-mesh" || cluster.topology == "cube-mesh") kind = "mesh";
  }
  const auto devices = static_cast<std::size_t>(devices_per_node_), nodes = static_cast<std::size_t>(nodes_);
  if (devices == 1 || kind.empty() || kind == "switch") return;
  if (kind == "ring") {
    inside_ = Inside::ring;
    inner_base_ = add_links(nodes * devices * 2, cluster.intra.bandwidth);
    longest_ = std::max(longest_, devices / 2);
    return;
  }
  if (kind == "mesh" && cluster.node_links.empty() && cluster.topology != "cube-mesh") {
    // All of a device's links together have the port's rate.
    inside_ = Inside::pairs;
    inner_base_ = add_links(nodes * devices * devices, cluster.intra.bandwidth / static_cast<double>(devices - 1));
    return;
  }
  if (kind != "mesh" && kind != "tree")
    throw UserError(fmt::format("{}: node_topology is '{}', expected switch, mesh, ring or tree", cluster.file, kind));
  if (cluster.node_links.empty())
    throw UserError(fmt::format("{}: node_links is missing, expected the links of the {} inside a node", cluster.file,
                                cluster.topology == "cube-mesh" ? "cube mesh" : kind));
  graph_ = std::make_shared<const NodeGraph>(cluster);
  inside_ = Inside::graph;
  inner_base_ = static_cast<std::uint32_t>(capacities_.size());
  for (std::size_t n = 0; n < nodes; ++n)
    for (std::size_t link = 0; link < graph_->links(); ++link) capacities_.push_back(graph_->capacity(link));
  longest_ = std::max(longest_, 2 + 2 * graph_->longest());
}

// Two levels of switches, or with `pod_nodes` three. With `leaf_uplinks` every link up is one of its own and chosen by
// the destination (D-mod-k); with `oversubscription` traffic is spread evenly over all of a leaf's uplinks, which then
// are as one. The same above a pod, with `core_uplinks` or `core_oversubscription`.
void Topology::read_tree(const Cluster& cluster) {
  if (!has(cluster, "leaf_nodes")) {
    if (has(cluster, "leaf_uplinks") || has(cluster, "oversubscription"))
      need(cluster, "leaf_nodes", "nodes whose adapters meet in one leaf switch");
    return;  // without oversubscription only adapters bound what moves
  }
  between_ = Between::tree;
  rails_ = cluster.topology == "rail";
  leaf_nodes_ = whole(cluster, "leaf_nodes", "nodes whose adapters meet in one leaf switch");
  const double eff = datasets::constant_or(cluster, "eff_inter", 1);
  const int leaf_ports = leaf_nodes_ * (rails_ ? 1 : nics_);
  double rate = 0;
  if (has(cluster, "oversubscription")) {
    if (has(cluster, "leaf_uplinks"))
      throw UserError(fmt::format("{}: leaf_uplinks beside oversubscription, expected one of the two", cluster.file));
    const double share = need(cluster, "oversubscription", "adapters' bandwidth over uplinks' bandwidth of a leaf");
    rate = leaf_ports * cluster.inter.bandwidth / share;
  } else {
    uplinks_ = whole(cluster, "leaf_uplinks", "links up of a leaf switch, or oversubscription");
    rate = need(cluster, "uplink_bandwidth", "B/s per direction of a link up") * eff;
  }
  const int leaves = (nodes_ + leaf_nodes_ - 1) / leaf_nodes_ * (rails_ ? nics_ : 1);
  outer_base_ = add_links(static_cast<std::size_t>(leaves) * static_cast<std::size_t>(uplinks_) * 2, rate);
  read_core(cluster, rate * uplinks_ * (rails_ ? nics_ : 1));
  longest_ = std::max(longest_, std::size_t{pod_nodes_ > 0 ? 6U : 4U} + (graph_ ? 2 * graph_->longest() : 0));
}

// `group_rate`: up from the leaves of leaf_nodes_ nodes.
void Topology::read_core(const Cluster& cluster, double group_rate) {
  if (!has(cluster, "pod_nodes")) {
    for (const std::string_view key : {"core_uplinks", "core_oversubscription"})
      if (has(cluster, key)) need(cluster, "pod_nodes", "nodes below the same switches of the second level");
    return;
  }
  pod_nodes_ = whole(cluster, "pod_nodes", "nodes below the same switches of the second level");
  if (pod_nodes_ % leaf_nodes_ != 0)
    throw UserError(fmt::format("{}: pod_nodes is {}, expected a multiple of leaf_nodes, {}", cluster.file, pod_nodes_,
                                leaf_nodes_));
  double rate = 0;
  if (has(cluster, "core_oversubscription")) {
    if (has(cluster, "core_uplinks"))
      throw UserError(
          fmt::format("{}: core_uplinks beside core_oversubscription, expected one of the two", cluster.file));
    const double share = need(cluster, "core_oversubscription", "bandwidth of a pod's leaves up over that of the pod");
    const int groups = pod_nodes_ / leaf_nodes_;
    rate = group_rate * groups / share;
  } else {
    core_uplinks_ = whole(cluster, "core_uplinks", "links up of a pod, or core_oversubscription");
    rate = need(cluster, "core_bandwidth", "B/s per direction of a link from a pod up") *
           datasets::constant_or(cluster, "eff_inter", 1);
  }
  const int pods = (nodes_ + pod_nodes_ - 1) / pod_nodes_;
  core_base_ = add_links(static_cast<std::size_t>(pods) * static_cast<std::size_t>(core_uplinks_) * 2, rate);
}

void Topology::read_torus(const Cluster& cluster) {
  between_ = Between::torus;
  extent_[0] = whole(cluster, "torus_x", "nodes along the first dimension");
  extent_[1] = whole(cluster, "torus_y", "nodes along the second dimension");
  extent_[2] = has(cluster, "torus_z") ? whole(cluster, "torus_z", "nodes along the third dimension") : 1;
  const double places = double{1} * extent_[0] * extent_[1] * extent_[2];
  if (places < all_nodes_)
    throw UserError(fmt::format("{}: a torus of {} x {} x {} has {} places, expected the {} of nodes", cluster.file,
                                extent_[0], extent_[1], extent_[2], places, all_nodes_));
  const double rate = need(cluster, "torus_bandwidth", "B/s per direction of a link between neighbours") *
                      datasets::constant_or(cluster, "eff_inter", 1);
  outer_base_ = add_links(static_cast<std::size_t>(places) * 6, rate);
  std::size_t across = 0;
  for (const int extent : extent_) across += static_cast<std::size_t>(extent / 2);
  longest_ = std::max(longest_, 2 + across + (graph_ ? 2 * graph_->longest() : 0));
}

void Topology::read_dragonfly(const Cluster& cluster) {
  between_ = Between::dragonfly;
  groups_ = whole(cluster, "groups", "groups of routers");
  routers_ = whole(cluster, "group_routers", "routers of a group");
  router_nics_ = whole(cluster, "router_nics", "adapters at one router");
  const double places = double{1} * groups_ * routers_ * router_nics_, adapters = double{1} * all_nodes_ * nics_;
  if (places < adapters)
    throw UserError(fmt::format("{}: {} groups of {} routers hold {} adapters, expected the {} of {} nodes",
                                cluster.file, groups_, routers_, places, adapters, all_nodes_));
  const double eff = datasets::constant_or(cluster, "eff_inter", 1);
  const auto groups = static_cast<std::size_t>(groups_), routers = static_cast<std::size_t>(routers_);
  if (routers > 1)
    outer_base_ = add_links(groups * routers * routers,
                            need(cluster, "local_bandwidth", "B/s per direction between two routers of a group") * eff);
  if (groups > 1) {
    arcs_ = whole(cluster, "group_links", "links between two groups");
    arcs_a_router_ = ((groups_ - 1) * arcs_ + routers_ - 1) / routers_;
    global_base_ = add_links(groups * groups * static_cast<std::size_t>(arcs_),
                             need(cluster, "global_bandwidth", "B/s per direction of a link between groups") * eff);
  }
  longest_ = std::max(longest_, std::size_t{5} + (graph_ ? 2 * graph_->longest() : 0));
}

// Adapters that do not speak to each other: nodes of the two kinds meet over one more adapter a node.
void Topology::read_two_kinds(const Cluster& cluster) {
  between_ = Between::two_kinds;
  first_kind_nodes_ = whole(cluster, "first_kind_nodes", "nodes with adapters of inter_bandwidth");
  const double eff = datasets::constant_or(cluster, "eff_inter", 1);
  const double second = need(cluster, "second_bandwidth", "B/s per direction of an adapter of the other nodes") * eff;
  const auto first = static_cast<std::uint32_t>(std::min(first_kind_nodes_, nodes_) * nics_);
  for (std::uint32_t n = first; n < nic_count_; ++n)
    capacities_[nic_base_ + n] = capacities_[nic_base_ + nic_count_ + n] = second;
  second_latency_ = to_picoseconds(need(cluster, "second_latency", "seconds per message between the other nodes"));
  outer_base_ = add_links(static_cast<std::size_t>(nodes_) * 2,
                          need(cluster, "joint_bandwidth", "B/s per direction of a node towards the other kind") * eff);
  joint_latency_ = to_picoseconds(need(cluster, "joint_latency", "seconds per message between the kinds"));
  long_latency_ = true;
}

std::size_t Topology::inside(int from, int to, std::uint32_t* links) const {
  const Place a = place(from), b = place(to);
  const int devices = devices_per_node_;
  switch (inside_) {
    case Inside::ports:
      links[0] = static_cast<std::uint32_t>(from);
      links[1] = static_cast<std::uint32_t>(ranks_ + to);
      return 2;
    case Inside::pairs:
      links[0] = inner_base_ + static_cast<std::uint32_t>((a.node * devices + a.device) * devices + b.device);
      return 1;
    case Inside::ring: {
      const int steps = steps_round(a.device, b.device, devices);
      for (int k = 0; k < std::abs(steps); ++k) {
        const int at = modulo(a.device + (steps > 0 ? k : -k), devices);
        links[k] = inner_base_ + static_cast<std::uint32_t>((a.node * devices + at) * 2 + (steps > 0 ? 0 : 1));
      }
      return static_cast<std::size_t>(std::abs(steps));
    }
    case Inside::graph: {
      std::size_t n = 0;
      const auto base = inner_base_ + static_cast<std::uint32_t>(a.node) * static_cast<std::uint32_t>(graph_->links());
      for (const std::uint32_t link : graph_->between(a.device, b.device)) links[n++] = base + link;
      return n;
    }
  }
  return 0;
}

std::size_t Topology::tree(Place from, Place to, std::uint32_t* links) const {
  const auto leaf = [&](Place at) {
    return rails_ ? at.node / leaf_nodes_ * nics_ + nic_of(at) : at.node / leaf_nodes_;
  };
  if (leaf(from) == leaf(to)) return 0;
  // Adapters that differ in their place below a leaf take different uplinks.
  const int target = rails_ ? to.node : to.node * nics_ + nic_of(to);
  const int up = target % uplinks_;
  std::size_t n = 0;
  links[n++] = outer_base_ + static_cast<std::uint32_t>(leaf(from) * 2 * uplinks_ + up);
  if (pod_nodes_ > 0 && from.node / pod_nodes_ != to.node / pod_nodes_) {
    const int above = target % core_uplinks_;
    links[n++] = core_base_ + static_cast<std::uint32_t>(from.node / pod_nodes_ * 2 * core_uplinks_ + above);
    links[n++] = core_base_ + static_cast<std::uint32_t>((to.node / pod_nodes_ * 2 + 1) * core_uplinks_ + above);
  }
  links[n++] = outer_base_ + static_cast<std::uint32_t>((leaf(to) * 2 + 1) * uplinks_ + up);
  return n;
}

// Dimension by dimension, the shorter way round each.
std::size_t Topology::torus(Place from, Place to, std::uint32_t* links) const {
  std::size_t n = 0;
  int at = from.node, stride = 1;
  for (int d = 0; d < 3; ++d) {
    const int extent = extent_[d];
    const int here = at / stride % extent;
    const int steps = steps_round(here, to.node / stride % extent, extent);
    for (int k = 0; k < std::abs(steps); ++k) {
      links[n++] = outer_base_ + static_cast<std::uint32_t>((at * 3 + d) * 2 + (steps > 0 ? 0 : 1));
      const int c = at / stride % extent;
      at += (modulo(c + (steps > 0 ? 1 : -1), extent) - c) * stride;
    }
    stride *= extent;
  }
  return n;
}

// At most one hop to the router that has a link to the other group, that link, one hop there.
std::size_t Topology::dragonfly(Place from, Place to, std::uint32_t* links) const {
  const auto router = [&](Place at) { return (at.node * nics_ + nic_of(at)) / router_nics_; };
  const auto local = [&](int a, int b) {
    return outer_base_ + static_cast<std::uint32_t>(a * routers_ + b % routers_);
  };
  const int a = router(from), b = router(to);
  const int group_a = a / routers_, group_b = b / routers_;
  if (group_a == group_b) {
    if (a == b) return 0;
    links[0] = local(a, b);
    return 1;
  }
  const int arc = (to.node * nics_ + nic_of(to)) % arcs_;
  // Links to the other groups, in order of these, fill the routers of a group one after the other.
  const auto gateway = [&](int group, int other) {
    return group * routers_ + ((other < group ? other : other - 1) * arcs_ + arc) / arcs_a_router_;
  };
  const int out = gateway(group_a, group_b), in = gateway(group_b, group_a);
  std::size_t n = 0;
  if (out != a) links[n++] = local(a, out);
  links[n++] = global_base_ + static_cast<std::uint32_t>((group_a * groups_ + group_b) * arcs_ + arc);
  if (in != b) links[n++] = local(in, b);
  return n;
}

std::size_t Topology::long_route(int from, int to, std::uint32_t* links) const {
  if (from == to) {
    links[0] = loop_base_ + static_cast<std::uint32_t>(from);
    return 1;
  }
  const Place a = place(from), b = place(to);
  if (a.node == b.node) return inside(from, to, links);
  std::size_t n = 0;
  const bool attached = graph_ && graph_->has_nics();
  const auto base = [&](Place at) {
    return inner_base_ + static_cast<std::uint32_t>(at.node) * static_cast<std::uint32_t>(graph_->links());
  };
  if (attached)
    for (const std::uint32_t link : graph_->to_nic(a.device, nic_of(a))) links[n++] = base(a) + link;
  if (between_ == Between::two_kinds && (a.node < first_kind_nodes_) != (b.node < first_kind_nodes_)) {
    links[n++] = outer_base_ + static_cast<std::uint32_t>(2 * a.node);
    links[n++] = outer_base_ + static_cast<std::uint32_t>(2 * b.node + 1);
  } else {
    links[n++] = nic_out(a);
    if (between_ == Between::tree) n += tree(a, b, links + n);
    if (between_ == Between::torus) n += torus(a, b, links + n);
    if (between_ == Between::dragonfly) n += dragonfly(a, b, links + n);
    links[n++] = nic_in(b);
  }
  if (attached)
    for (const std::uint32_t link : graph_->from_nic(nic_of(b), b.device)) links[n++] = base(b) + link;
  return n;
}

Picoseconds Topology::hop_latency(int from, int to) const {
  const Place a = place(from), b = place(to);
  if (a.node == b.node) {
    if (inside_ != Inside::ring) return intra_latency_;
    return intra_latency_ * std::abs(steps_round(a.device, b.device, devices_per_node_));
  }
  if (between_ == Between::two_kinds) {
    if ((a.node < first_kind_nodes_) != (b.node < first_kind_nodes_)) return joint_latency_;
    return a.node < first_kind_nodes_ ? inter_latency_ : second_latency_;
  }
  if (hop_ == 0) return inter_latency_;
  std::uint32_t links[4];
  Picoseconds hops = 0;
  if (between_ == Between::tree) hops = static_cast<Picoseconds>(tree(a, b, links));
  if (between_ == Between::dragonfly) hops = static_cast<Picoseconds>(dragonfly(a, b, links));
  if (between_ == Between::torus) {
    int stride = 1;
    for (const int extent : extent_) {
      hops += std::abs(steps_round(a.node / stride % extent, b.node / stride % extent, extent));
      stride *= extent;
    }
  }
  return inter_latency_ + hops * hop_;
}

}  // namespace assay::substrate
