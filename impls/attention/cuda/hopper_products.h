#pragma once
// What the sm_90a kernels are made of: the ring of tiles that the copy engine fills, and products of a warpgroup over
// tiles of panels.
#include "impls/attention/cuda/hopper.h"
#include "impls/attention/cuda/hopper_groups.h"

namespace assay::attention::cuda {

// A ring in the block's shared memory. Tile says where: kSlots of kSlotBytes from kRingAt on, and from kBarriersAt on
// the phase barriers, first those of tiles that have landed, then those of slots that are free.
template <class Tile>
struct HopperRing {
  std::uint32_t base;

  ASSAY_DEVICE std::uint32_t nth(std::uint32_t first, int n, std::uint32_t bytes) const {
    return base + first + static_cast<std::uint32_t>(n) * bytes;
  }
  // Tile t of the stream: its place, and its barriers.
  ASSAY_DEVICE std::uint32_t slot(int t) const { return nth(Tile::kRingAt, t % Tile::kSlots, Tile::kSlotBytes); }
  ASSAY_DEVICE std::uint32_t full(int t) const { return nth(Tile::kBarriersAt, t % Tile::kSlots, 8); }
  ASSAY_DEVICE std::uint32_t free(int t) const { return nth(Tile::kBarriersAt, Tile::kSlots + t % Tile::kSlots, 8); }
  // How often tile t's slot was used before, as a parity.
  static ASSAY_DEVICE std::uint32_t parity(int t) { return static_cast<std::uint32_t>(t / Tile::kSlots) & 1U; }

  // By one thread, before publish_phase_barriers(). A lane of each warp of `groups` groups says that a slot is free.
  ASSAY_DEVICE void start(int groups) const {
    for (int t = 0; t < Tile::kSlots; ++t) {
      start_phase_barrier(full(t), 1);
      start_phase_barrier(free(t), groups * 4);
    }
  }
};

// C = A B^T starts, over kDepth columns: 64 rows of A from `a`, 8 kTiles of B from `b`. Panels are so many bytes apart.
template <class Element, int kDepth, std::uint32_t kPanelA, std::uint32_t kPanelB, int kTiles>
ASSAY_DEVICE void start_by_rows(float (&c)[1][kTiles][4], std::uint32_t a, std::uint32_t b) {
  product_fence(c);
#pragma unroll
  for (int k = 0; k < kDepth / 16; ++k) {
    const int panel = k * 16 / kPanelColumns;
    const std::uint32_t step = static_cast<std::uint32_t>(k * 16 % kPanelColumns) * 2;
    const std::uint64_t left = operand_by_rows(a + panel * kPanelA + step);
    const std::uint64_t right = operand_by_rows(b + panel * kPanelB + step);
    if (k == 0) {
      multiply_shared<Element, false>(c, left, right);
    } else {
      multiply_shared<Element, true>(c, left, right);
    }
  }
  product_commit();
}

// C += A B starts: A of 16 kSteps columns in registers, as many rows of B from `b`. C's columns are in kParts.
template <class Element, std::uint32_t kPanelB, int kParts, int kTiles, int kSteps>
ASSAY_DEVICE void start_by_columns(float (&c)[kParts][kTiles][4], std::uint32_t (&a)[1][kSteps][4], std::uint32_t b) {
  constexpr int kPanelsAPart = kTiles * 8 / kPanelColumns;
  product_fence(c, a);
#pragma unroll
  for (int k = 0; k < kSteps; ++k) {
#pragma unroll
    for (int part = 0; part < kParts; ++part) {
      multiply_left<Element, true>(
          c[part], a[0][k], operand_by_columns(b + part * kPanelsAPart * kPanelB + k * 16 * kPanelRowBytes, kPanelB));
    }
  }
  product_commit();
}

}  // namespace assay::attention::cuda
