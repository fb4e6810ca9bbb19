#pragma once
// Attention of a few queries a sequence over a long cache of keys (Flash-Decoding, PyTorch blog 2023-10), contiguous or
// paged (PagedAttention, arXiv 2309.06180): the entry points. No CUDA header is needed to call them.
#include "impls/attention/cuda/forward.h"

namespace assay::attention::cuda {

// Q and O [B, Hq, N, d], LSE f32 [B, Hq, N] or null; device memory, 16-bit elements, rows on 16 bytes.
// Contiguous: K and V [B, Hkv, M, d]. Paged: K and V are pools [page][Hkv][page_size][d] (the batch stride is that of a
// page); key j of sequence b lies in page page_table[b * pages_a_sequence + j / page_size].
struct DecodeProblem {
  Matrix q, k, v, o;
  float* lse = nullptr;
  const int* page_table = nullptr;  // null: contiguous
  int pages_a_sequence = 0;
  int page_shift = 0;            // page_size = 1 << page_shift
  int pages = 0;                 // of the pool, for those that describe all of it (sm_90a)
  const int* lengths = nullptr;  // keys of each sequence, at most mask.keys; null: mask.keys. Aligned bottom-right.
  Mask mask;
  int batch = 1;
  int heads = 1;
  int kv_heads = 1;
  float scale = 1;  // > 0
  // Keys are cut into this many ranges, each for a block of its own. More than 1 needs room for the partial results:
  // O f32 [splits, B, Hq, N, d] and LSE f32 [splits, B, Hq, N].
  int splits = 1;
  float* partial_o = nullptr;
  float* partial_lse = nullptr;

  // The G query heads of a key head are packed with the queries into rows: row r is query r / G of head r mod G.
  ASSAY_HOST_DEVICE int group() const { return heads / kv_heads; }
  ASSAY_HOST_DEVICE int packed_rows() const { return group() * mask.queries; }
  ASSAY_HOST_DEVICE std::int64_t row_of(int b, int head, int query) const {
    return (static_cast<std::int64_t>(b) * heads + head) * mask.queries + query;
  }
  ASSAY_HOST_DEVICE std::int64_t rows() const { return static_cast<std::int64_t>(batch) * heads * mask.queries; }
};

// A block has 16 packed rows. Each of its warps walks key blocks of its own (16 keys, every fourth) through a ring of
// its own, so warps never wait for each other until their results are merged.
template <int kHeadDim>
struct DecodeTile {
  static constexpr int kWarps = 4;
  static constexpr int kThreads = kWarps * kWarp;
  static constexpr int kRows = 16;
  static constexpr int kKeys = 16;               // of a warp
  static constexpr int kRound = kWarps * kKeys;  // of the block
  static constexpr int kSlots = kHeadDim == 256 ? 4 : 6;
  static constexpr std::uint32_t kQueryBytes = kRows * kHeadDim * 2;
  static constexpr std::uint32_t kSlotBytes = kKeys * kHeadDim * 2;
  static constexpr std::uint32_t kRingBytes = kSlots * kSlotBytes;  // of a warp; later its partial O in f32
  static constexpr std::uint32_t kStateBytes = kRows * 2 * 4;       // its m and l
  static constexpr std::uint32_t kSharedBytes = kQueryBytes + kWarps * (kRingBytes + kStateBytes);
  static_assert(kRingBytes >= kRows * kHeadDim * 4);
};

// Rounds [first, end) of `rounds` that split s of `splits` takes: all of them once, as evenly as can be.
struct RoundRange {
  int first, end;
};
ASSAY_HOST_DEVICE RoundRange split_range(int rounds, int splits, int s) {
  return {static_cast<int>(static_cast<std::int64_t>(rounds) * s / splits),
          static_cast<int>(static_cast<std::int64_t>(rounds) * (s + 1) / splits)};
}

// How many splits: 1 when `blocks` (batch * kv_heads * row tiles) fill 0.8 of the multiprocessors; else the smallest
// number whose waves are within 0.85 of the fullest that any number up to 128 reaches (FlashAttention-2's rule).
constexpr int choose_splits(int blocks, int rounds, int multiprocessors) {
  if (rounds <= 1 || 10LL * blocks >= 8LL * multiprocessors) return 1;
  const int most = smaller_of(smaller_of(128, multiprocessors), rounds);
  // Share of the multiprocessors' time that is used when S splits run in whole waves.
  const auto efficiency = [=](int splits) {
    return static_cast<double>(blocks) * splits / multiprocessors / parts(blocks * splits, multiprocessors);
  };
  // The same number of rounds a split as with one split fewer: nothing gained.
  const auto idle = [=](int splits) { return splits > 1 && parts(rounds, splits) == parts(rounds, splits - 1); };
  double best = 0;
  for (int splits = 1; splits <= most; ++splits)
    if (!idle(splits) && efficiency(splits) > best) best = efficiency(splits);
  int splits = 1;
  while (idle(splits) || efficiency(splits) < 0.85 * best) ++splits;
  return splits;
}

// Splits, and their merge where there are several. Head sizes 64, 128, 256. Asynchronous; throws as
// flash_attention_2_forward() does.
void flash_decoding(const DecodeProblem& problem, int head_dim, ElementType element, CUstream_st* stream);
// The merge alone, of the partial results that whichever kernel left; nothing where there is one split.
void merge_splits(const DecodeProblem& problem, int head_dim, ElementType element, CUstream_st* stream);

}  // namespace assay::attention::cuda
