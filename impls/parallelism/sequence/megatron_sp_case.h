#pragma once
// Megatron sequence parallelism as cases: measured against the oracle on fabrics with real data, projected on
// `cluster`.
#include <vector>

#include "harness/registry.h"
#include "harness/state.h"
#include "impls/parallelism/program_case.h"

namespace assay::parallelism {

// As of any sharded layer, but tokens lie in the order of the sequence only.
std::vector<harness::Axis> megatron_axes();

ProgramScheme megatron_scheme(const harness::State& state);

}  // namespace assay::parallelism
