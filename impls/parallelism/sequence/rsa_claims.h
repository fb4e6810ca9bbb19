#pragma once
// Ring Self-Attention's program, and what its memory says to the configurations of its paper.
#include <optional>
#include <string>

#include "harness/claims/projection.h"
#include "impls/parallelism/program_case.h"
#include "impls/parallelism/sequence/sequence_plan.h"

namespace assay::parallelism {

RankProgram rsa_program(const SequenceProblem& layer);

// max_batch and max_sequence of a device, by what a layer keeps.
std::optional<harness::claims::Projection> project_rsa(const harness::claims::Setting& setting,
                                                       const std::string& quantity);
// The same of what the paper compares with: tensor parallelism (`baseline_tensor` wide), and one device with the same
// sparse attention.
std::optional<harness::claims::Projection> project_rsa_baseline(const harness::claims::Setting& setting,
                                                                const std::string& quantity);

}  // namespace assay::parallelism
