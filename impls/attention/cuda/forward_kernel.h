#pragma once
// FlashAttention-2, forward (arXiv 2307.08691, Algorithm 1), for one block of threads; runs on sm_80 and later.
//
//   each block: one query tile Q_i of one head, all independent; each warp: 16 or 32 rows of it ("split-Q")
//     for each key block j that the tile sees:
//       S = Q_i K_j^T                           masked where the diagonal or the last key cuts the block
//       P, m, l, O brought to the new maximum   P = 2^(S c - m c), c = scale log2 e
//       O += P V_j                              P stays in registers: accumulators are the next product's operand
//     O_i = O / l;  LSE_i = m scale + ln l
//
// K_0, V_0, K_1, V_1, ... is one stream of tiles through a ring of slots in shared memory: while tile t is used, tiles
// up to t + slots - 1 are on their way (cp.async), and one barrier a tile both shows that it has landed and frees the
// slot of the tile before. Longest query tiles come first, so that the last blocks to finish are short ones.
#include "impls/attention/cuda/forward.h"
#include "impls/attention/cuda/tiles.h"

namespace assay::attention::cuda {

// Block x of a grid of `tiles` query tiles: those with most keys first.
ASSAY_HOST_DEVICE int query_tile_of(int x, int tiles) { return tiles - 1 - x; }

template <class Element, int kHeadDim>
ASSAY_DEVICE void forward_block(const ForwardProblem& problem) {
  using Tile = ForwardTile<kHeadDim>;
  constexpr int kSlots = Tile::kSlots;
  constexpr int kWarpRows = Tile::kRowTiles * 16;
  constexpr int kOutTiles = kHeadDim / 8;

  const int thread = thread_index();
  const int lane = thread % kWarp;
  const int warp_row = thread / kWarp * kWarpRows;
  const int b = block_z();
  const int h = block_y();
  const int kv = h / (problem.heads / problem.kv_heads);
  const Sequence sequence = sequence_of(problem.ragged, problem.mask, b);
  const Mask& mask = sequence.mask;
  const int first = query_tile_of(block_x(), parts(problem.mask.queries, Tile::kRows)) * Tile::kRows;
  if (first >= mask.queries) return;  // a shorter sequence of a ragged batch

  const std::uint32_t q_tile = shared_base();
  const std::uint32_t ring = q_tile + Tile::kQueryBytes;
  const std::uint16_t* const k_rows = problem.k.at(b, kv, sequence.first_key);
  const std::uint16_t* const v_rows = problem.v.at(b, kv, sequence.first_key);
  const int blocks = mask.key_blocks(first, Tile::kRows, Tile::kKeys);

  // Tile t of the stream is K (even t) or V (odd t) of key block t / 2, in slot t mod kSlots.
  const auto slot = [&](int t) { return ring + static_cast<std::uint32_t>(t % kSlots) * Tile::kSlotBytes; };
  const auto fetch = [&](int t) {
    if (t < 2 * blocks) {
      const int key = t / 2 * Tile::kKeys;
      const std::int64_t row_stride = t % 2 == 0 ? problem.k.row : problem.v.row;
      copy_tile<Tile::kKeys, kHeadDim, Tile::kThreads>(slot(t), (t % 2 == 0 ? k_rows : v_rows) + key * row_stride,
                                                       row_stride, mask.keys - key, thread);
    }
    copy_commit();  // empty groups at the end keep the count of groups that copy_wait() goes by
  };
  // Tile t, landed and seen by all warps; the slot of the tile before it is free then and is filled again.
  const auto take = [&](int t) {
    copy_wait<kSlots - 2>();
    barrier();
    fetch(t + kSlots - 1);
    return slot(t);
  };

  copy_tile<Tile::kRows, kHeadDim, Tile::kThreads>(q_tile, problem.q.at(b, h, sequence.first_query + first),
                                                   problem.q.row, mask.queries - first, thread);
  for (int t = 0; t < kSlots - 1; ++t) fetch(t);

  const float c = problem.scale * 1.4426950408889634F;
  float o[Tile::kRowTiles][kOutTiles][4];
  clear(o);
  Softmax<Tile::kRowTiles> softmax;
  softmax.start();

  for (int j = 0; j < blocks; ++j) {
    float s[Tile::kRowTiles][Tile::kKeys / 8][4];
    clear(s);
    multiply_rows<Element, kHeadDim>(s, q_tile, warp_row, take(2 * j), 0, lane);
    const std::uint32_t v_tile = take(2 * j + 1);
    if (mask.cuts(first, j * Tile::kKeys, Tile::kKeys)) {
      mask_scores(s, mask, first + warp_row, j * Tile::kKeys, lane);
    }
    softmax.step(s, o, c);
    std::uint32_t p[Tile::kRowTiles][Tile::kKeys / 16][4];
    round_to_left<Element>(p, s);
    multiply_registers<Element, kHeadDim>(o, p, v_tile, 0, lane);
  }
  copy_wait<0>();
  if (blocks == 0) barrier();  // Q's copy was waited for by nobody else; O takes its place

    // O goes through this warp's rows of the Q tile, which no other warp reads, to leave as whole lines.
#pragma unroll
  for (int i = 0; i < Tile::kRowTiles; ++i) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = warp_row + i * 16 + accumulator_row(lane, half * 2);
      const float l = row_sum(softmax.l[i][half]);
      const float share = l > 0.0F ? 1.0F / l : 0.0F;
      if (problem.lse != nullptr && lane % 4 == 0 && first + row < mask.queries) {
        const std::int64_t at = (static_cast<std::int64_t>(b) * problem.heads + h) * problem.mask.queries + first + row;
        store_global(problem.lse + at, log_sum_exp(softmax.m[i][half], l, problem.scale));
      }
      if (problem.wide_o != nullptr) {
        if (first + row < mask.queries) {
          const std::int64_t at =
              (static_cast<std::int64_t>(b) * problem.heads + h) * problem.mask.queries + first + row;
          float* const to = problem.wide_o + at * kHeadDim + lane % 4 * 2;
#pragma unroll
          for (int j = 0; j < kOutTiles; ++j) {
            store_global(to + j * 8, o[i][j][half * 2] * share);
            store_global(to + j * 8 + 1, o[i][j][half * 2 + 1] * share);
          }
        }
        continue;
      }
#pragma unroll
      for (int j = 0; j < kOutTiles; ++j) {
        store_shared(q_tile + swizzled<kHeadDim>(row, j) + lane % 4 * 4,
                     pack<Element>(o[i][j][half * 2] * share, o[i][j][half * 2 + 1] * share));
      }
    }
  }
  if (problem.wide_o != nullptr) return;
  warp_barrier();
  constexpr int kChunks = kHeadDim / 8;
#pragma unroll
  for (int i = 0; i < kWarpRows * kChunks / kWarp; ++i) {
    const int at = i * kWarp + lane;
    const int row = warp_row + at / kChunks;
    const int chunk = at % kChunks;
    const Words4 words = load_shared_words(q_tile + swizzled<kHeadDim>(row, chunk));
    if (first + row < mask.queries) {
      std::uint16_t* const to = problem.o.at(b, h, sequence.first_query + first + row) + chunk * 8;
      store_global(reinterpret_cast<Words4*>(to), words);
    }
  }
}

}  // namespace assay::attention::cuda
