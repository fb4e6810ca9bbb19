#pragma once
// Attention kernels from unit rates: what one score costs on the tensor cores, the exp units, the FP32 pipe, shared
// memory and L2, times the scores a unit gets, by schedule. No attention measurement enters; the tensor cores'
// efficiency is the one fitted on matrix multiplications.
#include "impls/substrate/models/operator_time.h"

namespace assay::substrate {

OperatorTime attention_time(const datasets::Device& device, const OpWork& work);

}  // namespace assay::substrate
