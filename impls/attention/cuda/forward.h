#pragma once
// FlashAttention-2, forward: the entry point. No CUDA header is needed to call it.
#include "impls/attention/cuda/geometry.h"

struct CUstream_st;

namespace assay::attention::cuda {

enum class ElementType { bf16, fp16 };

// Q and O [B, Hq, N, d], K and V [B, Hkv, M, d] of 16-bit elements, any strides that keep rows on 16 bytes; LSE f32
// [B, Hq, N], contiguous; device memory. Ragged batches: mask.queries is the longest sequence's, LSE rows beyond a
// sequence's length are not written.
struct ForwardProblem {
  Matrix q, k, v, o;
  float* lse = nullptr;
  float* wide_o = nullptr;  // where it is given, O goes here in place of `o`: f32 [B, Hq, N, d], contiguous, not ragged
  Ragged ragged;
  Mask mask;
  int batch = 1;
  int heads = 1;
  int kv_heads = 1;
  float scale = 1;  // > 0
};

// Br queries against Bc keys at a time, `kSlots` tiles of K and V in the ring: as many as leave room for two blocks
// (one at d = 256) in the 164 KiB of an A100. Each warp has 32 rows (16 at d = 256), so that a fragment of K or V read
// from shared memory serves two products. Bc is 32 at d = 128, where the paper takes 64: with 64 the accumulators leave
// so few registers that ptxas 13.0 spills.
template <int kHeadDim>
struct ForwardTile {
  static constexpr int kWarps = kHeadDim == 256 ? 8 : 4;
  static constexpr int kThreads = kWarps * kWarp;
  static constexpr int kRows = 128;
  static constexpr int kKeys = kHeadDim == 128 ? 32 : 64;
  static constexpr int kRowTiles = kRows / kWarps / 16;
  static constexpr int kSlots = kHeadDim == 256 ? 3 : 6;
  static constexpr std::uint32_t kQueryBytes = kRows * kHeadDim * 2;
  static constexpr std::uint32_t kSlotBytes = kKeys * kHeadDim * 2;
  static constexpr std::uint32_t kSharedBytes = kQueryBytes + kSlots * kSlotBytes;
};

// Head sizes 64, 128 and 256. Asynchronous on the stream. Throws std::invalid_argument for what no kernel is made for,
// harness::gpu::DeviceError for a launch that fails.
void flash_attention_2_forward(const ForwardProblem& problem, int head_dim, ElementType element, CUstream_st* stream);

}  // namespace assay::attention::cuda
