#pragma once
// Ring attention as cases: measured on `threads` against the oracle, projected on `cluster`.
#include <vector>

#include "harness/registry.h"
#include "harness/state.h"

namespace assay::parallelism {

void run_ring_on_threads(harness::State& state);
void run_ring_on_cluster(harness::State& state);
std::vector<harness::Axis> ring_cluster_axes();  // those of a sharded layer, and the cluster

}  // namespace assay::parallelism
