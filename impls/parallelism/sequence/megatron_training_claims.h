#pragma once
// What the paper of Megatron sequence parallelism says of training with it: activations kept, the cost of computing
// them again, and the FLOPs that a pipeline of tensor-parallel groups reaches.
#include <optional>
#include <string>

#include "harness/claims/projection.h"

namespace assay::parallelism {

// Whether a setting says what is recomputed: it is then one of those below.
bool is_megatron_training(const harness::claims::Setting& setting);

// activation_bytes: of a layer on a device. overhead: time of computing again over that of a forward and a backward
// pass. mfu: of a training step with a pipeline and replicas, attention FLOPs in full as the paper counts them.
std::optional<harness::claims::Projection> project_megatron_training(const harness::claims::Setting& setting,
                                                                     const std::string& quantity);
// The same of tensor parallelism alone: activations kept with `baseline_recompute`, overhead of a whole layer.
std::optional<harness::claims::Projection> project_megatron_tp(const harness::claims::Setting& setting,
                                                               const std::string& quantity);

}  // namespace assay::parallelism
