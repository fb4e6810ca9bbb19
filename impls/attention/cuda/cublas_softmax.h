#pragma once
// The softmax between the two products of attention composed of cuBLAS calls. No CUDA header is needed to call it.
#include "impls/attention/cuda/forward.h"

namespace assay::attention::cuda {

// Scores f32 [rows][pitch], unscaled, to weights [rows][pitch] of 16 bits (zero where masked and in the padding) and
// LSE f32 [rows]; row r is query r mod mask.queries. A row without keys: zeros, LSE -infinity.
// Bytes a row: 8 pitch read (the second time mostly from L2), 2 pitch written.
struct SoftmaxProblem {
  const float* scores = nullptr;
  std::uint16_t* weights = nullptr;
  float* lse = nullptr;
  std::int64_t rows = 0;
  int pitch = 0;  // a multiple of 8
  Mask mask;
  float scale = 1;  // > 0
};
void composed_softmax(const SoftmaxProblem& problem, ElementType element, CUstream_st* stream);

}  // namespace assay::attention::cuda
