#pragma once
// The RoPE kernel's launch. No CUDA header is needed.
#include <cstdint>

struct CUstream_st;

namespace assay::positional::cuda {

struct RopeKernelProblem {
  const void* in = nullptr;
  void* out = nullptr;
  const float* table = nullptr;  // [tokens][d/2][cos, sin]
  std::int64_t tokens = 0;
  int heads = 0;     // of queries and keys together
  int written = 0;   // of these, the first; fewer in a mutant
  int head_dim = 0;  // a multiple of 16
  bool interleaved = false;
};
// Elements are bf16 or fp16. Asynchronous on the stream.
void launch_rope(const RopeKernelProblem& problem, bool bf16, CUstream_st* stream);

}  // namespace assay::positional::cuda
