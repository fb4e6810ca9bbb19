#pragma once
// The `emulated` fabric: the real data of `threads` on the links of a cluster descriptor, by waiting. A message
// occupies the ports of its two ranks, or their NICs between nodes, for bytes / bandwidth, one message after the other,
// and is delivered one latency later; whoever awaits it sleeps until then. Computing takes what it takes on this
// machine. Times are of neither machine: rows say `emulated`.
#include <chrono>
#include <mutex>
#include <vector>

#include "datasets/machine.h"
#include "impls/substrate/cluster/topology.h"
#include "impls/substrate/fabric/threads.h"

namespace assay::substrate {

class EmulatedFabric final : public ThreadsFabric {
 public:
  // Throws UserError when the cluster cannot hold the ranks.
  EmulatedFabric(datasets::Cluster cluster, int ranks);
  ~EmulatedFabric() override;

  std::string_view name() const override { return "emulated"; }
  const char* link(int from, int to) const override { return kind_of_link(cluster_, from, to); }

 protected:
  std::shared_ptr<Delivery> deliver(int from, const Half& source, const Readiness& of_source, int to,
                                    const Half& target, const Readiness& of_target) override;

 private:
  using Clock = std::chrono::steady_clock;

  datasets::Cluster cluster_;
  std::mutex mutex_;
  std::vector<Clock::time_point> free_out_, free_in_;  // by rank, then by NIC
};

}  // namespace assay::substrate
