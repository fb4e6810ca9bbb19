#pragma once
// The links of a cluster under fluid max-min fair sharing: every flow runs at the rate that the most contended of its
// links leaves it, and rates change only when a flow starts or ends. All changes of one instant are solved together.
// Rates are max-min fair just when every flow has a bottleneck: a full link of its own on which no flow is faster
// (Bertsekas and Gallager, Data Networks, section 6.5.2). So a change is solved for those flows alone that have lost
// theirs, within what the others leave, and for others only where that takes their bottleneck too.
//
// Which links a flow has is the topology's to say.
#include <algorithm>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "datasets/machine.h"
#include "impls/substrate/cluster/topology.h"
#include "impls/substrate/fabric/virtual_time.h"

namespace assay::substrate {

class Network {
 public:
  // As Topology.
  Network(const datasets::Cluster& cluster, const std::vector<int>& placement, double memory_bandwidth);

  std::uint32_t start(int from, int to, double bytes, Picoseconds now);
  void end(std::uint32_t flow);  // at the time last scheduled for it
  bool changed() const { return !dirty_.empty(); }

  // From the last bit leaving to delivery.
  Picoseconds latency(int from, int to) const { return topology_.latency(from, to); }

  // Shares the links anew after changes and calls schedule(flow, version, end) for every flow whose end moved; a flow's
  // earlier events are void.
  template <class Schedule>
  void solve(Picoseconds now, Schedule&& schedule) {
    resolve(now);
    for (const std::uint32_t flow : moved_) {
      flows_[flow].moved = false;
      schedule(flow, flows_[flow].version, flows_[flow].end);
    }
  }
  // What ending this flow reads first, and then; brought near the caches early. The same for the next flow of a sender,
  // whose links are likely those of its flow before.
  void fetch(std::uint32_t flow) const { __builtin_prefetch(&flows_[flow], 1); }
  void fetch_next_of(std::uint32_t sender) const { fetch(sender * kOwnFlows); }
  void fetch_links_next_of(std::uint32_t sender) const { fetch_links(sender * kOwnFlows); }
  void fetch_links(std::uint32_t flow) const {
    for (const std::uint32_t link : links(flow)) __builtin_prefetch(&links_[link], 1);
  }

  std::uint32_t version(std::uint32_t flow) const { return flows_[flow].version; }
  double rate(std::uint32_t flow) const { return flows_[flow].rate; }
  // The links of a flow that has started and not ended.
  std::span<const std::uint32_t> links(std::uint32_t flow) const {
    const Flow& of = flows_[flow];
    return {of.count <= 2 ? of.links : routes_.data() + std::size_t{flow} * topology_.longest(), of.count};
  }
  const Topology& topology() const { return topology_; }
  double capacity(std::uint32_t link) const { return links_[link].capacity; }

 private:
  struct alignas(64) Flow {
    std::uint32_t links[2] = {0, 0};  // where there are no more
    std::uint32_t version = 0;
    std::uint32_t mark = 0;
    double rate = 0;       // B/s
    double remaining = 0;  // bytes at `updated`
    double fresh = 0;      // rate being solved, below 0 while open
    Picoseconds updated = 0, end = 0;
    std::uint16_t count = 0;  // links
    bool moved = false;       // end scheduled anew at this instant
    std::uint32_t bottleneck = 0;
  };
  static_assert(sizeof(Flow) == 64);
  // Flows on one link, in order of their start. A link seldom carries more than a few: these lie in the link itself.
  class FlowList {
   public:
    bool empty() const { return count_ == 0; }
    std::uint32_t size() const { return count_; }
    const std::uint32_t* begin() const { return many_ ? many_->data() : few_; }
    const std::uint32_t* end() const { return begin() + count_; }
    void add(std::uint32_t flow) {
      if (count_ == kFew && !many_) many_ = std::make_unique<std::vector<std::uint32_t>>(few_, few_ + kFew);
      if (many_) {
        many_->push_back(flow);
      } else {
        few_[count_] = flow;
      }
      ++count_;
    }
    void remove(std::uint32_t flow) {
      std::uint32_t* first = many_ ? many_->data() : few_;
      if (count_ == 1 && !many_ && *first == flow) {
        count_ = 0;
        return;
      }
      std::uint32_t* last = first + count_;
      std::uint32_t* found = std::find(first, last, flow);
      if (found == last) return;
      std::copy(found + 1, last, found);
      --count_;
      if (many_) many_->pop_back();
    }

   private:
    static constexpr std::uint32_t kFew = 5;
    std::unique_ptr<std::vector<std::uint32_t>> many_;  // all of them, once there were more than kFew
    std::uint32_t count_ = 0;
    std::uint32_t few_[kFew] = {};
  };
  struct alignas(64) Link {
    double capacity = 0;
    double left = 0;         // while solving: for its flows that are being solved
    std::uint32_t open = 0;  // of these, without a rate yet
    std::uint32_t mark = 0;
    FlowList flows;
    bool dirty = false;
  };
  static_assert(sizeof(Link) == 64);

  std::uint32_t take_flow(int from);
  void touch(std::uint32_t link);
  void resolve(Picoseconds now);
  void solve_from(std::uint32_t changed, Picoseconds now);
  void join(std::uint32_t flow);
  void enlist_changed(std::size_t first);
  void share();
  std::size_t fill(std::uint32_t tightest, double rate);
  bool widen(bool whole_links);
  void set_rate(std::uint32_t flow, double rate, Picoseconds now);

  struct Level {  // what a link leaves each of its flows, at least
    double rate;
    std::uint32_t order, link;
    bool operator>(const Level& other) const { return rate != other.rate ? rate > other.rate : order > other.order; }
  };

  Topology topology_;
  std::vector<Link> links_;
  std::vector<std::uint32_t> routes_;            // of flows over more than two links, room for the longest each
  std::vector<Level> levels_;                    // of the links being solved
  static constexpr std::uint32_t kOwnFlows = 2;  // of a sender that have a place of their own
  std::vector<Flow> flows_;                      // kOwnFlows of each rank, then those beyond
  std::vector<std::uint8_t> own_free_;           // by rank: which of its own are free
  std::vector<std::uint32_t> free_;              // of those beyond
  std::vector<std::uint32_t> dirty_, moved_;
  std::vector<std::uint32_t> solving_, joining_;  // flows
  std::vector<std::uint32_t> touched_, shared_;   // links with a flow that is being solved; with another one too
  std::uint32_t mark_ = 0;
};

}  // namespace assay::substrate
