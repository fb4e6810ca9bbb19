#pragma once
// FlashAttention-3, backward in 16 bits (arXiv 2407.08608, Algorithm 3), for one block of an sm_90a: a block of keys,
// all query tiles (and all query heads of its group) that see it. What is computed is FlashAttention-2's
// (backward_kernel.h); three roles overlap it:
//
//   loader       one thread starts the copies (TMA): K and V once, then Q, its LSE and D, and dO of one query tile
//   after
//                another through a ring
//   dQ-writer    one thread adds what the computing groups leave in shared memory to dQ in global memory (TMA, f32)
//   two groups   64 keys each, in rows: what is computed first is turned, so that P^T and dS^T are in registers what
//                dV and dK take from the left. For each 64 queries
//                  S^T = K Q^T and dP^T = V dO^T start;  P^T = 2^(S^T c - LSE log2 e) while dP^T is in flight
//                  dV += P^T dO starts;  dS^T = P^T * (dP^T - D) while it is in flight, to shared memory too
//                  dK += dS^T Q starts
//                and for the tile, when both groups have left their dS^T:  dQ = scale dS K, a part each
//
// Before and after: D and LSE by query tiles, rows that do not count with LSE = inf and so P = 0; and dQ rounded.
#include "impls/attention/cuda/flash_attention_3_backward.h"
#include "impls/attention/cuda/gradient_rows.h"
#include "impls/attention/cuda/hopper_products.h"
#include "impls/attention/cuda/tiles.h"

namespace assay::attention::cuda {

// LSE log2 e and D of whole query tiles; a warp a row, four a block.
template <class Element, int kHeadDim>
ASSAY_DEVICE void backward_statistics_block(const BackwardProblem& problem) {
  using Tile = HopperBackwardTile<kHeadDim>;
  const int lane = thread_index() % kWarp;
  const int rows = Tile::tiles(problem.forward) * Tile::kRows;
  const std::int64_t row = row_of_warp();
  if (row >= Tile::statistics(problem.forward) / 2) return;
  const RowPlace at = place_of(problem.forward, row, rows);
  float lse = -kMinusInfinity;
  float dot = 0.0F;
  if (at.inside) {
    dot = row_dot<Element, kHeadDim>(problem, at, lane);
    const float own = load_global(
        problem.forward.lse +
        (static_cast<std::int64_t>(at.b) * problem.forward.heads + at.head) * problem.forward.mask.queries + at.row);
    if (own != kMinusInfinity) lse = own * 1.4426950408889634F;
  }
  if (lane == 0) {
    float* const to = problem.row_dots + row / Tile::kRows * 2 * Tile::kRows + row % Tile::kRows;
    store_global(to, lse);
    store_global(to + Tile::kRows, dot);
  }
}

// Rounds a part of dQ.
template <class Element, int kHeadDim>
ASSAY_DEVICE void round_part_block(const BackwardProblem& problem) {
  using Tile = HopperBackwardTile<kHeadDim>;
  const int thread = thread_index();
  const int lane = thread % kWarp;
  const std::int64_t part = block_x();
  const int tile = static_cast<int>(part / Tile::kGroups);
  const int group = static_cast<int>(part % Tile::kGroups);
  const int row0 = (Tile::kPanels == 2 ? group * Tile::kPanelRows : 0) + thread / kWarp * 16;
  const int first = Tile::kPanels == 2 ? 0 : group * Tile::kPartColumns;
  const float* const from = problem.d_q_sum + part * (Tile::kPartBytes / 4);
  const float scale = problem.forward.scale;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const RowPlace at = place_of(problem.forward,
                                 static_cast<std::int64_t>(tile) * Tile::kRows + row0 + accumulator_row(lane, half * 2),
                                 Tile::tiles(problem.forward) * Tile::kRows);
    if (!at.inside) continue;
    std::uint16_t* const to = problem.d_q.at(at.b, at.head, at.query) + first + accumulator_column(lane, 0);
#pragma unroll
    for (int j = 0; j < Tile::kPartColumns / 8; ++j) {
      const float* const pair = from + part_place(j, thread) / 4 + half * 2;
      store_global(reinterpret_cast<std::uint32_t*>(to + j * 8),
                   pack<Element>(load_global(pair) * scale, load_global(pair + 1) * scale));
    }
  }
}

// A block's keys, the query tiles that see them, and addresses in shared memory. The stream is Q, dO, Q, dO, ...
template <int kHeadDim>
struct HopperKeys : HopperRing<HopperBackwardTile<kHeadDim>> {
  using Tile = HopperBackwardTile<kHeadDim>;
  using HopperRing<Tile>::nth;
  using HopperRing<Tile>::base;
  int b, kv, group_heads;
  int first_key;
  int first_tile, tiles;  // of a head
  int packed;             // the sequence's number to the copy engine
  Sequence sequence;

  ASSAY_DEVICE int steps() const { return tiles * group_heads; }
  ASSAY_DEVICE int head(int t) const { return kv * group_heads + t / tiles; }
  ASSAY_DEVICE int tile(int t) const { return first_tile + t % tiles; }
  ASSAY_DEVICE int row(int t) const { return tile(t) * Tile::kRows; }

  ASSAY_DEVICE std::uint32_t keys() const { return base; }
  ASSAY_DEVICE std::uint32_t values() const { return base + Tile::kValuesAt; }
  // Of step t: used as long as its Q.
  ASSAY_DEVICE std::uint32_t statistics(int t) const {
    return nth(Tile::kStatisticsAt, t % (Tile::kSlots / 2), Tile::kStatisticsBytes);
  }
  // First query of step t; -1 ends. Read rather than computed: registers are short.
  ASSAY_DEVICE std::uint32_t row_word(int t) const { return nth(Tile::kRowsAt, t % (Tile::kSlots / 2), 4); }
  ASSAY_DEVICE std::uint32_t place_word(int i) const { return nth(Tile::kPlaceAt, i, 4); }
  ASSAY_DEVICE std::uint32_t scores(int t) const { return nth(Tile::kScoresAt, t % 2, Tile::kScoreBytes); }
  ASSAY_DEVICE std::uint32_t part(int group) const { return nth(Tile::kPartsAt, group, Tile::kPartBytes); }
  ASSAY_DEVICE std::uint32_t part_full(int group) const { return nth(Tile::kBarriersAt, 2 * Tile::kSlots + group, 8); }
  ASSAY_DEVICE std::uint32_t part_free(int group) const {
    return nth(Tile::kBarriersAt, 2 * Tile::kSlots + Tile::kGroups + group, 8);
  }
  ASSAY_DEVICE std::uint32_t keys_full() const { return nth(Tile::kBarriersAt, Tile::kPhaseBarriers - 1, 8); }
};

// The loader: one thread.
template <int kHeadDim>
ASSAY_DEVICE void load_queries(const HopperBackward& given, const HopperKeys<kHeadDim>& at) {
  using Tile = HopperBackwardTile<kHeadDim>;
  const int steps = at.steps();
  if (steps > 0) {
    arrive_expecting(at.keys_full(), 2 * Tile::kKeyBytes);
    load_box(at.keys(), given.k, at.sequence.first_key + at.first_key, at.kv, at.packed, at.keys_full());
    load_box(at.values(), given.v, at.sequence.first_key + at.first_key, at.kv, at.packed, at.keys_full());
  }
  for (int t = 0;; ++t) {
    const int q = 2 * t;
    wait_phase(at.free(q), at.parity(q) ^ 1U);
    store_shared(at.row_word(t), static_cast<std::uint32_t>(t < steps ? at.row(t) : -1));
    if (t == steps) {
      arrive(at.full(q));
      return;
    }
    const int head = at.head(t);
    const int row = at.sequence.first_query + at.row(t);
    arrive_expecting(at.full(q), Tile::kSlotBytes + Tile::kStatisticsBytes);
    load_box(at.slot(q), given.q, row, head, at.packed, at.full(q));
    load_line(
        at.statistics(t),
        given.problem.row_dots + (Tile::tiles_before(given.problem.forward, at.b, head) + at.tile(t)) * 2 * Tile::kRows,
        Tile::kStatisticsBytes, at.full(q));
    wait_phase(at.free(q + 1), at.parity(q + 1) ^ 1U);
    arrive_expecting(at.full(q + 1), Tile::kSlotBytes);
    load_box(at.slot(q + 1), given.d_o, row, head, at.packed, at.full(q + 1));
  }
}

// The dQ-writer: one thread.
template <int kHeadDim>
ASSAY_DEVICE void add_queries(const HopperBackward& given, const HopperKeys<kHeadDim>& at) {
  using Tile = HopperBackwardTile<kHeadDim>;
  const int steps = at.steps();
  for (int t = 0; t < steps; ++t) {
    float* const to =
        given.problem.d_q_sum +
        (Tile::tiles_before(given.problem.forward, at.b, at.head(t)) + at.tile(t)) * Tile::kRows * kHeadDim;
    for (int group = 0; group < Tile::kGroups; ++group) {
      wait_phase(at.part_full(group), static_cast<std::uint32_t>(t) & 1U);
      add_line(to + group * (Tile::kPartBytes / 4), at.part(group), Tile::kPartBytes);
    }
    wait_for_stores();
    for (int group = 0; group < Tile::kGroups; ++group) arrive(at.part_free(group));
  }
}

// Scores of a tile turned: keys in rows, from `first_key` on, queries in columns, from `first_row` on. P^T of keys that
// a query does not see become 0.
template <int kTiles>
ASSAY_DEVICE void mask_turned(float (&p)[1][kTiles][4], const Mask& mask, int first_row, int first_key, int lane) {
#pragma unroll
  for (int j = 0; j < kTiles; ++j) {
#pragma unroll
    for (int e = 0; e < 2; ++e) {
      const int visible = mask.visible(first_row + j * 8 + accumulator_column(lane, e)) - first_key;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        if (accumulator_row(lane, half * 2) >= visible) p[0][j][half * 2 + e] = 0.0F;
      }
    }
  }
}

// A computing group.
template <class Element, int kHeadDim>
ASSAY_DEVICE void compute_gradients(const HopperBackward& given, const HopperKeys<kHeadDim>& at, int group) {
  using Tile = HopperBackwardTile<kHeadDim>;
  constexpr int kOwn = kHeadDim / Tile::kColumnSplits;  // columns of dK and dV
  constexpr int kExchange = 1;                          // a named barrier of both groups
  constexpr int kBothGroups = Tile::kGroups * Tile::kGroupThreads;
  const int thread = thread_index() % Tile::kGroupThreads;
  const int lane = thread % kWarp;
  const int group_row = Tile::kColumnSplits == 1 ? group * 64 : 0;
  const int own_first = Tile::kColumnSplits == 1 ? 0 : group * kOwn;
  const int key_row = group_row + thread / kWarp * 16;
  const Mask& mask = at.sequence.mask;
  const BackwardProblem& problem = given.problem;
  const float c = problem.forward.scale * 1.4426950408889634F;
  // Where this group's rows of K and V begin, its columns of Q and dO, and of K for its part of dQ.
  const std::uint32_t own_rows = static_cast<std::uint32_t>(group_row) * kPanelRowBytes;
  const std::uint32_t own_columns = static_cast<std::uint32_t>(own_first / kPanelColumns) * Tile::kQueryPanelBytes;
  const std::uint32_t part_columns =
      Tile::kPanels == 2
          ? 0
          : static_cast<std::uint32_t>(group * Tile::kPartColumns / kPanelColumns) * Tile::kKeyPanelBytes;

  // Keys in rows, queries in columns.
  const auto start_scores = [](float(&scores)[1][8][4], std::uint32_t keys, std::uint32_t queries) {
    start_by_rows<Element, kHeadDim, Tile::kKeyPanelBytes, Tile::kQueryPanelBytes>(scores, keys, queries);
  };

  float d_k[1][kOwn / 8][4];
  float d_v[1][kOwn / 8][4];
  clear(d_k);
  clear(d_v);
  for (int t = 0;; ++t) {
    const int q = 2 * t;
    wait_phase(at.full(q), at.parity(q));
    const int row = static_cast<int>(load_shared_word(at.row_word(t)));
    if (row < 0) break;
    if (t == 0) wait_phase(at.keys_full(), 0);
    const std::uint32_t statistics = at.statistics(t);
    std::uint32_t ds_left[1][4][4] = {};
#pragma unroll
    for (int panel = 0; panel < Tile::kPanels; ++panel) {
      const std::uint32_t panel_row = static_cast<std::uint32_t>(panel * Tile::kPanelRows);
      float p[1][8][4];
      float ds[1][8][4];
      clear(p);
      clear(ds);
      start_scores(p, at.keys() + own_rows, at.slot(q) + panel_row * kPanelRowBytes);
      if (panel == 0) wait_phase(at.full(q + 1), at.parity(q + 1));
      start_scores(ds, at.values() + own_rows, at.slot(q + 1) + panel_row * kPanelRowBytes);
      product_wait<1>(p, ds_left);
#pragma unroll
      for (int j = 0; j < 8; ++j) {
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          const std::uint32_t query = panel_row + static_cast<std::uint32_t>(j * 8 + accumulator_column(lane, e));
          const float shift = -load_shared_float(statistics + query * 4);
#pragma unroll
          for (int half = 0; half < 2; ++half) {
            p[0][j][half * 2 + e] = power_of_two(fused(p[0][j][half * 2 + e], c, shift));
          }
        }
      }
      const int first_row = row + static_cast<int>(panel_row);
      if (mask.cuts(first_row, at.first_key + group_row, 64))
        mask_turned(p, mask, first_row, at.first_key + key_row, lane);
      std::uint32_t p_left[1][4][4];
      round_to_left<Element>(p_left, p);
      start_by_columns<Element, Tile::kQueryPanelBytes>(d_v, p_left,
                                                        at.slot(q + 1) + own_columns + panel_row * kPanelRowBytes);
      product_wait<1>(ds);
#pragma unroll
      for (int j = 0; j < 8; ++j) {
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          const std::uint32_t query = panel_row + static_cast<std::uint32_t>(j * 8 + accumulator_column(lane, e));
          const float dot = load_shared_float(statistics + (Tile::kRows + query) * 4);
#pragma unroll
          for (int half = 0; half < 2; ++half) {
            ds[0][j][half * 2 + e] = p[0][j][half * 2 + e] * (ds[0][j][half * 2 + e] - dot);
          }
        }
      }
      round_to_left<Element>(ds_left, ds);
#pragma unroll
      for (int j = 0; j < 8; ++j) {
        // Where both groups have the same scores, each stores half of them.
        if (Tile::kColumnSplits == 2 && j / 4 != group) continue;
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          store_shared(at.scores(t) + panel * Tile::kKeyPanelBytes +
                           swizzled<kPanelColumns>(key_row + accumulator_row(lane, half * 2), j) + lane % 4 * 4,
                       ds_left[0][j / 2][j % 2 * 2 + half]);
        }
      }
      start_by_columns<Element, Tile::kQueryPanelBytes>(d_k, ds_left,
                                                        at.slot(q) + own_columns + panel_row * kPanelRowBytes);
      product_wait<1>(p_left);
    }
    if (lane == 0) arrive(at.free(q + 1));

    // This group's part of dQ, from all keys of the block. The other buffer of dS was last read for the part before,
    // which both have behind them.
    fence_for_copies();
    named_barrier(kExchange, kBothGroups);
    const std::uint32_t scores = at.scores(t) + (Tile::kPanels == 2 ? group * Tile::kKeyPanelBytes : 0);
#pragma unroll
    for (int piece = 0; piece < Tile::kPartColumns / kPanelColumns; ++piece) {  // registers hold no more
      float d_q[1][kPanelColumns / 8][4];
      clear(d_q);
      product_fence(d_q);
#pragma unroll
      for (int k = 0; k < Tile::kKeys / 16; ++k) {
        const std::uint64_t left = operand_by_columns(scores + k * 16 * kPanelRowBytes, Tile::kKeyPanelBytes);
        const std::uint64_t right = operand_by_columns(
            at.keys() + part_columns + piece * Tile::kKeyPanelBytes + k * 16 * kPanelRowBytes, Tile::kKeyPanelBytes);
        if (k == 0) {
          multiply_turned<Element, false>(d_q, left, right);
        } else {
          multiply_turned<Element, true>(d_q, left, right);
        }
      }
      product_commit();
      if (piece == 0) {
        product_wait<1>(ds_left);
        if (lane == 0) arrive(at.free(q));
        wait_phase(at.part_free(group), (static_cast<std::uint32_t>(t) & 1U) ^ 1U);
      }
      product_wait<0>(d_q);
#pragma unroll
      for (int j = 0; j < kPanelColumns / 8; ++j)
        store_shared(at.part(group) + part_place(piece * kPanelColumns / 8 + j, thread), d_q[0][j]);
    }
    fence_for_copies();
    warp_barrier();
    if (lane == 0) arrive(at.part_full(group));
  }
  product_wait<0>(d_k, d_v);
  named_barrier(kExchange, kBothGroups);  // K and V have been read by both: dK and dV leave through their tiles
  const auto place = [&](int i) { return static_cast<int>(load_shared_word(at.place_word(i))); };
  store_gradient<Element, kHeadDim>(d_k, problem.forward.scale, at.keys(), key_row, own_first, problem.d_k, place(0),
                                    place(1), place(2), place(3), lane);
  store_gradient<Element, kHeadDim>(d_v, 1.0F, at.values(), key_row, own_first, problem.d_v, place(0), place(1),
                                    place(2), place(3), lane);
}

template <class Element, int kHeadDim>
ASSAY_DEVICE void flash_attention_3_backward_block(const HopperBackward& given) {
  using Tile = HopperBackwardTile<kHeadDim>;
  const ForwardProblem& p = given.problem.forward;
  HopperKeys<kHeadDim> at{};
  at.base = shared_base();
  at.b = block_z();
  at.kv = block_y();
  at.group_heads = p.heads / p.kv_heads;
  at.first_key = block_x() * Tile::kKeys;
  at.sequence = sequence_of(p.ragged, p.mask, at.b);
  at.packed = p.ragged.query_starts != nullptr ? 0 : at.b;
  const Mask& mask = at.sequence.mask;
  if (at.first_key >= mask.keys) return;  // a shorter sequence of a ragged batch
  at.first_tile = mask.first_row_that_sees(at.first_key) / Tile::kRows;
  at.tiles = larger_of(0, parts(mask.queries, Tile::kRows) - at.first_tile);

  if (thread_index() == 0) {
    at.start(Tile::kGroups);
    for (int group = 0; group < Tile::kGroups; ++group) {
      start_phase_barrier(at.part_full(group), 4);
      start_phase_barrier(at.part_free(group), 1);
    }
    start_phase_barrier(at.keys_full(), 1);
    publish_phase_barriers();
    store_shared(at.place_word(0), static_cast<std::uint32_t>(at.b));
    store_shared(at.place_word(1), static_cast<std::uint32_t>(at.kv));
    store_shared(at.place_word(2), static_cast<std::uint32_t>(at.sequence.first_key + at.first_key));
    store_shared(at.place_word(3), static_cast<std::uint32_t>(mask.keys - at.first_key));
  }
  barrier();
  const int warpgroup = warp_uniform(thread_index() / Tile::kGroupThreads);
  if (warpgroup == 0) {
    give_registers<Tile::kLoaderRegisters>();
    if (thread_index() == 0) load_queries(given, at);
    if (thread_index() == kWarp) add_queries(given, at);
  } else {
    take_registers<Tile::kComputeRegisters>();
    compute_gradients<Element>(given, at, warpgroup - 1);
  }
}

}  // namespace assay::attention::cuda
