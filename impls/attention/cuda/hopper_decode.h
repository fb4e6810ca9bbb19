#pragma once
// Decode with the instructions of sm_90a: the entry point. No CUDA header is needed to call it.
#include <stdexcept>

#include "impls/attention/cuda/decode.h"
#include "impls/attention/cuda/descriptors.h"
#include "impls/attention/cuda/hopper_groups.h"

namespace assay::attention::cuda {

// What an H100's multiprocessor must have on its way from memory (Little's law): 3.35 TB/s x 0.7 us / 132 = 17.8 KB.
inline constexpr std::uint32_t kBytesOnTheirWay = 17800;

// A block has 64 packed rows, the least that wgmma multiplies. With 1 to 16 of them in use that is no loss: 64 rows are
// 32 multiplications for a byte of K or V, the tensor cores of a multiprocessor do 2048 a clock (64 bytes' worth), and
// memory brings it 3.35 TB/s / 132 / 1.83 GHz = 13.9 bytes a clock.
//
// The loader's warp brings K and V of kKeys keys at a time; the computing groups take turns, each with a softmax of its
// own, and are joined at the end. Each holds two tiles of the ring at most, the others are on their way.
template <int kHeadDim>
struct HopperDecodeTile : HopperGroups {
  static constexpr int kRows = kGroupRows;
  static constexpr int kKeys = kHeadDim == 64 ? 128 : 64;  // of a group
  static constexpr int kRound = kKeys;
  static constexpr int kSlots = kHeadDim == 256 ? 6 : 12;
  static constexpr std::uint32_t kQueryPanelBytes = kRows * kPanelRowBytes;
  static constexpr std::uint32_t kKeyPanelBytes = kKeys * kPanelRowBytes;
  static constexpr std::uint32_t kQueryBytes = kRows * kHeadDim * 2;
  static constexpr std::uint32_t kSlotBytes = kKeys * kHeadDim * 2;
  static constexpr std::uint32_t kRingAt = kQueryBytes;
  static constexpr std::uint32_t kPartBytes = kRows * kHeadDim * 4;  // a group's O in f32: in the ring, when it is done
  static constexpr std::uint32_t kStateBytes = kRows * 2 * 4;        // its m and l
  static constexpr std::uint32_t kStatesAt = kRingAt + kSlots * kSlotBytes;
  static constexpr std::uint32_t kBarriersAt = kStatesAt + kGroups * kStateBytes;
  static constexpr std::uint32_t kSharedBytes = kBarriersAt + 2 * kSlots * 8;
  static_assert(kGroups * kPartBytes <= kSlots * kSlotBytes);
  static_assert(kKeyPanelBytes % kPatternBytes == 0 && kQueryPanelBytes % kPatternBytes == 0);
  static_assert((kSlots - 2 * kGroups) * kSlotBytes >= 3 * kBytesOnTheirWay, "three times that, for it comes in gusts");
};

// What the kernel is given. A copy brings 64 columns of 1 << piece_shift keys: a tile's, or a page's where those are
// fewer.
struct HopperDecode {
  TensorMap k, v;
  DecodeProblem problem;
  int piece_shift = 0;
};

template <int kHeadDim>
HopperDecode hopper_decode(const DecodeProblem& problem, EncodeTensor encode) {
  using Tile = HopperDecodeTile<kHeadDim>;
  const bool paged = problem.page_table != nullptr;
  if (paged && problem.pages <= 0) throw std::invalid_argument("paged keys: the pages of the pool are not given");
  HopperDecode out;
  out.problem = problem;
  while (1 << out.piece_shift < Tile::kKeys && !(paged && out.piece_shift == problem.page_shift)) ++out.piece_shift;
  const auto map = [&](const Matrix& matrix) {
    TiledTensor tensor = tiled(matrix, paged ? problem.pages : problem.batch, problem.kv_heads,
                               paged ? 1 << problem.page_shift : problem.mask.keys, kHeadDim, 1 << out.piece_shift);
    tensor.box[2] = 1;  // a panel
    return encode(tensor);
  };
  out.k = map(problem.k);
  out.v = map(problem.v);
  return out;
}

// As flash_decoding(). Needs sm_90a.
void hopper_decoding(const DecodeProblem& problem, int head_dim, ElementType element, CUstream_st* stream);

}  // namespace assay::attention::cuda
