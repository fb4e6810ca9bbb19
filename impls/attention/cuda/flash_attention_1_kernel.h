#pragma once
// FlashAttention-1 (arXiv 2205.14135, Algorithm 1): the loop order before FlashAttention-2. One block a head.
//
//   for each key block j:              K_j, V_j in shared memory
//     for each query tile i:           Q_i, O_i, l_i, m_i from memory
//       S = Q_i K_j^T;  m~ = rowmax S;  P = 2^((S - m~) c);  l~ = rowsum P
//       m' = max(m, m~);  l' = 2^((m - m') c) l + 2^((m~ - m') c) l~
//       O_i = (l 2^((m - m') c) O_i + 2^((m~ - m') c) P V_j) / l';  back to memory with m', l'
//
// O, m and l go through memory once a key block, and only batch * heads blocks run: what FlashAttention-2 does away
// with.
#include "impls/attention/cuda/comparisons.h"
#include "impls/attention/cuda/tiles.h"

namespace assay::attention::cuda {

template <class Element, int kHeadDim>
ASSAY_DEVICE void flash_attention_1_block(const FlashAttention1Problem& problem) {
  using Tile = PlainTile<kHeadDim>;
  constexpr int kOutTiles = kHeadDim / 8;
  const ForwardProblem& p = problem.forward;
  const int thread = thread_index();
  const int lane = thread % kWarp;
  const int warp_row = thread / kWarp * 16;
  const int h = block_y();
  const int b = block_z();
  const int kv = h / (p.heads / p.kv_heads);
  const float c = p.scale * 1.4426950408889634F;
  const Sequence sequence = sequence_of(p.ragged, p.mask, b);
  const Mask& mask = sequence.mask;
  const std::int64_t row0 = (static_cast<std::int64_t>(b) * p.heads + h) * p.mask.queries;
  const std::uint32_t q_tile = shared_base();
  const std::uint32_t k_tile = q_tile + Tile::kTileBytes;
  const std::uint32_t v_tile = k_tile + Tile::kTileBytes;

  // The last queries see the most keys: what they do not see is not fetched, and nothing where there are none.
  const int last = (mask.queries - 1) / kPlainRows * kPlainRows;
  for (int key = 0; mask.queries > 0 && key < mask.keys; key += kPlainRows) {
    if (key > 0 && mask.key_blocks(last, kPlainRows, kPlainRows) * kPlainRows <= key) break;
    barrier();  // the block before has been read by all
    copy_tile<kPlainRows, kHeadDim, kPlainThreads>(k_tile, p.k.at(b, kv, sequence.first_key + key), p.k.row,
                                                   mask.keys - key, thread);
    copy_tile<kPlainRows, kHeadDim, kPlainThreads>(v_tile, p.v.at(b, kv, sequence.first_key + key), p.v.row,
                                                   mask.keys - key, thread);
    for (int first = 0; first < mask.queries; first += kPlainRows) {
      // The first key block gives every row its state, also rows that see none of it.
      if (key > 0 && mask.key_blocks(first, kPlainRows, kPlainRows) * kPlainRows <= key) continue;
      barrier();  // the tile before has been read by all
      copy_tile<kPlainRows, kHeadDim, kPlainThreads>(q_tile, p.q.at(b, h, sequence.first_query + first), p.q.row,
                                                     mask.queries - first, thread);
      copy_commit();
      copy_wait<0>();
      barrier();
      float s[1][kPlainRows / 8][4];
      clear(s);
      multiply_rows<Element, kHeadDim>(s, q_tile, warp_row, k_tile, 0, lane);
      if (mask.cuts(first, key, kPlainRows)) mask_scores(s, mask, first + warp_row, key, lane);
      float pv[1][kOutTiles][4];
      clear(pv);
      Softmax<1> block;
      block.start();
      block.step(s, pv, c);
      std::uint32_t left[1][kPlainRows / 16][4];
      round_to_left<Element>(left, s);
      multiply_registers<Element, kHeadDim>(pv, left, v_tile, 0, lane);
      float m_before[2];
      float l_before[2];
      float block_sum[2];
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int query = first + warp_row + accumulator_row(lane, half * 2);
        const bool carried = key > 0 && query < mask.queries;
        m_before[half] = carried ? load_global(problem.m + row0 + query) : kMinusInfinity;
        block_sum[half] = row_sum(block.l[0][half]);
        l_before[half] = carried ? load_global(problem.l + row0 + query) : 0.0F;
      }
      warp_barrier();  // the four lanes of a row have read what one of them writes
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int query = first + warp_row + accumulator_row(lane, half * 2);
        if (query >= mask.queries) continue;
        const float m = m_before[half];
        const float l = l_before[half];
        const float top = larger(m, block.m[0][half]);
        const float safe = top == kMinusInfinity ? 0.0F : top;
        const float old_part = power_of_two((m - safe) * c) * l;
        const float new_part = power_of_two((block.m[0][half] - safe) * c);
        const float sum = old_part + new_part * block_sum[half];
        const float share = sum > 0.0F ? 1.0F / sum : 0.0F;
        float* const o = problem.o + (row0 + query) * kHeadDim;
#pragma unroll
        for (int j = 0; j < kOutTiles; ++j) {
#pragma unroll
          for (int e = 0; e < 2; ++e) {
            float* const at = o + j * 8 + accumulator_column(lane, e);
            const float before = key == 0 ? 0.0F : load_global(at);
            store_global(at, (old_part * before + new_part * pv[0][j][half * 2 + e]) * share);
          }
        }
        if (lane % 4 == 0) {
          store_global(problem.m + row0 + query, top);
          store_global(problem.l + row0 + query, sum);
        }
      }
    }
  }
  barrier();
  for (int row = thread / kWarp; row < mask.queries; row += kPlainThreads / kWarp) {
    const float* const o = problem.o + (row0 + row) * kHeadDim;
    const bool any = mask.keys > 0;
#pragma unroll
    for (int i = 0; i < kHeadDim / kWarp; ++i) {
      const float value = any ? load_global(o + i * kWarp + lane) : 0.0F;
      store_global(p.o.at(b, h, sequence.first_query + row) + i * kWarp + lane,
                   static_cast<std::uint16_t>(pack<Element>(value, 0.0F) & 0xffffU));
    }
    if (lane == 0 && p.lse != nullptr) {
      const float lse =
          any ? log_sum_exp(load_global(problem.m + row0 + row), load_global(problem.l + row0 + row), p.scale)
              : kMinusInfinity;
      store_global(p.lse + row0 + row, lse);
    }
  }
}

}  // namespace assay::attention::cuda
