#pragma once
// StreamBP as cases: inputs and outputs dealt to ranks, compared with one whole backward pass in float64; projected on
// `cluster`.
#include <vector>

#include "harness/registry.h"
#include "harness/state.h"
#include "impls/parallelism/program_case.h"
#include "impls/parallelism/sequence/streambp.h"

namespace assay::parallelism {

std::vector<harness::Axis> stream_axes();
ProgramScheme stream_scheme(const harness::State& state);
RankProgram stream_program(StreamPlan plan);
// Positions turn pairs of elements: throws UserError for an odd head size.
void check_rotary(int head_dim);

}  // namespace assay::parallelism
