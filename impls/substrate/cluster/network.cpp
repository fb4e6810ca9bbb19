#include "impls/substrate/cluster/network.h"

#include <algorithm>
#include <bit>
#include <functional>

namespace assay::substrate {

namespace {

constexpr std::size_t kFar = 16, kNear = 8;  // changed links ahead of the one being solved that are fetched

}  // namespace

Network::Network(const datasets::Cluster& cluster, const std::vector<int>& placement, double memory_bandwidth)
    : topology_(cluster, placement, memory_bandwidth) {
  const std::size_t ranks = placement.size();
  flows_.resize(ranks * kOwnFlows);
  own_free_.assign(ranks, (1U << kOwnFlows) - 1);
  const std::vector<double>& capacities = topology_.capacities();
  links_.resize(capacities.size());
  for (std::size_t i = 0; i < links_.size(); ++i) links_[i].capacity = capacities[i];
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
  const std::size_t longest = topology_.longest();
  if (longest <= 2) {
    flow.count = static_cast<std::uint32_t>(topology_.route(from, to, flow.links));
  } else {
    if (routes_.size() < flows_.size() * longest) routes_.resize(flows_.size() * longest);
    std::uint32_t* const route = routes_.data() + std::size_t{id} * longest;
    flow.count = static_cast<std::uint32_t>(topology_.route(from, to, route));
    if (flow.count <= 2) std::copy_n(route, flow.count, flow.links);
  }
  flow.rate = 0;
  flow.remaining = bytes;
  flow.updated = now;
  for (const std::uint32_t link : links(id)) {
    links_[link].flows.add(id);
    touch(link);
  }
  return id;
}

void Network::end(std::uint32_t id) {
  Flow& flow = flows_[id];
  ++flow.version;
  for (const std::uint32_t link : links(id)) {
    auto& flows = links_[link].flows;
    flows.remove(id);
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
  for (std::size_t at = 0; at < dirty_.size(); ++at) {
    if (at + kFar < dirty_.size()) __builtin_prefetch(&links_[dirty_[at + kFar]], 1);
    if (at + kNear < dirty_.size())
      if (const FlowList& coming = links_[dirty_[at + kNear]].flows; !coming.empty()) fetch(*coming.begin());
    const std::uint32_t seed = dirty_[at];
    Link& link = links_[seed];
    if (!link.dirty) continue;  // met in an earlier component
    link.dirty = false;
    if (link.flows.empty()) continue;
    // Most flows of a regular program have their links to themselves.
    if (link.flows.size() == 1) {
      const std::uint32_t id = *link.flows.begin();
      double least = link.capacity;
      bool alone = true;
      for (const std::uint32_t each : links(id)) {
        alone = alone && links_[each].flows.size() == 1;
        least = std::min(least, links_[each].capacity);
      }
      if (alone) {
        for (const std::uint32_t each : links(id)) links_[each].dirty = false;
        set_rate(id, least, now);
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
        for (const std::uint32_t other : links(id)) {
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

// Fixes the open flows of a link at `rate`; returns how many.
std::size_t Network::fill(std::uint32_t tightest, double rate) {
  std::size_t fixed = 0;
  for (const std::uint32_t id : links_[tightest].flows) {
    Flow& flow = flows_[id];
    if (flow.fresh > 0) continue;
    flow.fresh = rate;
    ++fixed;
    for (const std::uint32_t each : links(id)) {
      links_[each].left = std::max(0.0, links_[each].left - rate);
      --links_[each].open;
    }
  }
  return fixed;
}

// Progressive filling: the link that leaves its flows least fixes their rate; repeat with what the others have left.
// What a link leaves each flow only grows, so in a heap an old entry is too low at most and is put back.
void Network::share(Picoseconds now) {
  constexpr std::size_t kScanned = 16;  // links among which looking at all is faster than a heap
  for (const std::uint32_t id : component_links_) {
    links_[id].left = links_[id].capacity;
    links_[id].open = links_[id].flows.size();
  }
  for (const std::uint32_t id : component_flows_) flows_[id].fresh = 0;
  std::size_t fixed = 0;
  if (component_links_.size() <= kScanned) {
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
      fixed += fill(tightest, least);
    }
  } else {
    levels_.clear();
    for (const std::uint32_t id : component_links_)
      levels_.push_back({links_[id].left / links_[id].open, static_cast<std::uint32_t>(levels_.size()), id});
    std::make_heap(levels_.begin(), levels_.end(), std::greater<>());
    while (fixed < component_flows_.size()) {
      std::pop_heap(levels_.begin(), levels_.end(), std::greater<>());
      Level& lowest = levels_.back();
      const Link& link = links_[lowest.link];
      const double each = link.open == 0 ? 0 : link.left / link.open;
      if (link.open > 0 && each > lowest.rate) {
        lowest.rate = each;
        std::push_heap(levels_.begin(), levels_.end(), std::greater<>());
        continue;
      }
      if (link.open > 0) fixed += fill(lowest.link, each);
      levels_.pop_back();
    }
  }
  for (const std::uint32_t id : component_flows_) set_rate(id, flows_[id].fresh, now);
}

}  // namespace assay::substrate
