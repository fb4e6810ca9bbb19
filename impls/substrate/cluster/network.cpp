#include "impls/substrate/cluster/network.h"

#include <algorithm>
#include <bit>
#include <functional>

namespace assay::substrate {

namespace {

constexpr std::size_t kFar = 16, kNear = 8;  // changed links ahead of the one being solved that are fetched
constexpr double kSame = 1e-12;              // two rates this near are one
constexpr double kSum = 1e-10;               // what sums over the flows of a link may leave open
constexpr int kPatience = 4;                 // times that a change may spread by single flows; then by whole links

bool above(double rate, double other, double rounding) { return rate > other * (1 + rounding); }

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
    flow.count = static_cast<std::uint16_t>(topology_.route(from, to, flow.links));
  } else {
    if (routes_.size() < flows_.size() * longest) routes_.resize(flows_.size() * longest);
    std::uint32_t* const route = routes_.data() + std::size_t{id} * longest;
    flow.count = static_cast<std::uint16_t>(topology_.route(from, to, route));
    if (flow.count <= 2) std::copy_n(route, flow.count, flow.links);
  }
  flow.rate = 0;  // until it is solved
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
  if (!above(rate, flow.rate, kSame) && !above(flow.rate, rate, kSame)) return;
  if (flow.rate > 0) flow.remaining -= flow.rate * to_seconds(now - flow.updated);
  flow.remaining = std::max(flow.remaining, 0.0);
  flow.updated = now;
  flow.rate = rate;
  flow.end = now + to_picoseconds(flow.remaining / rate);
  ++flow.version;
  if (!flow.moved) moved_.push_back(id);
  flow.moved = true;
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
      std::uint32_t least = seed;
      bool alone = true;
      for (const std::uint32_t each : links(id)) {
        alone = alone && links_[each].flows.size() == 1;
        if (links_[each].capacity < links_[least].capacity) least = each;
      }
      if (alone) {
        for (const std::uint32_t each : links(id)) links_[each].dirty = false;
        flows_[id].bottleneck = least;
        set_rate(id, links_[least].capacity, now);
        continue;
      }
    }
    solve_from(seed, now);
  }
  dirty_.clear();
}

void Network::solve_from(std::uint32_t changed, Picoseconds now) {
  ++mark_;
  solving_.clear();
  touched_.assign(1, changed);
  links_[changed].mark = mark_;
  links_[changed].dirty = true;
  enlist_changed(0);
  if (solving_.empty()) return;  // what ended was held back elsewhere, and so is the rest
  int spread = 0;
  do {
    share();
  } while (widen(++spread > kPatience));
  for (const std::uint32_t id : solving_) set_rate(id, flows_[id].fresh, now);
}

void Network::join(std::uint32_t id) {
  Flow& flow = flows_[id];
  flow.mark = mark_;
  solving_.push_back(id);
  for (const std::uint32_t link : links(id)) {
    if (links_[link].mark == mark_) continue;
    links_[link].mark = mark_;
    touched_.push_back(link);
  }
}

// Of the touched links from `first` on, and of those that this touches: what has begun on one that changed, and what it
// held back.
void Network::enlist_changed(std::size_t first) {
  for (std::size_t i = first; i < touched_.size(); ++i) {
    const std::uint32_t at = touched_[i];
    if (!links_[at].dirty) continue;
    links_[at].dirty = false;
    for (const std::uint32_t id : links_[at].flows) {
      const Flow& flow = flows_[id];
      if (flow.mark != mark_ && (flow.rate == 0 || flow.bottleneck == at)) join(id);
    }
  }
}

// Fixes the open flows of a link at `rate`; returns how many.
std::size_t Network::fill(std::uint32_t tightest, double rate) {
  std::size_t fixed = 0;
  for (const std::uint32_t id : links_[tightest].flows) {
    Flow& flow = flows_[id];
    if (flow.mark != mark_ || flow.fresh >= 0) continue;
    flow.fresh = rate;
    flow.bottleneck = tightest;
    ++fixed;
    for (const std::uint32_t each : links(id)) {
      links_[each].left = std::max(0.0, links_[each].left - rate);
      --links_[each].open;
    }
  }
  return fixed;
}

// Progressive filling of what the flows that are not being solved leave: the links that leave their flows least fix
// their rate; repeat with what the others have left.
void Network::share() {
  constexpr std::size_t kScanned = 16;  // links among which looking at all is faster than a heap
  for (const std::uint32_t id : solving_) flows_[id].fresh = -1;
  levels_.clear();
  shared_.clear();
  for (const std::uint32_t at : touched_) {
    Link& link = links_[at];
    link.left = link.capacity;
    link.open = 0;
    for (const std::uint32_t id : link.flows) {
      if (flows_[id].mark == mark_) {
        ++link.open;
      } else {
        link.left -= flows_[id].rate;
      }
    }
    link.left = std::max(0.0, link.left);
    if (link.open < link.flows.size()) shared_.push_back(at);
    if (link.open > 0) levels_.push_back({link.left / link.open, static_cast<std::uint32_t>(levels_.size()), at});
  }
  std::size_t open = solving_.size();
  // A regular program's links are alike: all that leave the least are filled at once. Where a round fixes few, the
  // links are in a heap: what one leaves each flow only grows, so an old entry is too low at most and is put back.
  while (open > 0) {
    double least = levels_.front().rate;
    for (const Level& each : levels_) least = std::min(least, each.rate);
    std::size_t fixed = 0;
    for (const Level& each : levels_)
      if (!above(each.rate, least, kSame) && links_[each.link].open > 0) fixed += fill(each.link, least);
    open -= fixed;
    std::erase_if(levels_, [&](const Level& each) { return links_[each.link].open == 0; });
    for (Level& each : levels_) each.rate = links_[each.link].left / links_[each.link].open;
    if (levels_.size() > kScanned && fixed * 8 < open) break;
  }
  if (open == 0) return;
  std::make_heap(levels_.begin(), levels_.end(), std::greater<>());
  while (open > 0) {
    std::pop_heap(levels_.begin(), levels_.end(), std::greater<>());
    Level& lowest = levels_.back();
    const Link& link = links_[lowest.link];
    const double each = link.open == 0 ? 0 : link.left / link.open;
    if (link.open > 0 && each > lowest.rate) {
      lowest.rate = each;
      std::push_heap(levels_.begin(), levels_.end(), std::greater<>());
      continue;
    }
    if (link.open > 0) open -= fill(lowest.link, each);
    levels_.pop_back();
  }
}

// Takes in the flows that have lost their bottleneck to the rates just found, because their link is no longer full or
// another on it is now faster, or that are faster than those whom their link holds back. True if there were any.
bool Network::widen(bool whole_links) {
  joining_.clear();
  for (const std::uint32_t at : shared_) {
    const Link& link = links_[at];
    double used = 0, fastest = 0, held = link.capacity;
    for (const std::uint32_t id : link.flows) {
      const Flow& flow = flows_[id];
      if (flow.mark == mark_) {
        used += flow.fresh;
        fastest = std::max(fastest, flow.fresh);
        if (flow.bottleneck == at) held = std::min(held, flow.fresh);
      } else {
        used += flow.rate;
      }
    }
    const bool full = !above(link.capacity, used, kSum);
    const std::size_t before = joining_.size();
    for (const std::uint32_t id : link.flows) {
      const Flow& flow = flows_[id];
      if (flow.mark == mark_) continue;
      if (above(flow.rate, held, kSum) || (flow.bottleneck == at && (!full || above(fastest, flow.rate, kSum))))
        joining_.push_back(id);
    }
    if (whole_links && joining_.size() > before)
      for (const std::uint32_t id : link.flows)
        if (flows_[id].mark != mark_) joining_.push_back(id);
  }
  const std::size_t first = touched_.size();
  for (const std::uint32_t id : joining_)
    if (flows_[id].mark != mark_) join(id);
  enlist_changed(first);
  return !joining_.empty();
}

}  // namespace assay::substrate
