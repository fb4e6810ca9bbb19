#pragma once
// Values of attention techniques at the configurations of papers: single kernels, whole training steps, longest
// sequences.
#include <optional>
#include <string>

#include "harness/claims/projection.h"
#include "impls/substrate/models/op_work.h"
#include "impls/substrate/models/sequence_ledger.h"

namespace assay::substrate {

// Kernel configurations have axes sequence_length, batch, heads, head_dim, causal and backward (none | only | both);
// training configurations a model and sequence_length. Quantities: throughput, device_flops, mfu, operator_time,
// step_time. FLOPs are counted by the configuration's flop_convention.
std::optional<harness::claims::Projection> project_attention(const harness::claims::Setting& setting,
                                                             const std::string& quantity, AttentionSchedule schedule);

// Quantity max_sequence of a model on one device, or with the ring layout on the devices of the setting together.
std::optional<harness::claims::Projection> project_longest_sequence(const harness::claims::Setting& setting,
                                                                    const std::string& quantity,
                                                                    ActivationLayout layout);

}  // namespace assay::substrate
