#pragma once
// USP as cases: measured against the oracle on fabrics with real data, projected on `cluster`.
#include <optional>
#include <string>
#include <vector>

#include "harness/registry.h"
#include "harness/state.h"
#include "impls/parallelism/program_case.h"
#include "impls/parallelism/sequence/usp.h"

namespace assay::parallelism {

std::vector<harness::Axis> usp_axes();
ProgramScheme usp_scheme(const harness::State& state);
RankProgram usp_program_of(UspPlan plan);

// Why heads cannot be dealt to Pu of the ranks in this way; nothing where they can.
std::optional<std::string> cannot_deal(const SequenceProblem& problem, int by_heads);
// The largest Pu up to sqrt(P) that the heads allow.
int balanced_mesh(const SequenceProblem& problem);

}  // namespace assay::parallelism
