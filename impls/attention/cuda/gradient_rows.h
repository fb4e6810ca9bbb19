#pragma once
// What the backward passes of both paths share: rows of the whole batch and where they are, D, and the way of dK and dV
// to global memory.
#include "impls/attention/cuda/backward.h"
#include "impls/attention/cuda/tiles.h"

namespace assay::attention::cuda {

// Where row `row` of [B, Hq, rows] is in the tensors; not `inside` beyond the end of its sequence.
struct RowPlace {
  int b, head;
  int row;    // of its sequence
  int query;  // of the tensors
  bool inside;
};
ASSAY_DEVICE RowPlace place_of(const ForwardProblem& problem, std::int64_t row, int rows) {
  const QueryRow at = query_row(row, problem.heads, rows);
  const Sequence sequence = sequence_of(problem.ragged, problem.mask, at.b);
  return {at.b, at.head, at.query, sequence.first_query + at.query, at.query < sequence.mask.queries};
}

// D of a row, by its warp; all lanes get it.
template <class Element, int kHeadDim>
ASSAY_DEVICE float row_dot(const BackwardProblem& problem, const RowPlace& at, int lane) {
  const std::uint16_t* const o = problem.forward.o.at(at.b, at.head, at.query);
  const std::uint16_t* const d_o = problem.d_o.at(at.b, at.head, at.query);
  float dot = 0.0F;
#pragma unroll
  for (int i = 0; i < kHeadDim / kWarp; ++i) {
    dot = fused(unpack<Element>(load_global(o + i * kWarp + lane)),
                unpack<Element>(load_global(d_o + i * kWarp + lane)), dot);
  }
#pragma unroll
  for (int mask = 1; mask < kWarp; mask *= 2) dot += shuffle_xor(dot, mask);
  return dot;
}

// This warp's 16 rows of dK or dV, times `factor`, through its own part of `tile` to global memory.
template <class Element, int kHeadDim, int kTiles>
ASSAY_DEVICE void store_gradient(const float (&c)[1][kTiles][4], float factor, std::uint32_t tile, int row0, int first,
                                 const Matrix& to, int b, int kv, int first_row, int rows, int lane) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = row0 + accumulator_row(lane, half * 2);
#pragma unroll
    for (int j = 0; j < kTiles; ++j) {
      store_shared(tile + swizzled<kHeadDim>(row, first / 8 + j) + lane % 4 * 4,
                   pack<Element>(c[0][j][half * 2] * factor, c[0][j][half * 2 + 1] * factor));
    }
  }
  warp_barrier();
#pragma unroll
  for (int i = 0; i < 16 * kTiles / kWarp; ++i) {
    const int at = i * kWarp + lane;
    const int row = row0 + at / kTiles;
    const int chunk = first / 8 + at % kTiles;
    const Words4 words = load_shared_words(tile + swizzled<kHeadDim>(row, chunk));
    if (row < rows) store_global(reinterpret_cast<Words4*>(to.at(b, kv, first_row + row) + chunk * 8), words);
  }
}

}  // namespace assay::attention::cuda
