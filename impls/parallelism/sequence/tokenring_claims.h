#pragma once
// TokenRing's program, and what it says to the configurations of its paper.
#include <optional>
#include <string>

#include "harness/claims/projection.h"
#include "impls/parallelism/program_case.h"
#include "impls/parallelism/sequence/sequence_plan.h"

namespace assay::parallelism {

RankProgram token_ring_program(const SequenceProblem& layer);

// operator_time: one step of the ring arm or of TokenRing, from when a rank begins it to when it begins the next.
std::optional<harness::claims::Projection> project_token_ring(const harness::claims::Setting& setting,
                                                              const std::string& quantity);

}  // namespace assay::parallelism
