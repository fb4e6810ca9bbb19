#pragma once
// Batches of sequences of different lengths, as the claims on them read a setting.
#include "harness/claims/projection.h"
#include "impls/parallelism/variable_length/batch_plan.h"

namespace assay::parallelism {

// The attention of a setting's model over its ranks, in 16 bits, forward and backward; the lengths are left open.
BatchProblem batch_shape(const harness::claims::Setting& setting);

}  // namespace assay::parallelism
