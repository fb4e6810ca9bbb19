#pragma once
// FlashAttention-3, backward: the entry point. No CUDA header is needed to call it.
#include <stdexcept>

#include "impls/attention/cuda/backward.h"
#include "impls/attention/cuda/descriptors.h"
#include "impls/attention/cuda/hopper_groups.h"

namespace assay::attention::cuda {

// A block keeps kKeys keys; one warpgroup loads and adds up dQ, two compute. Each of these has 64 of the keys; at d =
// 256, where dK and dV of 64 keys fill the registers of two groups, half of the columns of dK and dV instead (both
// compute the same scores, 7 products where 5 would do). Queries come by 64 at a time (`kPanels` such in a tile) in Q
// and dO tiles through a ring of kSlots. Of dQ of a tile, each group computes one part: one panel's rows at d = 64,
// half of the columns otherwise.
template <int kHeadDim>
struct HopperBackwardTile : HopperGroups {
  static constexpr int kPanelRows = 64;
  static constexpr int kPanels = kHeadDim == 64 ? 2 : 1;
  static constexpr int kRows = kPanels * kPanelRows;
  static constexpr int kColumnSplits = kHeadDim == 256 ? 2 : 1;
  static constexpr int kKeys = kGroups / kColumnSplits * 64;
  static constexpr int kSlots = kHeadDim == 256 ? 2 : 4;
  static constexpr int kPartColumns = kHeadDim == 256 ? 128 : 64;  // of dQ, 64 rows of them

  static constexpr std::uint32_t kKeyPanelBytes = kKeys * kPanelRowBytes;
  static constexpr std::uint32_t kQueryPanelBytes = kRows * kPanelRowBytes;
  static constexpr std::uint32_t kKeyBytes = kKeys * kHeadDim * 2;
  static constexpr std::uint32_t kSlotBytes = kRows * kHeadDim * 2;
  static constexpr std::uint32_t kScoreBytes = kPanels * kKeyPanelBytes;  // dS^T: keys in rows, panels of 64 queries
  static constexpr std::uint32_t kPartBytes = kPanelRows * kPartColumns * 4;
  static constexpr std::uint32_t kStatisticsBytes = 2 * kRows * 4;
  static constexpr std::uint32_t kValuesAt = kKeyBytes;
  static constexpr std::uint32_t kRingAt = 2 * kKeyBytes;
  static constexpr std::uint32_t kScoresAt = kRingAt + kSlots * kSlotBytes;  // of this tile and of the one before
  static constexpr std::uint32_t kPartsAt = kScoresAt + 2 * kScoreBytes;
  static constexpr std::uint32_t kStatisticsAt = kPartsAt + kGroups * kPartBytes;
  static constexpr std::uint32_t kBarriersAt = kStatisticsAt + kSlots / 2 * kStatisticsBytes;
  static constexpr int kPhaseBarriers = 2 * kSlots + 2 * kGroups + 1;
  static constexpr std::uint32_t kRowsAt = kBarriersAt + kPhaseBarriers * 8;  // of the tiles in the ring, a word each
  static constexpr std::uint32_t kPlaceAt = kRowsAt + kSlots / 2 * 4;         // four words: where dK and dV go
  static constexpr std::uint32_t kSharedBytes = kPlaceAt + 4 * 4;
  static_assert(kKeyPanelBytes % kPatternBytes == 0 && kQueryPanelBytes % kPatternBytes == 0);
  static_assert(kGroups * kPartBytes == kRows * kHeadDim * 4, "the parts of dQ are all of it");

  // Workspace of a problem, in floats; both are by [B, Hq] and whole query tiles of the longest sequence.
  static ASSAY_HOST_DEVICE int tiles(const ForwardProblem& p) { return parts(p.mask.queries, kRows); }
  static ASSAY_HOST_DEVICE std::int64_t tiles_before(const ForwardProblem& p, int b, int head) {
    return (static_cast<std::int64_t>(b) * p.heads + head) * tiles(p);
  }
  // Of a tile: LSE log2 e of its rows, then D of them.
  static ASSAY_HOST_DEVICE std::int64_t statistics(const ForwardProblem& p) {
    return tiles_before(p, p.batch, 0) * 2 * kRows;
  }
  // Of a tile: dQ in the order in which the groups' registers hold it (part_index()), so that it is added in one piece.
  static ASSAY_HOST_DEVICE std::int64_t sums(const ForwardProblem& p) {
    return tiles_before(p, p.batch, 0) * kRows * kHeadDim;
  }
};

// Four elements of an accumulator of dQ, of tile j of thread `thread`'s, in a part: their place in bytes.
ASSAY_HOST_DEVICE std::uint32_t part_place(int j, int thread) {
  return static_cast<std::uint32_t>((j * 4 * kWarp + thread) * 16);
}

// What the kernel is given.
struct HopperBackward {
  TensorMap q, d_o, k, v;
  BackwardProblem problem;  // row_dots are the statistics
};

template <int kHeadDim>
HopperBackward hopper_backward(const BackwardProblem& problem, EncodeTensor encode) {
  using Tile = HopperBackwardTile<kHeadDim>;
  const ForwardProblem& p = problem.forward;
  const bool ragged = p.ragged.query_starts != nullptr;
  if (ragged && (p.ragged.queries <= 0 || p.ragged.keys <= 0))
    throw std::invalid_argument("ragged batch: the sums of its lengths are not given");
  if (Tile::tiles_before(p, p.batch, 0) * Tile::kRows > INT32_MAX / 2)
    throw std::invalid_argument("more query rows than the kernels count");
  HopperBackward out;
  const int sequences = ragged ? 1 : p.batch;  // packed, they are one to the copy engine
  const int queries = ragged ? p.ragged.queries : p.mask.queries;
  const int keys = ragged ? p.ragged.keys : p.mask.keys;
  out.q = encode(tiled(p.q, sequences, p.heads, queries, kHeadDim, Tile::kRows));
  out.d_o = encode(tiled(problem.d_o, sequences, p.heads, queries, kHeadDim, Tile::kRows));
  out.k = encode(tiled(p.k, sequences, p.kv_heads, keys, kHeadDim, Tile::kKeys));
  out.v = encode(tiled(p.v, sequences, p.kv_heads, keys, kHeadDim, Tile::kKeys));
  out.problem = problem;
  return out;
}

// How many floats flash_attention_3_backward() needs at `row_dots` and at `d_q_sum`, both on 16 bytes.
struct HopperBackwardWorkspace {
  std::int64_t row_dots, d_q_sum;
};
template <int kHeadDim>
HopperBackwardWorkspace hopper_backward_workspace(const ForwardProblem& problem) {
  using Tile = HopperBackwardTile<kHeadDim>;
  return {Tile::statistics(problem), Tile::sums(problem)};
}

// As flash_attention_2_backward() but for the workspace. Needs sm_90a.
void flash_attention_3_backward(const BackwardProblem& problem, int head_dim, ElementType element, CUstream_st* stream);

}  // namespace assay::attention::cuda
