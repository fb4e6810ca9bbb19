#pragma once
// Ring attention as cases: measured against the oracle on fabrics with real data, projected on `cluster`.
#include "harness/state.h"

namespace assay::parallelism {

void measure_ring(harness::State& state);
void project_ring(harness::State& state);

}  // namespace assay::parallelism
