#pragma once
// Attention kernels from unit rates: what one score costs on the tensor cores, the exp units, the FP32 pipe, shared
// memory and L2, times the scores a unit gets, by schedule. No attention measurement enters; the tensor cores'
// efficiency is the one fitted on matrix multiplications.
#include "impls/substrate/models/operator_time.h"

namespace assay::substrate {

OperatorTime attention_time(const datasets::Device& device, const OpWork& work);

// What the kernels need of a device, looked up once: rates of one unit (streaming multiprocessor), of device memory,
// and the launch. A rate of 0 is not known.
struct AttentionRates {
  double units = 1;
  double tensor = 0;  // FLOP/s of the matrix instructions the kernel uses, at the efficiency fitted on GEMMs
  double fp32 = 0;    // instructions/s: one fused multiply-add is one
  double exps = 0;
  double shared = 0;  // B/s
  double l2 = 0;      // B/s, a unit's share
  double memory = 0;  // B/s of the device
  double launch = 0;  // s
};
AttentionRates attention_rates(const datasets::Device& device, OpDtype dtype);

// attention_time of the forward pass of FlashAttention-2, for callers with many shapes; the domain is theirs to judge.
OperatorTime flash2_forward_time(const AttentionRates& rates, const OpWork& work);

}  // namespace assay::substrate
