#pragma once
#include <optional>
#include <string>

#include "harness/claims/projection.h"

namespace assay::parallelism {

// comm_bytes and comm_messages of an all-reduce: counted, over the formula, which must be 1. bus_bandwidth: of the
// program on the setting's cluster.
std::optional<harness::claims::Projection> project_collectives(const harness::claims::Setting& setting,
                                                               const std::string& quantity);

}  // namespace assay::parallelism
