#pragma once
// FlashAttention-2, backward (arXiv 2307.08691, Algorithm 2), for one block of threads: a block of keys, all query
// tiles (and all query heads of its group) that see it.
//
//   D_i = rowsum(dO_i * O_i)                                        before, one warp a row
//     S^T = K_j Q_i^T;  P^T = 2^(S^T c - LSE_i log2 e), masked -> 0
//     dV_j += P^T dO_i;  dP^T = V_j dO_i^T;  dS^T = P^T * (dP^T - D_i)
//     dK_j += dS^T Q_i;  dQ_i += scale dS K_j                       dQ by atomic additions in f32, rounded afterwards
//
// Scores are computed transposed, keys in rows: P^T and dS^T then are, in registers, the left operands of dV and dK.
// Only dS passes through shared memory, for dQ, where the roles of rows and columns change.
#include "impls/attention/cuda/gradient_rows.h"

namespace assay::attention::cuda {

// D of one row a warp, four warps a block.
template <class Element, int kHeadDim>
ASSAY_DEVICE void row_dots_block(const BackwardProblem& problem) {
  const int lane = thread_index() % kWarp;
  const std::int64_t row = row_of_warp();
  if (row >= problem.rows()) return;
  const RowPlace at = place_of(problem.forward, row, problem.forward.mask.queries);
  if (!at.inside) return;
  const float dot = row_dot<Element, kHeadDim>(problem, at, lane);
  if (lane == 0) store_global(problem.row_dots + row, dot);
}

// Rounds dQ; a warp a row, four a block.
template <class Element, int kHeadDim>
ASSAY_DEVICE void round_d_q_block(const BackwardProblem& problem) {
  const int lane = thread_index() % kWarp;
  const std::int64_t row = row_of_warp();
  if (row >= problem.rows()) return;
  const RowPlace at = place_of(problem.forward, row, problem.forward.mask.queries);
  if (!at.inside) return;
  std::uint16_t* const to = problem.d_q.at(at.b, at.head, at.query);
#pragma unroll
  for (int i = 0; i < kHeadDim / kWarp; ++i) {
    const int column = i * kWarp + lane;
    const float sum = load_global(problem.d_q_sum + row * kHeadDim + column) * problem.forward.scale;
    store_global(to + column, static_cast<std::uint16_t>(pack<Element>(sum, 0.0F) & 0xffffU));
  }
}

// This warp's 16 rows of dK or dV, times `factor`, added to float32; nobody else has these rows.
template <int kTiles>
ASSAY_DEVICE void add_gradient(const float (&c)[1][kTiles][4], float factor, int row0, int first, const WideMatrix& to,
                               int b, int kv, int first_row, int rows, int lane) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = row0 + accumulator_row(lane, half * 2);
    if (row >= rows) continue;
    float* const line = to.at(b, kv, first_row + row) + first + accumulator_column(lane, 0);
#pragma unroll
    for (int j = 0; j < kTiles; ++j) {
#pragma unroll
      for (int e = 0; e < 2; ++e)
        store_global(line + j * 8 + e, fused(c[0][j][half * 2 + e], factor, load_global(line + j * 8 + e)));
    }
  }
}

// `kPart`: as flash_attention_2_backward_part().
template <class Element, int kHeadDim, bool kPart = false>
ASSAY_DEVICE void backward_block(const BackwardProblem& problem) {
  using Tile = BackwardTile<kHeadDim>;
  constexpr int kOwn = kHeadDim / Tile::kColumnSplits;  // columns of dK and dV a warp has
  constexpr int kQueryTiles = Tile::kRows / 16;
  constexpr int kQueryColumns = kHeadDim / (Tile::kWarps / kQueryTiles);  // columns of dQ a warp has

  const int thread = thread_index();
  const int lane = thread % kWarp;
  const int warp = thread / kWarp;
  const int b = block_z();
  const int kv = block_y();
  const int group = problem.forward.heads / problem.forward.kv_heads;
  const Sequence sequence = sequence_of(problem.forward.ragged, problem.forward.mask, b);
  const Mask& mask = sequence.mask;
  const int first_key = block_x() * Tile::kKeys;
  if (first_key >= mask.keys) return;
  const int key_row = warp / Tile::kColumnSplits * 16;
  const int own_first = warp % Tile::kColumnSplits * kOwn;

  const std::uint32_t k_tile = shared_base();
  const std::uint32_t v_tile = k_tile + Tile::kKeyBytes;
  const std::uint32_t stages = v_tile + Tile::kKeyBytes;
  const std::uint32_t scores = stages + 2 * Tile::kStageBytes;

  // Step t is query tile first_tile + t mod tiles of the group's head t / tiles.
  const int first_tile = mask.first_row_that_sees(first_key) / Tile::kRows;
  const int tiles = larger_of(0, parts(mask.queries, Tile::kRows) - first_tile);
  const int steps = tiles * group;
  const auto stage = [&](int t) { return stages + static_cast<std::uint32_t>(t % 2) * Tile::kStageBytes; };
  const auto fetch = [&](int t) {
    if (t < steps) {
      const int head = kv * group + t / tiles;
      const int row = (first_tile + t % tiles) * Tile::kRows;
      const int valid = mask.queries - row;
      copy_tile<Tile::kRows, kHeadDim, Tile::kThreads>(
          stage(t), problem.forward.q.at(b, head, sequence.first_query + row), problem.forward.q.row, valid, thread);
      copy_tile<Tile::kRows, kHeadDim, Tile::kThreads>(stage(t) + Tile::kQueryBytes,
                                                       problem.d_o.at(b, head, sequence.first_query + row),
                                                       problem.d_o.row, valid, thread);
      if (thread < 2 * Tile::kRows) {
        const int i = thread % Tile::kRows;
        const float* const from = thread < Tile::kRows ? problem.forward.lse : problem.row_dots;
        const std::int64_t at =
            (static_cast<std::int64_t>(b) * problem.forward.heads + head) * problem.forward.mask.queries + row;
        copy_async_word(stage(t) + 2 * Tile::kQueryBytes + static_cast<std::uint32_t>(thread * 4),
                        from + (i < valid ? at + i : at), i < valid);
      }
    }
    copy_commit();
  };

  copy_tile<Tile::kKeys, kHeadDim, Tile::kThreads>(k_tile, problem.forward.k.at(b, kv, sequence.first_key + first_key),
                                                   problem.forward.k.row, mask.keys - first_key, thread);
  copy_tile<Tile::kKeys, kHeadDim, Tile::kThreads>(v_tile, problem.forward.v.at(b, kv, sequence.first_key + first_key),
                                                   problem.forward.v.row, mask.keys - first_key, thread);
  fetch(0);

  const float c = problem.forward.scale * 1.4426950408889634F;
  float d_k[1][kOwn / 8][4];
  float d_v[1][kOwn / 8][4];
  clear(d_k);
  clear(d_v);
  for (int t = 0; t < steps; ++t) {
    copy_wait<0>();
    barrier();
    fetch(t + 1);
    const std::uint32_t q_tile = stage(t);
    const std::uint32_t d_o_tile = q_tile + Tile::kQueryBytes;
    const std::uint32_t lse = q_tile + 2 * Tile::kQueryBytes;
    const std::uint32_t dots = lse + Tile::kRows * 4;
    const int row = (first_tile + t % tiles) * Tile::kRows;

    float p[1][Tile::kRows / 8][4];
    clear(p);
    multiply_rows<Element, kHeadDim>(p, k_tile, key_row, q_tile, 0, lane);
#pragma unroll
    for (int j = 0; j < Tile::kRows / 8; ++j) {
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        const int query = j * 8 + accumulator_column(lane, e);
        const float shift = -load_shared_float(lse + static_cast<std::uint32_t>(query * 4)) * 1.4426950408889634F;
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          p[0][j][half * 2 + e] = power_of_two(fused(p[0][j][half * 2 + e], c, shift));
        }
      }
    }
    if (mask.cuts(row, first_key, Tile::kKeys)) {
#pragma unroll
      for (int j = 0; j < Tile::kRows / 8; ++j) {
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          const int visible = mask.visible(row + j * 8 + accumulator_column(lane, e)) - first_key - key_row;
#pragma unroll
          for (int half = 0; half < 2; ++half) {
            if (accumulator_row(lane, half * 2) >= visible) p[0][j][half * 2 + e] = 0.0F;
          }
        }
      }
    }
    float ds[1][Tile::kRows / 8][4];
    clear(ds);
    multiply_rows<Element, kHeadDim>(ds, v_tile, key_row, d_o_tile, 0, lane);
#pragma unroll
    for (int j = 0; j < Tile::kRows / 8; ++j) {
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        const int query = j * 8 + accumulator_column(lane, e);
        const float dot = load_shared_float(dots + static_cast<std::uint32_t>(query * 4));
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          ds[0][j][half * 2 + e] = p[0][j][half * 2 + e] * (ds[0][j][half * 2 + e] - dot);
        }
      }
    }
    std::uint32_t left[1][Tile::kRows / 16][4];
    round_to_left<Element>(left, p);
    multiply_registers<Element, kHeadDim>(d_v, left, d_o_tile, own_first, lane);
    round_to_left<Element>(left, ds);
    if (own_first == 0) {
#pragma unroll
      for (int j = 0; j < Tile::kRows / 8; ++j) {
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          store_shared(scores + swizzled<64>(key_row + accumulator_row(lane, half * 2), j) + lane % 4 * 4,
                       left[0][j / 2][j % 2 * 2 + half]);
        }
      }
    }
    multiply_registers<Element, kHeadDim>(d_k, left, q_tile, own_first, lane);
    barrier();

    float d_q[1][kQueryColumns / 8][4];
    clear(d_q);
    const int query_row = warp % kQueryTiles * 16;
    const int query_first = warp / kQueryTiles * kQueryColumns;
    multiply_turned<Element, Tile::kKeys, kHeadDim>(d_q, scores, query_row, k_tile, query_first, lane);
    const int head = kv * group + t / tiles;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int query = row + query_row + accumulator_row(lane, half * 2);
      if (query < mask.queries) {
        float* const to =
            problem.d_q_sum +
            ((static_cast<std::int64_t>(b) * problem.forward.heads + head) * problem.forward.mask.queries + query) *
                kHeadDim +
            query_first;
#pragma unroll
        for (int j = 0; j < kQueryColumns / 8; ++j) {
#pragma unroll
          for (int e = 0; e < 2; ++e) {
            add_global(to + j * 8 + accumulator_column(lane, e), d_q[0][j][half * 2 + e]);
          }
        }
      }
    }
  }
  copy_wait<0>();
  const int rows = mask.keys - first_key;
  if constexpr (kPart) {
    add_gradient(d_k, problem.forward.scale, key_row, own_first, problem.wide_d_k, b, kv, first_key, rows, lane);
    add_gradient(d_v, 1.0F, key_row, own_first, problem.wide_d_v, b, kv, first_key, rows, lane);
  } else {
    barrier();  // K and V have been read by all: dK and dV leave through their tiles
    store_gradient<Element, kHeadDim>(d_k, problem.forward.scale, k_tile, key_row, own_first, problem.d_k, b, kv,
                                      sequence.first_key + first_key, rows, lane);
    store_gradient<Element, kHeadDim>(d_v, 1.0F, v_tile, key_row, own_first, problem.d_v, b, kv,
                                      sequence.first_key + first_key, rows, lane);
  }
}

}  // namespace assay::attention::cuda
