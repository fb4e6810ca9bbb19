#pragma once
// Flash-Decoding for one block of threads: its 16 packed rows against its range of keys; and the merge of ranges.
//
//   each warp, over every fourth block of 16 keys:  S = Q K_j^T;  P, m, l, O as in flash-attention-2;  O += P V_j
//   block: m = max_w m_w;  O = sum_w 2^((m_w - m) c) O_w / sum_w 2^((m_w - m) c) l_w;  LSE = m scale + ln sum_w ...
//   merge: L = ln sum_s e^(LSE_s);  O = sum_s e^(LSE_s - L) O_s                 exact, whatever the ranges are
//
// Why: one query a sequence leaves B Hkv blocks, fewer than a device has multiprocessors; and its time is that of
// reading the cache once, so all that matters is how many bytes are on their way (a ring a warp) and that the G heads
// of a group share each read.
#include "impls/attention/cuda/decode.h"
#include "impls/attention/cuda/tiles.h"

namespace assay::attention::cuda {

// Column of element `column` of row `row` of a partial O: turned so that an accumulator's store, eight rows of four
// columns, meets every bank once, as does a row's load.
ASSAY_HOST_DEVICE int turned_column(int row, int column) { return column ^ ((row & 3) * 8) ^ ((row >> 2) & 1); }

// Where a key of a sequence lies: row `row` of `b`, a sequence or a page of the pool.
struct KeyPlace {
  int b, row;
};
ASSAY_DEVICE KeyPlace key_place(const DecodeProblem& problem, int b, int key) {
  if (problem.page_table == nullptr) return {b, key};
  const int page = load_global(problem.page_table + static_cast<std::int64_t>(b) * problem.pages_a_sequence +
                               (key >> problem.page_shift));
  return {page, key & ((1 << problem.page_shift) - 1)};
}

// A block's share: packed rows [first_row, first_row + rows) of key head `kv` of sequence b, and rounds of `round`
// keys.
struct DecodeWork {
  int b, kv, group;
  int first_row, rows;
  Mask mask;  // of the sequence
  RoundRange range;
  int round;

  ASSAY_DEVICE int rounds() const { return range.end - range.first; }
  ASSAY_DEVICE int key(int i) const { return (range.first + i) * round; }  // the first of round i
  ASSAY_DEVICE int query(int row) const { return (first_row + row) / group; }
  ASSAY_DEVICE int head(int row) const { return kv * group + (first_row + row) % group; }
};
template <class Tile>
ASSAY_DEVICE DecodeWork decode_work(const DecodeProblem& problem) {
  DecodeWork work{};
  work.b = block_z() / problem.kv_heads;
  work.kv = block_z() % problem.kv_heads;
  work.group = problem.group();
  work.first_row = block_y() * Tile::kRows;
  work.rows = smaller_of(Tile::kRows, problem.packed_rows() - work.first_row);
  work.mask = problem.mask;
  if (problem.lengths != nullptr) {
    work.mask.keys = load_global(problem.lengths + work.b);
    work.mask.diagonal = work.mask.keys - work.mask.queries;
  }
  const int visible = work.mask.visible(work.query(work.rows - 1));
  work.range = split_range(parts(visible, Tile::kRound), problem.splits, block_x());
  work.round = Tile::kRound;
  return work;
}

// Scores of keys that a packed row does not see become -inf: rows of the block from `row` on, keys from `key` on.
template <int kTiles>
ASSAY_DEVICE void mask_packed(float (&s)[1][kTiles][4], const DecodeWork& work, int row, int key, int lane) {
  if (!work.mask.cuts(work.query(0), key, kTiles * 8)) return;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int seen = work.mask.visible(work.query(row + accumulator_row(lane, half * 2))) - key;
#pragma unroll
    for (int n = 0; n < kTiles; ++n) {
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        if (n * 8 + accumulator_column(lane, e) >= seen) s[0][n][half * 2 + e] = kMinusInfinity;
      }
    }
  }
}

// What one part of a block made of 16 of its rows, from `row` on: O at `part`, m and l at `states`. O's columns are in
// kPieces.
template <int kHeadDim, int kPieces, int kTiles>
ASSAY_DEVICE void store_part(const float (&o)[kPieces][kTiles][4], const Softmax<1>& softmax, std::uint32_t part,
                             std::uint32_t states, int first_row, int lane) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = first_row + accumulator_row(lane, half * 2);
#pragma unroll
    for (int j = 0; j < kPieces * kTiles; ++j) {
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        const int column = turned_column(row, j * 8 + accumulator_column(lane, e));
        store_shared(part + static_cast<std::uint32_t>((row * kHeadDim + column) * 4),
                     o[j / kTiles][j % kTiles][half * 2 + e]);
      }
    }
  }
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const float l = row_sum(softmax.l[0][half]);
    if (lane % 4 == 0) {
      const std::uint32_t state =
          states + static_cast<std::uint32_t>((first_row + accumulator_row(lane, half * 2)) * 8);
      store_shared(state, softmax.m[0][half]);
      store_shared(state + 4, l);
    }
  }
}

// kParts of them, so many bytes apart, joined and written: to O and LSE, or as this range's partial result. Warp `warp`
// of kWarps takes every kWarps-th row.
template <class Element, int kHeadDim, int kParts, int kWarps>
ASSAY_DEVICE void join_parts(const DecodeProblem& problem, const DecodeWork& work, std::uint32_t part,
                             std::uint32_t part_bytes, std::uint32_t states, std::uint32_t state_bytes, int warp,
                             int lane) {
  const float c = problem.scale * 1.4426950408889634F;
  for (int row = warp; row < work.rows; row += kWarps) {
    const std::uint32_t state = states + static_cast<std::uint32_t>(row * 8);
    float m = kMinusInfinity;
    float weight[kParts];
    float l = 0.0F;
#pragma unroll
    for (int w = 0; w < kParts; ++w) {
      weight[w] = load_shared_float(state + w * state_bytes);
      m = larger(m, weight[w]);
    }
    const float safe = m == kMinusInfinity ? 0.0F : m;
#pragma unroll
    for (int w = 0; w < kParts; ++w) {
      weight[w] = power_of_two((weight[w] - safe) * c);
      l += weight[w] * load_shared_float(state + w * state_bytes + 4);
    }
    const float share = l > 0.0F ? 1.0F / l : 0.0F;
    const int head = work.head(row);
    const int query = work.query(row);
    const std::int64_t at = problem.row_of(work.b, head, query);
    const std::int64_t partial = block_x() * problem.rows() + at;
    const float lse = log_sum_exp(m, l, problem.scale);
    if (lane == 0 && problem.splits > 1) store_global(problem.partial_lse + partial, lse);
    if (lane == 0 && problem.splits == 1 && problem.lse != nullptr) store_global(problem.lse + at, lse);
#pragma unroll
    for (int i = 0; i < kHeadDim / kWarp; ++i) {
      const int column = i * kWarp + lane;
      const std::uint32_t from = part + static_cast<std::uint32_t>((row * kHeadDim + turned_column(row, column)) * 4);
      float sum = 0.0F;
#pragma unroll
      for (int w = 0; w < kParts; ++w) sum += weight[w] * load_shared_float(from + w * part_bytes);
      sum *= share;
      if (problem.splits > 1) {
        store_global(problem.partial_o + partial * kHeadDim + column, sum);
      } else {
        store_global(problem.o.at(work.b, head, query) + column,
                     static_cast<std::uint16_t>(pack<Element>(sum, 0.0F) & 0xffffU));
      }
    }
  }
}

template <class Element, int kHeadDim>
ASSAY_DEVICE void decode_block(const DecodeProblem& problem) {
  using Tile = DecodeTile<kHeadDim>;
  constexpr int kSlots = Tile::kSlots;
  constexpr int kChunks = kHeadDim / 8;
  constexpr int kOutTiles = kHeadDim / 8;

  const int thread = thread_index();
  const int lane = thread % kWarp;
  const int warp = thread / kWarp;
  const DecodeWork work = decode_work<Tile>(problem);
  const int rounds = work.rounds();

  const std::uint32_t q_tile = shared_base();
  const std::uint32_t ring = q_tile + Tile::kQueryBytes + warp * Tile::kRingBytes;
  const std::uint32_t states = q_tile + Tile::kQueryBytes + Tile::kWarps * Tile::kRingBytes;

#pragma unroll
  for (int i = 0; i < Tile::kRows * kChunks / Tile::kThreads; ++i) {
    const int at = i * Tile::kThreads + thread;
    const int row = at / kChunks;
    const int chunk = at % kChunks;
    const int inside = smaller_of(row, work.rows - 1);
    copy_async(q_tile + swizzled<kHeadDim>(row, chunk),
               problem.q.at(work.b, work.head(inside), work.query(inside)) + chunk * 8, row < work.rows);
  }

  const auto first_key = [&](int round) { return work.key(round) + warp * Tile::kKeys; };
  const auto slot = [&](int t) { return ring + static_cast<std::uint32_t>(t % kSlots) * Tile::kSlotBytes; };
  const auto fetch = [&](int t) {
    if (t < 2 * rounds) {
      const Matrix& from = t % 2 == 0 ? problem.k : problem.v;
      const int key = first_key(t / 2);
#pragma unroll 4
      for (int i = 0; i < Tile::kKeys * kChunks / kWarp; ++i) {
        const int at = i * kWarp + lane;
        const int row = at / kChunks;
        const int chunk = at % kChunks;
        const bool inside = key + row < work.mask.keys;
        const auto line = [&] {
          const KeyPlace place = key_place(problem, work.b, key + row);
          return from.at(place.b, work.kv, place.row) + chunk * 8;
        };
        copy_async(slot(t) + swizzled<kHeadDim>(row, chunk), inside ? line() : from.data, inside);
      }
    }
    copy_commit();
  };
  const auto take = [&](int t) {
    copy_wait<kSlots - 2>();
    warp_barrier();
    fetch(t + kSlots - 1);
    return slot(t);
  };
  for (int t = 0; t < kSlots - 1; ++t) fetch(t);
  copy_wait<kSlots - 2>();  // Q came with the first group
  barrier();

  const float c = problem.scale * 1.4426950408889634F;
  float o[1][kOutTiles][4];
  clear(o);
  Softmax<1> softmax;
  softmax.start();
  for (int j = 0; j < rounds; ++j) {
    float s[1][Tile::kKeys / 8][4];
    clear(s);
    multiply_rows<Element, kHeadDim>(s, q_tile, 0, take(2 * j), 0, lane);
    mask_packed(s, work, 0, first_key(j), lane);
    softmax.step(s, o, c);
    std::uint32_t p[1][Tile::kKeys / 16][4];
    round_to_left<Element>(p, s);
    multiply_registers<Element, kHeadDim>(o, p, take(2 * j + 1), 0, lane);
  }
  copy_wait<0>();
  barrier();  // rings are free: each warp's becomes its partial O
  store_part<kHeadDim>(o, softmax, ring, states + static_cast<std::uint32_t>(warp) * Tile::kStateBytes, 0, lane);
  barrier();
  join_parts<Element, kHeadDim, Tile::kWarps, Tile::kWarps>(problem, work, q_tile + Tile::kQueryBytes, Tile::kRingBytes,
                                                            states, Tile::kStateBytes, warp, lane);
}

// Merges the splits of one row a warp; four warps a block.
template <class Element, int kHeadDim>
ASSAY_DEVICE void merge_block(const DecodeProblem& problem) {
  constexpr int kColumns = kHeadDim / kWarp;
  const int lane = thread_index() % kWarp;
  const std::int64_t row = row_of_warp();
  if (row >= problem.rows()) return;
  float m = kMinusInfinity;
  for (int s = 0; s < problem.splits; ++s) m = larger(m, load_global(problem.partial_lse + s * problem.rows() + row));
  const float safe = m == kMinusInfinity ? 0.0F : m;
  float sum[kColumns];
#pragma unroll
  for (int i = 0; i < kColumns; ++i) sum[i] = 0.0F;
  float l = 0.0F;
  for (int s = 0; s < problem.splits; ++s) {
    const std::int64_t at = s * problem.rows() + row;
    const float weight = power_of_two((load_global(problem.partial_lse + at) - safe) * 1.4426950408889634F);
    l += weight;
#pragma unroll
    for (int i = 0; i < kColumns; ++i)
      sum[i] += weight * load_global(problem.partial_o + at * kHeadDim + i * kWarp + lane);
  }
  const float share = l > 0.0F ? 1.0F / l : 0.0F;
  const auto [b, head, query] = query_row(row, problem.heads, problem.mask.queries);
  if (lane == 0 && problem.lse != nullptr) store_global(problem.lse + row, log_sum_exp(safe, l, 1.0F));
#pragma unroll
  for (int i = 0; i < kColumns; ++i) {
    store_global(problem.o.at(b, head, query) + i * kWarp + lane,
                 static_cast<std::uint16_t>(pack<Element>(sum[i] * share, 0.0F) & 0xffffU));
  }
}

}  // namespace assay::attention::cuda
