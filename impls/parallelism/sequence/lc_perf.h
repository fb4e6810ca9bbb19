#pragma once
// What serving long contexts costs at the peak of a device.
#include <cstdint>

#include "datasets/machine.h"

namespace assay::parallelism {

struct LongContext {
  double context = 0;   // S, tokens of a prompt
  double decoded = 0;   // n, tokens of an answer
  double elements = 2;  // bytes
};

struct LongContextCosts {
  double kv_bytes = 0;                // of one user
  double prefill_seconds = 0;         // the paper's count: 2 N S + l h S^2 FLOPs
  double causal_prefill_seconds = 0;  // with all four products' FLOPs of a causal mask, 2 l h S^2
  double decode_seconds = 0;          // of the whole answer, one user
  double switch_seconds = 0;          // one user's cache to host memory, another's back
  double users = 0;                   // whose caches fit beside the weights
  double critical_batch = 0;          // below it decoding is bound by memory
};

// UserError where the device or the model lacks a number.
LongContextCosts long_context_costs(const datasets::Model& model, const datasets::Device& device, const LongContext& c);

}  // namespace assay::parallelism
