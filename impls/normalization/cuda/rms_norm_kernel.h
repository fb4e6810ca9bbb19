#pragma once
// The RMSNorm kernel's launch and its geometry. No CUDA header is needed.
#include <cstdint>

struct CUstream_st;

namespace assay::normalization::cuda {

inline constexpr int kVector = 8;          // elements of 16 bits that a thread moves at once
inline constexpr int kMostVectors = 4;     // a thread holds
inline constexpr int kMostThreads = 1024;  // a row
inline constexpr std::int64_t kLongestRow = std::int64_t{kVector} * kMostVectors * kMostThreads;

// A row is held in the registers of `threads` threads (a multiple of 32), `vectors` vectors each, so that memory is
// read once; `rows` rows share a block where they are short.
struct NormGeometry {
  int threads = 32, vectors = 1, rows = 1;
};
constexpr NormGeometry norm_geometry(std::int64_t hidden) {
  const std::int64_t vectors = (hidden + kVector - 1) / kVector;
  NormGeometry g;
  // Two vectors a thread under way before a second warp is taken, and as many more as 1024 threads need.
  while (g.threads < kMostThreads && std::int64_t{g.threads} * 2 < vectors) g.threads *= 2;
  while (std::int64_t{g.threads} * g.vectors < vectors) g.vectors *= 2;
  g.rows = g.threads >= 128 ? 1 : 128 / g.threads;
  return g;
}

struct NormKernelProblem {
  const void* x = nullptr;
  const void* residual = nullptr;  // null: none, and `sum` is not written
  const void* weight = nullptr;
  void* sum = nullptr;
  void* y = nullptr;
  std::int64_t tokens = 0;
  std::int64_t hidden = 0;  // a multiple of 8, at most kLongestRow
  float epsilon = 1e-5F;
  float scale = 1;           // of y; not 1 in a mutant
  std::int64_t written = 0;  // columns of y; fewer than hidden in a mutant
};
// Elements are bf16 or fp16. Asynchronous on the stream.
void launch_rms_norm(const NormKernelProblem& problem, bool bf16, CUstream_st* stream);

}  // namespace assay::normalization::cuda
