#pragma once
// Attention over a batch of sequences of different lengths, one after the other in memory: what serving engines and
// packed training have (varlen).
#include <cstdint>

#include "harness/state.h"
#include "impls/attention/cuda/device_case.h"

namespace assay::attention::cuda {

// The lengths of a ragged batch: queries from 1 to `problem.queries`, the longest of them among them, keys longer by
// what the problem's are. The same for every seed: lengths are part of the case.
std::vector<Problem> ragged_sequences(const Problem& problem);

// Everything flash_attention_2_forward does with its State on such a batch. Each sequence is compared with an oracle of
// its own.
void run_ragged(harness::State& state, const Problem& problem, std::uint32_t shared_bytes);

}  // namespace assay::attention::cuda
