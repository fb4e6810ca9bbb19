#pragma once
// Ring attention as cases: measured against the oracle on fabrics with real data, projected on `cluster`.
#include <memory>
#include <optional>
#include <vector>

#include "harness/state.h"
#include "impls/parallelism/program_case.h"
#include "impls/parallelism/sequence/ring_attention.h"

namespace assay::parallelism {

ProgramScheme ring_scheme(const harness::State& state);

// Its parts, for techniques that differ in one of them.
RankProgram ring_program(const SequenceProblem& layer);
RankProgram ring_program_of(RingPlan plan);
std::unique_ptr<ProgramData> ring_data(const SequenceProblem& layer, std::optional<int> only);
std::vector<ProgramMutant> ring_mutants(const SequenceProblem& problem);

}  // namespace assay::parallelism
