#pragma once
#include <optional>
#include <string>

#include "harness/claims/projection.h"

namespace assay::parallelism {

// Answers as the baseline of sequence-parallel schemes: comm_bytes of a layer from the program's own counts;
// throughput, device_flops, mfu and step_time of a training step whose layers are the program on the setting's cluster;
// and max_sequence from the memory ledger.
std::optional<harness::claims::Projection> project_megatron_claim(const harness::claims::Setting& setting,
                                                                  const std::string& quantity);

}  // namespace assay::parallelism
