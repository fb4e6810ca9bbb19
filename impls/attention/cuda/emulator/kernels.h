#pragma once
// The kernels of this folder, run by the emulator: the same source that nvcc compiles, the same grid and shared memory
// that their launch functions use. `memory` is what they may touch; `order` seeds the order in which threads run.
#include "impls/attention/cuda/backward.h"
#include "impls/attention/cuda/comparisons.h"
#include "impls/attention/cuda/decode.h"
#include "impls/attention/cuda/emulator/emulator.h"
#include "impls/attention/cuda/flash_attention_3.h"
#include "impls/attention/cuda/flash_attention_3_backward.h"
#include "impls/attention/cuda/forward.h"
#include "impls/attention/cuda/hopper_decode.h"

namespace assay::attention::cuda::emulator {

Findings flash_attention_2_forward(const ForwardProblem& problem, int head_dim, ElementType element,
                                   std::vector<Region>& memory, std::uint64_t order);
// The splits and their merge; the findings of both.
Findings flash_decoding(const DecodeProblem& problem, int head_dim, ElementType element, std::vector<Region>& memory,
                        std::uint64_t order);
Findings hopper_decoding(const DecodeProblem& problem, int head_dim, ElementType element, std::vector<Region>& memory,
                         std::uint64_t order);
// D, the gradients, and the rounding of dQ; clears the sums of dQ first.
Findings flash_attention_2_backward(const BackwardProblem& problem, int head_dim, ElementType element,
                                    std::vector<Region>& memory, std::uint64_t order);
Findings flash_attention_2_backward_part(const BackwardProblem& problem, int head_dim, std::vector<Region>& memory,
                                         std::uint64_t order);
Findings naive_attention(const NaiveProblem& problem, int head_dim, ElementType element, std::vector<Region>& memory,
                         std::uint64_t order);
Findings flash_attention_1(const FlashAttention1Problem& problem, int head_dim, ElementType element,
                           std::vector<Region>& memory, std::uint64_t order);
Findings flash_attention_3_forward(const FlashAttention3Problem& problem, int head_dim, ElementType element,
                                   std::vector<Region>& memory, std::uint64_t order);
// D and LSE, the gradients, and the rounding of dQ; clears the sums of dQ first.
Findings flash_attention_3_backward(const BackwardProblem& problem, int head_dim, ElementType element,
                                    std::vector<Region>& memory, std::uint64_t order);

}  // namespace assay::attention::cuda::emulator
