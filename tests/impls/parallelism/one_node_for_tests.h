#pragma once
// Programs on one node that nothing blocks: devices of 1e13 FLOP/s on links of 1e11 B/s and 1 us.
#include "impls/substrate/cluster/cluster.h"

namespace assay::parallelism {

template <class Program>
substrate::RunReport run_on_one_node(int ranks, const Program& program) {
  datasets::Cluster node;
  node.devices_per_node = ranks;
  node.intra = {.bandwidth = 1e11, .latency = 1e-6};
  substrate::ClusterFabric fabric({.cluster = node,
                                   .operator_seconds = [](const substrate::OpWork& work) { return work.flops / 1e13; },
                                   .memory_bandwidth = 1e12,
                                   .ranks = ranks});
  return fabric.run(program);
}

}  // namespace assay::parallelism
