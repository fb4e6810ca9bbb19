#pragma once
// What MR-SP says to the configurations of its paper.
#include <optional>
#include <string>

#include "harness/claims/projection.h"

namespace assay::parallelism {

// max_sequence: tokens of one video that the devices of a node can prefill and differentiate together, by what is held.
std::optional<harness::claims::Projection> project_mr_sp(const harness::claims::Setting& setting,
                                                         const std::string& quantity);

}  // namespace assay::parallelism
