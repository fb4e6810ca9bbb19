#pragma once
// What FlashAttention-2 is compared with: naive attention, which stores its scores, and the loop order of
// FlashAttention-1. Same operands as ForwardProblem.
#include "impls/attention/cuda/forward.h"

namespace assay::attention::cuda {

// Tiles of 64 queries and 64 keys; 16 rows a warp.
inline constexpr int kPlainRows = 64;
inline constexpr int kPlainThreads = 4 * kWarp;

// S f32 and P 16 bits, both [B, Hq, N, M'] with M' = M rounded up to 64.
struct NaiveProblem {
  ForwardProblem forward;
  float* scores = nullptr;
  std::uint16_t* weights = nullptr;

  ASSAY_HOST_DEVICE int pitch() const { return rounded_up(forward.mask.keys, kPlainRows); }
  ASSAY_HOST_DEVICE std::int64_t row(int bh, int query) const {
    return static_cast<std::int64_t>(bh) * forward.mask.queries + query;
  }
  ASSAY_HOST_DEVICE std::int64_t rows() const { return row(forward.batch * forward.heads, 0); }
};

// The state that FlashAttention-1 carries through memory: O f32 [B, Hq, N, d], m and l f32 [B, Hq, N].
struct FlashAttention1Problem {
  ForwardProblem forward;
  float* o = nullptr;
  float* m = nullptr;
  float* l = nullptr;
};

template <int kHeadDim>
struct PlainTile {
  static constexpr std::uint32_t kTileBytes = kPlainRows * kHeadDim * 2;
  static constexpr std::uint32_t kScoresSharedBytes = 2 * kTileBytes;                            // Q, K
  static constexpr std::uint32_t kOutputSharedBytes = kTileBytes + kPlainRows * kPlainRows * 2;  // V, P
  static constexpr std::uint32_t kFlash1SharedBytes = 3 * kTileBytes;                            // Q, K, V
};

// Asynchronous; head sizes 64, 128, 256; throw as flash_attention_2_forward() does.
void naive_attention(const NaiveProblem& problem, int head_dim, ElementType element, CUstream_st* stream);
void flash_attention_1(const FlashAttention1Problem& problem, int head_dim, ElementType element, CUstream_st* stream);

}  // namespace assay::attention::cuda
