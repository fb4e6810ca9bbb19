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

ASSAY_DEVICE const std::uint16_t* key_row(const DecodeProblem& problem, const Matrix& from, int b, int kv, int key) {
  if (problem.page_table == nullptr) return from.at(b, kv, key);
  const int page = load_global(problem.page_table + static_cast<std::int64_t>(b) * problem.pages_a_sequence +
                               (key >> problem.page_shift));
  return from.at(page, kv, key & ((1 << problem.page_shift) - 1));
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
  const int b = block_z() / problem.kv_heads;
  const int kv = block_z() % problem.kv_heads;
  const int group = problem.group();
  const int first_row = block_y() * Tile::kRows;
  const int rows = smaller_of(Tile::kRows, problem.packed_rows() - first_row);
  Mask mask = problem.mask;
  if (problem.lengths != nullptr) {
    mask.keys = load_global(problem.lengths + b);
    mask.diagonal = mask.keys - mask.queries;
  }
  const int first_query = first_row / group;
  const int visible = mask.visible((first_row + rows - 1) / group);
  const RoundRange range = split_range(parts(visible, Tile::kRound), problem.splits, block_x());
  const int rounds = range.end - range.first;

  const std::uint32_t q_tile = shared_base();
  const std::uint32_t ring = q_tile + Tile::kQueryBytes + warp * Tile::kRingBytes;
  const std::uint32_t states = q_tile + Tile::kQueryBytes + Tile::kWarps * Tile::kRingBytes;

#pragma unroll
  for (int i = 0; i < Tile::kRows * kChunks / Tile::kThreads; ++i) {
    const int at = i * Tile::kThreads + thread;
    const int row = at / kChunks;
    const int chunk = at % kChunks;
    const int packed = first_row + smaller_of(row, rows - 1);
    copy_async(q_tile + swizzled<kHeadDim>(row, chunk),
               problem.q.at(b, kv * group + packed % group, packed / group) + chunk * 8, row < rows);
  }

  const auto first_key = [&](int round) { return (range.first + round) * Tile::kRound + warp * Tile::kKeys; };
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
        const bool inside = key + row < mask.keys;
        const void* const line = inside ? key_row(problem, from, b, kv, key + row) + chunk * 8 : from.data;
        copy_async(slot(t) + swizzled<kHeadDim>(row, chunk), line, inside);
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
    const int key = first_key(j);
    if (mask.cuts(first_query, key, Tile::kKeys)) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int packed = first_row + accumulator_row(lane, half * 2);
        const int seen = mask.visible(packed / group) - key;
#pragma unroll
        for (int n = 0; n < Tile::kKeys / 8; ++n) {
#pragma unroll
          for (int e = 0; e < 2; ++e) {
            if (n * 8 + accumulator_column(lane, e) >= seen) s[0][n][half * 2 + e] = kMinusInfinity;
          }
        }
      }
    }
    softmax.step(s, o, c);
    std::uint32_t p[1][Tile::kKeys / 16][4];
    round_to_left<Element>(p, s);
    multiply_registers<Element, kHeadDim>(o, p, take(2 * j + 1), 0, lane);
  }
  copy_wait<0>();
  barrier();  // rings are free: each warp's becomes its partial O

#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = accumulator_row(lane, half * 2);
#pragma unroll
    for (int j = 0; j < kOutTiles; ++j) {
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        const int column = turned_column(row, j * 8 + accumulator_column(lane, e));
        store_shared(ring + static_cast<std::uint32_t>((row * kHeadDim + column) * 4), o[0][j][half * 2 + e]);
      }
    }
  }
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const float l = row_sum(softmax.l[0][half]);
    if (lane % 4 == 0) {
      const int row = accumulator_row(lane, half * 2);
      const std::uint32_t state = states + static_cast<std::uint32_t>((warp * Tile::kRows + row) * 8);
      store_shared(state, softmax.m[0][half]);
      store_shared(state + 4, l);
    }
  }
  barrier();

  for (int row = warp; row < rows; row += Tile::kWarps) {
    float m = kMinusInfinity;
    float weight[Tile::kWarps];
    float l = 0.0F;
#pragma unroll
    for (int w = 0; w < Tile::kWarps; ++w) {
      weight[w] = load_shared_float(states + static_cast<std::uint32_t>((w * Tile::kRows + row) * 8));
      m = larger(m, weight[w]);
    }
    const float safe = m == kMinusInfinity ? 0.0F : m;
#pragma unroll
    for (int w = 0; w < Tile::kWarps; ++w) {
      weight[w] = power_of_two((weight[w] - safe) * c);
      l += weight[w] * load_shared_float(states + static_cast<std::uint32_t>((w * Tile::kRows + row) * 8 + 4));
    }
    const float share = l > 0.0F ? 1.0F / l : 0.0F;
    const int packed = first_row + row;
    const int head = kv * group + packed % group;
    const int query = packed / group;
    const std::int64_t at = problem.row_of(b, head, query);
    const std::int64_t partial = block_x() * problem.rows() + at;
    const float lse = log_sum_exp(m, l, problem.scale);
    if (lane == 0 && problem.splits > 1) store_global(problem.partial_lse + partial, lse);
    if (lane == 0 && problem.splits == 1 && problem.lse != nullptr) store_global(problem.lse + at, lse);
#pragma unroll
    for (int i = 0; i < kHeadDim / kWarp; ++i) {
      const int column = i * kWarp + lane;
      const std::uint32_t from =
          q_tile + Tile::kQueryBytes + static_cast<std::uint32_t>((row * kHeadDim + turned_column(row, column)) * 4);
      float sum = 0.0F;
#pragma unroll
      for (int w = 0; w < Tile::kWarps; ++w) sum += weight[w] * load_shared_float(from + w * Tile::kRingBytes);
      sum *= share;
      if (problem.splits > 1) {
        store_global(problem.partial_o + partial * kHeadDim + column, sum);
      } else {
        store_global(problem.o.at(b, head, query) + column,
                     static_cast<std::uint16_t>(pack<Element>(sum, 0.0F) & 0xffffU));
      }
    }
  }
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
