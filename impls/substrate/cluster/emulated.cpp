#include "impls/substrate/cluster/emulated.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <thread>
#include <utility>

#include "datasets/user_error.h"
#include "impls/substrate/cluster/topology.h"

namespace assay::substrate {

namespace {

using Clock = std::chrono::steady_clock;

Clock::duration of_seconds(double seconds) {
  return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

}  // namespace

EmulatedFabric::EmulatedFabric(datasets::Cluster cluster, int ranks)
    : ThreadsFabric(ranks), cluster_(std::move(cluster)) {
  std::vector<int> slots(static_cast<std::size_t>(ranks));
  std::iota(slots.begin(), slots.end(), 0);
  const int nodes = (ranks - 1) / cluster_.devices_per_node + 1;
  free_out_.resize(static_cast<std::size_t>(ranks + nodes * cluster_.nics_per_node));
  free_in_.resize(free_out_.size());
  try {
    const Topology links(cluster_, std::move(slots), 1);
    if (!links.ports_only())
      throw UserError(
          fmt::format("{}: fabric emulated waits on ports and adapters only; {} ranks on topology {} share "
                      "other links, expected fabric cluster",
                      cluster_.file, ranks, cluster_.topology));
  } catch (...) {
    stop();
    throw;
  }
}

EmulatedFabric::~EmulatedFabric() { stop(); }

std::shared_ptr<ThreadsFabric::Delivery> EmulatedFabric::deliver(int from, const Half& source,
                                                                 const Readiness& of_source, int to, const Half& target,
                                                                 const Readiness& of_target) {
  class Arrival final : public Delivery {
   public:
    Arrival(int sender, Clock::time_point begin, Clock::time_point sent, Clock::time_point arrived)
        : sender_(sender), begin_(begin), sent_(sent), arrived_(arrived) {}
    Picoseconds wait(int rank) override {
      const Clock::time_point until = rank == sender_ ? sent_ : arrived_;
      std::this_thread::sleep_until(until);
      return std::chrono::duration_cast<std::chrono::nanoseconds>(until - begin_).count() * 1000;
    }

   private:
    int sender_;
    Clock::time_point begin_, sent_, arrived_;
  };

  const Clock::time_point begin = Clock::now();
  ThreadsFabric::deliver(from, source, of_source, to, target, of_target);
  if (from == to) return nullptr;
  const int devices = cluster_.devices_per_node;
  const bool inside = from / devices == to / devices;
  const auto port = [&](int rank) {
    const int nic = rank / devices * cluster_.nics_per_node + rank % devices * cluster_.nics_per_node / devices;
    return static_cast<std::size_t>(inside ? rank : size() + nic);
  };
  const datasets::Link& link = inside ? cluster_.intra : cluster_.inter;
  const std::lock_guard lock(mutex_);
  Clock::time_point& out = free_out_[port(from)];
  Clock::time_point& in = free_in_[port(to)];
  const Clock::time_point sent =
      std::max({begin, out, in}) + of_seconds(static_cast<double>(source.bytes) / link.bandwidth);
  out = in = sent;
  return std::make_shared<Arrival>(from, begin, sent, sent + of_seconds(link.latency));
}

}  // namespace assay::substrate
