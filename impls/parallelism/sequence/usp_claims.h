#pragma once
// What USP and the double ring say to the configurations of their papers.
#include <optional>
#include <string>

#include "harness/claims/projection.h"

namespace assay::parallelism {

// throughput, device_flops, mfu or step_time of a training step, of the best mesh; with `variant` = "double-ring" of
// the best inner ring too.
std::optional<harness::claims::Projection> project_usp(const harness::claims::Setting& setting,
                                                       const std::string& quantity);

}  // namespace assay::parallelism
