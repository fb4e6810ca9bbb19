#pragma once
// MR-SP as cases: its data, their comparison with one rank in float64, and its axes.
#include <vector>

#include "harness/registry.h"
#include "harness/state.h"
#include "impls/parallelism/program_case.h"
#include "impls/parallelism/sequence/mr_sp.h"

namespace assay::parallelism {

std::vector<harness::Axis> mr_sp_axes();
ProgramScheme mr_sp_scheme(const harness::State& state);
RankProgram mr_sp_program(MrSpPlan plan);

}  // namespace assay::parallelism
