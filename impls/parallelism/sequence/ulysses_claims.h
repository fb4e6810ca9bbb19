#pragma once
#include <optional>
#include <string>

#include "harness/claims/projection.h"

namespace assay::parallelism {

// Answers the claims about Ulysses: comm_bytes of a layer from the program's own counts; throughput, device_flops, mfu
// and step_time of a training step whose attention is the program on the setting's cluster; and max_sequence from the
// memory ledger. Speed-ups have Megatron sequence parallelism as their baseline, which answers for itself.
std::optional<harness::claims::Projection> project_ulysses_claim(const harness::claims::Setting& setting,
                                                                 const std::string& quantity);

}  // namespace assay::parallelism
