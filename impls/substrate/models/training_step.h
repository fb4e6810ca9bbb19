#pragma once
// One data-parallel training step of a dense transformer, operator by operator: products, attention, normalisations,
// loss, optimizer, and what of the gradient all-reduce the last backward pass does not hide.
#include <cstdint>

#include "datasets/machine.h"
#include "impls/substrate/models/op_work.h"

namespace assay::substrate {

struct TrainingCase {
  std::int64_t sequence = 2048;
  double tokens_per_step = 0;         // global batch in tokens
  double tokens_per_micro_batch = 0;  // on one device
  int data_parallel = 1;
  OpDtype dtype = OpDtype::bf16;
  AttentionSchedule schedule = AttentionSchedule::flash2;
};

struct StepTime {
  double products = 0, attention = 0, streaming = 0, optimizer = 0, exposed_all_reduce = 0;  // seconds
  double seconds = 0;  // of the step on every device
  double micro_batches = 0;
  bool inside_domain = true;
};

StepTime training_step(const datasets::Model& model, const datasets::Device& device, const datasets::Cluster* cluster,
                       const TrainingCase& c);

// 6 parameters + 12 layers hidden sequence per token: the convention of FlashAttention-2's Table 1, not halved for
// causal.
double model_flops_per_token(const datasets::Model& model, double sequence);

}  // namespace assay::substrate
