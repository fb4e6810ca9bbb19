#pragma once
// Megatron sequence parallelism as cases: measured against the oracle on fabrics with real data, projected on
// `cluster`.
#include <vector>

#include "harness/registry.h"
#include "harness/state.h"

namespace assay::parallelism {

// As of any sharded layer, but tokens lie in the order of the sequence only.
std::vector<harness::Axis> megatron_axes();
std::vector<harness::Axis> megatron_cluster_axes();

void measure_megatron(harness::State& state);
void project_megatron(harness::State& state);

}  // namespace assay::parallelism
