#pragma once
// DeepSpeed-Ulysses as cases: measured against the oracle on fabrics with real data, projected on `cluster`.
#include "harness/state.h"
#include "impls/parallelism/program_case.h"
#include "impls/parallelism/sequence/sequence_plan.h"

namespace assay::parallelism {

ProgramScheme ulysses_scheme(const harness::State& state);
RankProgram ulysses_program(const SequenceProblem& layer);

}  // namespace assay::parallelism
