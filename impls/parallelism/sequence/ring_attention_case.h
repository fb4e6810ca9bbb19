#pragma once
// Ring attention as cases: measured against the oracle on fabrics with real data, projected on `cluster`.
#include "harness/state.h"
#include "impls/parallelism/sequence/layer_case.h"
#include "impls/parallelism/sequence/ring_attention.h"

namespace assay::parallelism {

LayerScheme ring_scheme(const SequenceProblem& problem);
LayerProgram ring_program(RingPlan plan);

void measure_ring(harness::State& state);
void project_ring(harness::State& state);

}  // namespace assay::parallelism
