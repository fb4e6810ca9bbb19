#pragma once
// Attention and its gradients over a batch of sequences of different lengths (packed_batch.h) as cases.
#include "harness/state.h"
#include "impls/attention/cuda/backward_case.h"

namespace assay::attention::cuda {

// Everything a technique does with its State in `lengths=ragged`, forward or backward. Each sequence is compared with
// an oracle of its own.
void run_ragged(harness::State& state, const Problem& longest, const PassesTechnique& technique);
void run_ragged_backward(harness::State& state, const Problem& longest, const PassesTechnique& technique);

}  // namespace assay::attention::cuda
