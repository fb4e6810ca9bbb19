#pragma once
#include <optional>
#include <string>

#include "harness/claims/projection.h"

namespace assay::parallelism {

// What of ByteScale's numbers follows without the GPU, which the paper does not disclose: how many ranks a sequence
// gets, how unequal the computing of ranks is, what offloading leaves in memory.
std::optional<harness::claims::Projection> project_bytescale(const harness::claims::Setting& setting,
                                                             const std::string& quantity);

}  // namespace assay::parallelism
