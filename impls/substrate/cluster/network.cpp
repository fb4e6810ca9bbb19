#include "impls/substrate/cluster/network.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include "datasets/user_error.h"

namespace assay::substrate {

Network::Network(const datasets::Cluster& cluster, std::vector<int> placement, double memory_bandwidth)
    : ranks_(static_cast<int>(placement.size())),
      devices_per_node_(cluster.devices_per_node),
      nics_(cluster.nics_per_node),
      intra_latency_(to_picoseconds(cluster.intra.latency)),
      inter_latency_(to_picoseconds(cluster.inter.latency)),
      placement_(std::move(placement)) {
  const auto ranks = static_cast<std::uint32_t>(ranks_);
  const int last = ranks_ == 0 ? 0 : *std::max_element(placement_.begin(), placement_.end());
  const int nodes = last / devices_per_node_ + 1;
  if (nodes > cluster.nodes)
    throw UserError(fmt::format("{}: {} ranks need {} nodes of {} devices, the cluster has {}", cluster.file, ranks_,
                                nodes, devices_per_node_, cluster.nodes));
  if (nodes > 1 && nics_ < 1) throw UserError(fmt::format("{}: {} nodes but no NIC to join them", cluster.file, nodes));
  constexpr std::array switched{"", "nvswitch", "fat-tree", "rail", "star", "ub", "pcie"};
  if (std::find(switched.begin(), switched.end(), cluster.topology) == switched.end())
    throw UserError(fmt::format("{}: topology {} is not modelled, expected nvswitch, fat-tree, rail, star, ub or pcie",
                                cluster.file, cluster.topology));

  nic_count_ = nodes > 1 ? static_cast<std::uint32_t>(nodes * nics_) : 0;
  nic_base_ = 2 * ranks;
  loop_base_ = nic_base_ + 2 * nic_count_;
  flows_.resize(std::size_t{ranks} * kOwnFlows);
  own_free_.assign(ranks, (1U << kOwnFlows) - 1);
  links_.resize(loop_base_ + ranks);
  for (std::uint32_t i = 0; i < nic_base_; ++i) links_[i].capacity = cluster.intra.bandwidth;
  for (std::uint32_t i = nic_base_; i < loop_base_; ++i) links_[i].capacity = cluster.inter.bandwidth;
  for (std::uint32_t i = loop_base_; i < links_.size(); ++i) links_[i].capacity = memory_bandwidth / 2;
}

Picoseconds Network::latency(int from, int to) const {
  if (from == to) return 0;
  const bool same_node = placement_[static_cast<std::size_t>(from)] / devices_per_node_ ==
                         placement_[static_cast<std::size_t>(to)] / devices_per_node_;
  return same_node ? intra_latency_ : inter_latency_;
}

void Network::touch(std::uint32_t link) {
  if (links_[link].dirty) return;
  links_[link].dirty = true;
  dirty_.push_back(link);
}

// A sender's flows lie together and in order of rank, as events come.
std::uint32_t Network::take_flow(int from) {
  std::uint8_t& own = own_free_[static_cast<std::size_t>(from)];
  if (own != 0) {
    const auto slot = static_cast<std::uint32_t>(std::countr_zero(own));
    own = static_cast<std::uint8_t>(own & (own - 1));
    return static_cast<std::uint32_t>(from) * kOwnFlows + slot;
  }
  if (free_.empty()) {
    flows_.emplace_back();
    return static_cast<std::uint32_t>(flows_.size() - 1);
  }
  const std::uint32_t id = free_.back();
  free_.pop_back();
  return id;
}

std::uint32_t Network::start(int from, int to, double bytes, Picoseconds now) {
  const std::uint32_t id = take_flow(from);
  Flow& flow = flows_[id];
  if (from == to) {
    flow.links[0] = flow.links[1] = loop_base_ + static_cast<std::uint32_t>(from);
  } else {
    const int a = placement_[static_cast<std::size_t>(from)];
    const int b = placement_[static_cast<std::size_t>(to)];
    const int node_a = a / devices_per_node_;
    const int node_b = b / devices_per_node_;
    if (node_a == node_b) {
      flow.links[0] = static_cast<std::uint32_t>(from);
      flow.links[1] = static_cast<std::uint32_t>(ranks_ + to);
    } else {
      const int nic_a = node_a * nics_ + a % devices_per_node_ * nics_ / devices_per_node_;
      const int nic_b = node_b * nics_ + b % devices_per_node_ * nics_ / devices_per_node_;
      flow.links[0] = nic_base_ + static_cast<std::uint32_t>(nic_a);
      flow.links[1] = nic_base_ + nic_count_ + static_cast<std::uint32_t>(nic_b);
    }
  }
  flow.rate = 0;
  flow.remaining = bytes;
  flow.updated = now;
  for (const std::uint32_t link : flow.links) {
    if (&link == &flow.links[1] && flow.links[0] == flow.links[1]) break;
    links_[link].flows.add(id);
    touch(link);
  }
  return id;
}

void Network::end(std::uint32_t id) {
  Flow& flow = flows_[id];
  ++flow.version;
  for (const std::uint32_t link : flow.links) {
    auto& flows = links_[link].flows;
    const std::uint32_t before = flows.size();
    flows.remove(id);
    if (flows.size() == before) continue;  // a loop has one link
    if (!flows.empty()) touch(link);
  }
  const std::size_t owner = id / kOwnFlows;
  if (owner < own_free_.size()) {
    own_free_[owner] = static_cast<std::uint8_t>(own_free_[owner] | (1U << (id % kOwnFlows)));
  } else {
    free_.push_back(id);
  }
}

void Network::set_rate(std::uint32_t id, double rate, Picoseconds now) {
  Flow& flow = flows_[id];
  if (rate == flow.rate) return;
  if (flow.rate > 0) flow.remaining -= flow.rate * to_seconds(now - flow.updated);
  flow.remaining = std::max(flow.remaining, 0.0);
  flow.updated = now;
  flow.rate = rate;
  flow.end = now + to_picoseconds(flow.remaining / rate);
  ++flow.version;
  moved_.push_back(id);
}

void Network::resolve(Picoseconds now) {
  moved_.clear();
  for (const std::uint32_t seed : dirty_) {
    Link& link = links_[seed];
    if (!link.dirty) continue;  // met in an earlier component
    link.dirty = false;
    if (link.flows.empty()) continue;
    // Most flows of a regular program have their links to themselves.
    if (link.flows.size() == 1) {
      const std::uint32_t id = *link.flows.begin();
      const Flow& flow = flows_[id];
      Link& other = links_[flow.links[0] == seed ? flow.links[1] : flow.links[0]];
      if (other.flows.size() == 1) {
        other.dirty = false;
        set_rate(id, std::min(link.capacity, other.capacity), now);
        continue;
      }
    }
    // The component: flows that share a link, directly or through others.
    ++mark_;
    component_links_.assign(1, seed);
    component_flows_.clear();
    link.mark = mark_;
    for (std::size_t i = 0; i < component_links_.size(); ++i) {
      for (const std::uint32_t id : links_[component_links_[i]].flows) {
        Flow& flow = flows_[id];
        if (flow.mark == mark_) continue;
        flow.mark = mark_;
        component_flows_.push_back(id);
        for (const std::uint32_t other : flow.links) {
          if (links_[other].mark == mark_) continue;
          links_[other].mark = mark_;
          links_[other].dirty = false;
          component_links_.push_back(other);
        }
      }
    }
    share(now);
  }
  dirty_.clear();
}

// Progressive filling: the link that leaves its flows least fixes their rate; repeat with what the others have left.
void Network::share(Picoseconds now) {
  for (const std::uint32_t id : component_links_) {
    links_[id].left = links_[id].capacity;
    links_[id].open = links_[id].flows.size();
  }
  for (const std::uint32_t id : component_flows_) flows_[id].fresh = 0;
  std::size_t fixed = 0;
  while (fixed < component_flows_.size()) {
    std::uint32_t tightest = 0;
    double least = -1;
    for (const std::uint32_t id : component_links_) {
      if (links_[id].open == 0) continue;
      const double each = links_[id].left / links_[id].open;
      if (least < 0 || each < least) {
        least = each;
        tightest = id;
      }
    }
    for (const std::uint32_t id : links_[tightest].flows) {
      Flow& flow = flows_[id];
      if (flow.fresh > 0) continue;
      flow.fresh = least;
      ++fixed;
      for (const std::uint32_t each : flow.links) {
        if (each != flow.links[0] && flow.links[0] == flow.links[1]) break;
        links_[each].left = std::max(0.0, links_[each].left - least);
        --links_[each].open;
        if (flow.links[0] == flow.links[1]) break;
      }
    }
  }
  for (const std::uint32_t id : component_flows_) set_rate(id, flows_[id].fresh, now);
}

}  // namespace assay::substrate
