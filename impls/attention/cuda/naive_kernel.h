#pragma once
// Naive attention as three kernels with the scores in memory between them:
//   S = scale Q K^T (f32, masked scores -inf);  P = softmax rows of S, LSE;  O = P V
// Each is a plain tiled kernel on the tensor cores; what makes this slow are 12 bytes a score through memory.
#include "impls/attention/cuda/comparisons.h"
#include "impls/attention/cuda/tiles.h"

namespace assay::attention::cuda {

// Where a thread is: of 64 queries of its sequence from `first` on, those of its warp. Block y is the query tile, z
// batch and head.
struct PlainPlace {
  int thread, lane, warp_row;
  int b, h, kv, first;
  Sequence sequence;
};
ASSAY_DEVICE PlainPlace plain_place(const ForwardProblem& p) {
  const int thread = thread_index();
  const int h = block_z() % p.heads;
  return {.thread = thread,
          .lane = thread % kWarp,
          .warp_row = thread / kWarp * 16,
          .b = block_z() / p.heads,
          .h = h,
          .kv = h / (p.heads / p.kv_heads),
          .first = block_y() * kPlainRows,
          .sequence = sequence_of(p.ragged, p.mask, block_z() / p.heads)};
}

// 64 queries against 64 keys: block x is the key tile.
template <class Element, int kHeadDim>
ASSAY_DEVICE void naive_scores_block(const NaiveProblem& problem) {
  const ForwardProblem& p = problem.forward;
  const auto [thread, lane, warp_row, b, h, kv, first, sequence] = plain_place(p);
  const Mask& mask = sequence.mask;
  if (first >= mask.queries) return;  // a shorter sequence of a ragged batch
  const int first_key = block_x() * kPlainRows;
  const std::uint32_t q_tile = shared_base();
  const std::uint32_t k_tile = q_tile + PlainTile<kHeadDim>::kTileBytes;
  copy_tile<kPlainRows, kHeadDim, kPlainThreads>(q_tile, p.q.at(b, h, sequence.first_query + first), p.q.row,
                                                 mask.queries - first, thread);
  copy_tile<kPlainRows, kHeadDim, kPlainThreads>(k_tile, p.k.at(b, kv, sequence.first_key + first_key), p.k.row,
                                                 mask.keys - first_key, thread);
  copy_commit();
  copy_wait<0>();
  barrier();
  float s[1][kPlainRows / 8][4];
  clear(s);
  multiply_rows<Element, kHeadDim>(s, q_tile, warp_row, k_tile, 0, lane);
  mask_scores(s, mask, first + warp_row, first_key, lane);
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int query = first + warp_row + accumulator_row(lane, half * 2);
    if (query >= mask.queries) continue;
    float* const to = problem.scores + problem.row(block_z(), query) * problem.pitch() + first_key;
#pragma unroll
    for (int j = 0; j < kPlainRows / 8; ++j) {
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        store_global(to + j * 8 + accumulator_column(lane, e), s[0][j][half * 2 + e] * p.scale);
      }
    }
  }
}

// A row a warp, four a block; three passes over the row.
template <class Element>
ASSAY_DEVICE void naive_softmax_block(const NaiveProblem& problem) {
  const int lane = thread_index() % kWarp;
  const std::int64_t row = row_of_warp();
  if (row >= problem.rows()) return;
  const ForwardProblem& p = problem.forward;
  const QueryRow at = query_row(row, p.heads, p.mask.queries);
  if (at.query >= sequence_of(p.ragged, p.mask, at.b).mask.queries) return;
  const int pitch = problem.pitch();
  const float* const s = problem.scores + row * pitch;
  float top = kMinusInfinity;
  for (int j = lane; j < pitch; j += kWarp) top = larger(top, load_global(s + j));
#pragma unroll
  for (int mask = 1; mask < kWarp; mask *= 2) top = larger(top, shuffle_xor(top, mask));
  const float safe = top == kMinusInfinity ? 0.0F : top;
  float sum = 0.0F;
  for (int j = lane; j < pitch; j += kWarp) sum += power_of_two((load_global(s + j) - safe) * 1.4426950408889634F);
#pragma unroll
  for (int mask = 1; mask < kWarp; mask *= 2) sum += shuffle_xor(sum, mask);
  const float share = sum > 0.0F ? 1.0F / sum : 0.0F;
  for (int j = lane; j < pitch; j += kWarp) {
    const float weight = power_of_two((load_global(s + j) - safe) * 1.4426950408889634F) * share;
    store_global(problem.weights + row * pitch + j, static_cast<std::uint16_t>(pack<Element>(weight, 0.0F) & 0xffffU));
  }
  if (lane == 0 && problem.forward.lse != nullptr)
    store_global(problem.forward.lse + row, log_sum_exp(safe, sum, 1.0F));
}

// 64 queries of O.
template <class Element, int kHeadDim>
ASSAY_DEVICE void naive_output_block(const NaiveProblem& problem) {
  const ForwardProblem& p = problem.forward;
  const auto [thread, lane, warp_row, b, h, kv, first, sequence] = plain_place(p);
  const Mask& mask = sequence.mask;
  if (first >= mask.queries) return;
  const std::uint32_t v_tile = shared_base();
  const std::uint32_t p_tile = v_tile + PlainTile<kHeadDim>::kTileBytes;
  float o[1][kHeadDim / 8][4];
  clear(o);
  for (int key = 0; key < mask.keys; key += kPlainRows) {
    copy_tile<kPlainRows, kHeadDim, kPlainThreads>(v_tile, p.v.at(b, kv, sequence.first_key + key), p.v.row,
                                                   mask.keys - key, thread);
    copy_tile<kPlainRows, kPlainRows, kPlainThreads>(
        p_tile, problem.weights + problem.row(block_z(), first) * problem.pitch() + key, problem.pitch(),
        mask.queries - first, thread);
    copy_commit();
    copy_wait<0>();
    barrier();
    multiply_stored<Element, kPlainRows, kHeadDim>(o, p_tile, warp_row, v_tile, 0, lane);
    barrier();
  }
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int query = first + warp_row + accumulator_row(lane, half * 2);
    if (query >= mask.queries) continue;
#pragma unroll
    for (int j = 0; j < kHeadDim / 8; ++j) {
      auto* const to = reinterpret_cast<std::uint32_t*>(p.o.at(b, h, sequence.first_query + query) + j * 8 +
                                                        accumulator_column(lane, 0));
      store_global(to, pack<Element>(o[0][j][half * 2], o[0][j][half * 2 + 1]));
    }
  }
}

}  // namespace assay::attention::cuda
