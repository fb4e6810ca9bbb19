#pragma once
// What balanced context parallelism says to the configurations of papers.
#include <optional>
#include <string>

#include "harness/claims/projection.h"

namespace assay::parallelism {

// scaling_efficiency: the speed of P ranks over P times that of one device's flash attention on a rank's share of the
// tokens, which has 1/P of the work of a rank. throughput, device_flops, mfu, step_time: of a training step.
std::optional<harness::claims::Projection> project_cp_balance(const harness::claims::Setting& setting,
                                                              const std::string& quantity);

}  // namespace assay::parallelism
