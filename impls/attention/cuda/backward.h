#pragma once
// FlashAttention-2, backward: the entry point. No CUDA header is needed to call it.
#include "impls/attention/cuda/forward.h"

namespace assay::attention::cuda {

// A float32 tensor of [batch, head, row, column], strides in elements, columns contiguous, rows 8-byte aligned.
struct WideMatrix {
  float* data = nullptr;
  std::int64_t batch = 0;
  std::int64_t head = 0;
  std::int64_t row = 0;

  ASSAY_HOST_DEVICE float* at(std::int64_t b, std::int64_t h, std::int64_t r) const {
    return data + b * batch + h * head + r * row;
  }
};

// The forward problem with O and LSE as its pass left them; dO and dQ as Q, dK and dV as K; workspace: D f32 [B, Hq, N]
// and the sums of dQ, f32 [B, Hq, N, d], contiguous. Device memory. dQ is summed by atomic additions: its last bits
// differ from run to run; dK and dV are deterministic.
struct BackwardProblem {
  ForwardProblem forward;
  Matrix d_o;
  Matrix d_q, d_k, d_v;
  WideMatrix wide_d_k, wide_d_v;  // of flash_attention_2_backward_part()
  float* row_dots = nullptr;
  float* d_q_sum = nullptr;

  ASSAY_HOST_DEVICE std::int64_t rows() const {
    return static_cast<std::int64_t>(forward.batch) * forward.heads * forward.mask.queries;
  }
};

// A block keeps kKeys keys; each warp has 16 of them (at d = 256, 16 of them and half of the columns of dK and dV: both
// halves compute the same scores, 7 products where 5 would do). Query tiles pass by in two stages.
template <int kHeadDim>
struct BackwardTile {
  static constexpr int kWarps = 8;
  static constexpr int kThreads = kWarps * kWarp;
  static constexpr int kColumnSplits = kHeadDim == 256 ? 2 : 1;
  static constexpr int kKeys = kWarps / kColumnSplits * 16;
  static constexpr int kRows = kHeadDim == 64 ? 64 : 32;
  static constexpr std::uint32_t kKeyBytes = kKeys * kHeadDim * 2;
  static constexpr std::uint32_t kQueryBytes = kRows * kHeadDim * 2;
  static constexpr std::uint32_t kStageBytes = 2 * kQueryBytes + 2 * kRows * 4;  // Q, dO, LSE, D
  static constexpr std::uint32_t kScoreBytes = kKeys * 64 * 2;                   // dS^T, rows of 64 columns
  static constexpr std::uint32_t kSharedBytes = 2 * kKeyBytes + 2 * kStageBytes + kScoreBytes;
};

// Asynchronous on the stream; head sizes 64, 128 and 256. Throws as flash_attention_2_forward() does.
void flash_attention_2_backward(const BackwardProblem& problem, int head_dim, ElementType element, CUstream_st* stream);

// Some keys of longer sequences, not ragged: LSE and D (`row_dots`) are given and those of the full rows; dQ / scale is
// added to `d_q_sum` and dK, dV to `wide_d_k`, `wide_d_v`. O, dQ, dK and dV themselves are not used. bf16.
void flash_attention_2_backward_part(const BackwardProblem& problem, int head_dim, CUstream_st* stream);

}  // namespace assay::attention::cuda
