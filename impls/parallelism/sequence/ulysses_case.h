#pragma once
// Ulysses as cases: measured against the oracle on fabrics with real data, projected on `cluster`.
#include "harness/state.h"

namespace assay::parallelism {

void measure_ulysses(harness::State& state);
void project_ulysses(harness::State& state);

}  // namespace assay::parallelism
