#pragma once
// FlashAttention-3, forward: the entry point. No CUDA header is needed to call it.
#include <stdexcept>

#include "impls/attention/cuda/descriptors.h"
#include "impls/attention/cuda/forward.h"
#include "impls/attention/cuda/hopper_groups.h"

namespace assay::attention::cuda {

// As ForwardProblem; of a ragged batch the sums of the lengths too. Blocks stay, one a multiprocessor, and take one
// query tile after another: `taken` is a word of device memory to count those beyond the first of each block.
struct FlashAttention3Problem {
  ForwardProblem forward;
  int multiprocessors = 1;
  int* taken = nullptr;
};

// One warpgroup loads, two compute, each 64 of the 128 queries of a tile. K and V go through a ring of kSlots tiles;
// at d = 256 accumulators leave room for 80 keys at a time, as in the paper, and O leaves through Q's own shared
// memory.
template <int kHeadDim>
struct HopperTile : HopperGroups {
  static constexpr int kRows = kGroups * kGroupRows;
  static constexpr int kKeys = kHeadDim == 256 ? 80 : 128;
  static constexpr int kSlots = kHeadDim == 64 ? 8 : 4;
  static constexpr bool kOwnOutput = kHeadDim != 256;

  static constexpr std::uint32_t kQueryPanelBytes = kGroupRows * kPanelRowBytes;
  static constexpr std::uint32_t kKeyPanelBytes = kKeys * kPanelRowBytes;
  static constexpr std::uint32_t kQueryBytes = kGroupRows * kHeadDim * 2;  // of a group
  static constexpr std::uint32_t kSlotBytes = kKeys * kHeadDim * 2;
  static constexpr std::uint32_t kRingAt = kGroups * kQueryBytes;
  static constexpr std::uint32_t kOutputAt = kOwnOutput ? kRingAt + kSlots * kSlotBytes : 0;
  static constexpr std::uint32_t kBarriersAt = kRingAt + kSlots * kSlotBytes + (kOwnOutput ? kGroups * kQueryBytes : 0);
  static constexpr int kPhaseBarriers = 2 * kGroups + 2 * kSlots;
  static constexpr std::uint32_t kItemsAt = kBarriersAt + kPhaseBarriers * 8;  // which one each group is to work at
  static constexpr std::uint32_t kSharedBytes = kItemsAt + kGroups * 4;
  static_assert(kKeyPanelBytes % kPatternBytes == 0 && kQueryPanelBytes % kPatternBytes == 0);
};

// The order in which blocks take the query tiles: those with most keys first, so that what is left at the end is short;
// heads by sections whose K and V fit into L2 together.
struct Schedule {
  int tiles = 0;    // of a head
  int heads = 0;    // of all sequences
  int section = 1;  // heads
  int blocks = 1;   // each begins with the item of its own number

  struct Item {
    int tile, head;
  };
  ASSAY_HOST_DEVICE int items() const { return tiles * heads; }
  ASSAY_HOST_DEVICE Item at(int index) const {
    const int first = index / (section * tiles) * section;
    const int together = smaller_of(section, heads - first);
    const int within = index - first * tiles;
    return {tiles - 1 - within / together, first + within % together};
  }
};

// What the kernel is given.
struct HopperForward {
  TensorMap q, k, v, o;
  ForwardProblem forward;
  int* taken = nullptr;
  Schedule schedule;
};

// Of the 50 MB of an H100's L2, what K and V of a section may take: half is left to Q, O and what leaves late.
inline constexpr std::int64_t kSectionBytes = 24LL << 20;

template <int kHeadDim>
HopperForward hopper_forward(const FlashAttention3Problem& problem, EncodeTensor encode) {
  using Tile = HopperTile<kHeadDim>;
  const ForwardProblem& p = problem.forward;
  const bool ragged = p.ragged.query_starts != nullptr;
  if (ragged && (p.ragged.queries <= 0 || p.ragged.keys <= 0))
    throw std::invalid_argument("ragged batch: the sums of its lengths are not given");
  if (static_cast<std::int64_t>(parts(p.mask.queries, Tile::kRows)) * p.batch * p.heads > INT32_MAX / 2)
    throw std::invalid_argument("more query tiles than the schedule counts");
  HopperForward out;
  const int sequences = ragged ? 1 : p.batch;  // packed, they are one to the copy engine
  const int queries = ragged ? p.ragged.queries : p.mask.queries;
  const int keys = ragged ? p.ragged.keys : p.mask.keys;
  out.q = encode(tiled(p.q, sequences, p.heads, queries, kHeadDim, Tile::kGroupRows));
  out.o = encode(tiled(p.o, sequences, p.heads, queries, kHeadDim, Tile::kGroupRows));
  out.k = encode(tiled(p.k, sequences, p.kv_heads, keys, kHeadDim, Tile::kKeys));
  out.v = encode(tiled(p.v, sequences, p.kv_heads, keys, kHeadDim, Tile::kKeys));
  out.forward = p;
  out.taken = problem.taken;
  const int heads = p.batch * p.heads;
  const std::int64_t key_head_bytes = 4LL * p.mask.keys * kHeadDim;
  const std::int64_t together = kSectionBytes / key_head_bytes * (p.heads / p.kv_heads);
  out.schedule.tiles = parts(p.mask.queries, Tile::kRows);
  out.schedule.heads = heads;
  out.schedule.section = together < 1 ? 1 : together > heads ? heads : static_cast<int>(together);
  out.schedule.blocks = smaller_of(problem.multiprocessors, out.schedule.items());
  return out;
}

// Needs sm_90a. Asynchronous; head sizes 64, 128 and 256; throws as flash_attention_2_forward() does.
void flash_attention_3_forward(const FlashAttention3Problem& problem, int head_dim, ElementType element,
                               CUstream_st* stream);

}  // namespace assay::attention::cuda
