#pragma once
// FlashAttention-3, forward in 16 bits (arXiv 2407.08608, Algorithms 1 and 2), for one block of an sm_90a. What is
// computed is FlashAttention-2's; how it overlaps is the technique:
//
//   warp specialisation   one warpgroup does nothing but start copies (TMA); two others compute, 64 queries each. Phase
//                         barriers pass tiles to and fro, setmaxnreg gives the computing groups the loader's registers.
//                         The loader also takes the query tiles from a counter and runs ahead into the next one
//   ping-pong             the groups take turns at the tensor cores: while one has its softmax, the other has its two
//                         products
//   inside a group        S of the next key block is started before O += P V of this one, so the softmax that follows
//                         runs while the tensor cores still work at O
//
//   a computing group, for its 64 queries of a tile, key blocks from the last (the one that is masked) to the first:
//     S = Q K_last^T;  P, m, l from S
//     for each block j before:
//       turn {  S = Q K_j^T starts;  O = diag(alpha) O;  O += P V_{j+1} starts  }
//       S waited for;  m, l, alpha and the next P from S
//       O waited for
//     O = diag(alpha) O;  O += P V_first;  O = O / l;  LSE = m scale + ln l
//
// One stream of tiles passes through the ring in the order in which they are used: K_last, K_j, V_{j+1}, ..., V_first.
#include "impls/attention/cuda/flash_attention_3.h"
#include "impls/attention/cuda/hopper_products.h"
#include "impls/attention/cuda/tiles.h"

namespace assay::attention::cuda {

// Addresses in the block's shared memory.
template <int kHeadDim>
struct HopperShared : HopperRing<HopperTile<kHeadDim>> {
  using Tile = HopperTile<kHeadDim>;
  using HopperRing<Tile>::nth;

  ASSAY_DEVICE std::uint32_t query(int group) const { return nth(0, group, Tile::kQueryBytes); }
  ASSAY_DEVICE std::uint32_t output(int group) const { return nth(Tile::kOutputAt, group, Tile::kQueryBytes); }
  ASSAY_DEVICE std::uint32_t query_full(int group) const { return nth(Tile::kBarriersAt, 2 * Tile::kSlots + group, 8); }
  ASSAY_DEVICE std::uint32_t item(int group) const { return nth(Tile::kItemsAt, group, 4); }
  ASSAY_DEVICE std::uint32_t query_free(int group) const {
    return nth(Tile::kBarriersAt, 2 * Tile::kSlots + Tile::kGroups + group, 8);
  }
};

// An item of the schedule.
struct HopperItem {
  int b, h, kv;
  int first;   // query of the sequence
  int blocks;  // of keys
  Sequence sequence;
  int packed;  // the sequence's number to the copy engine

  // A ragged batch has tiles for the longest sequence of it.
  ASSAY_DEVICE bool exists() const { return first < sequence.mask.queries; }
};
template <int kHeadDim>
ASSAY_DEVICE HopperItem item_at(const HopperForward& problem, int index) {
  using Tile = HopperTile<kHeadDim>;
  const ForwardProblem& p = problem.forward;
  const Schedule::Item at = problem.schedule.at(index);
  HopperItem item{};
  item.b = at.head / p.heads;
  item.h = at.head % p.heads;
  item.kv = item.h / (p.heads / p.kv_heads);
  item.first = at.tile * Tile::kRows;
  item.sequence = sequence_of(p.ragged, p.mask, item.b);
  item.blocks = item.sequence.mask.key_blocks(item.first, Tile::kRows, Tile::kKeys);
  item.packed = p.ragged.query_starts != nullptr ? 0 : item.b;
  return item;
}

// The loader: one thread. A group learns which item it is at with the item's Q; -1 ends.
template <int kHeadDim>
ASSAY_DEVICE void load_stream(const HopperForward& problem, const HopperShared<kHeadDim>& at) {
  using Tile = HopperTile<kHeadDim>;
  const Schedule& schedule = problem.schedule;
  int t = 0;
  int index = block_x();
  for (int round = 0;; ++round) {
    const auto tell = [&](int group, int what) {
      wait_phase(at.query_free(group), (static_cast<std::uint32_t>(round) & 1U) ^ 1U);
      store_shared(at.item(group), static_cast<std::uint32_t>(what));
    };
    HopperItem item{};
    for (; index < schedule.items(); index = schedule.blocks + count_global(problem.taken)) {
      item = item_at<kHeadDim>(problem, index);
      if (item.exists()) break;
    }
    if (index >= schedule.items()) {
      for (int group = 0; group < Tile::kGroups; ++group) {
        tell(group, -1);
        arrive(at.query_full(group));
      }
      return;
    }
    const auto load = [&](const TensorMap& map, int block) {
      wait_phase(at.free(t), at.parity(t) ^ 1U);
      arrive_expecting(at.full(t), Tile::kSlotBytes);
      load_box(at.slot(t), map, item.sequence.first_key + block * Tile::kKeys, item.kv, item.packed, at.full(t));
      ++t;
    };
    if (item.blocks > 0) load(problem.k, item.blocks - 1);
    for (int group = 0; group < Tile::kGroups; ++group) {
      tell(group, index);
      arrive_expecting(at.query_full(group), Tile::kQueryBytes);
      load_box(at.query(group), problem.q, item.sequence.first_query + item.first + group * Tile::kGroupRows, item.h,
               item.packed, at.query_full(group));
    }
    for (int j = item.blocks - 2; j >= 0; --j) {
      load(problem.k, j);
      load(problem.v, j + 1);
    }
    if (item.blocks > 0) load(problem.v, 0);
    index = schedule.blocks + count_global(problem.taken);
  }
}

// A computing group.
template <class Element, int kHeadDim>
ASSAY_DEVICE void compute_tiles(const HopperForward& problem, const HopperShared<kHeadDim>& at, int group) {
  using Tile = HopperTile<kHeadDim>;
  constexpr int kParts = kHeadDim == 256 ? 2 : 1;  // of O's columns: a product has 128 at most
  constexpr int kPartTiles = kHeadDim / 8 / kParts;
  constexpr int kTurn = 1;  // named barriers: a turn for each group, then one of each group's own
  constexpr int kOwn = kTurn + Tile::kGroups;
  const int thread = thread_index() % Tile::kGroupThreads;
  const int lane = thread % kWarp;
  const int warp_row = thread / kWarp * 16;
  const float c = problem.forward.scale * 1.4426950408889634F;

  const auto my_turn = [&] { named_barrier(kTurn + group, Tile::kThreads - Tile::kGroupThreads); };
  const auto next_turn = [&] { named_arrive(kTurn + 1 - group, Tile::kThreads - Tile::kGroupThreads); };
  const auto release = [&](int tile) {
    if (lane == 0) arrive(at.free(tile));
  };

  int t = 0;
  if (group == 1) next_turn();  // group 0 begins
  for (int round = 0;; ++round) {
    wait_phase(at.query_full(group), static_cast<std::uint32_t>(round) & 1U);
    const int index = static_cast<int>(load_shared_word(at.item(group)));
    if (index < 0) break;
    const HopperItem item = item_at<kHeadDim>(problem, index);
    const Mask& mask = item.sequence.mask;
    const int first = item.first + group * Tile::kGroupRows;
    const int blocks = item.blocks;

    float o[kParts][kPartTiles][4];
    clear(o);
    Softmax<1> softmax;
    softmax.start();
    float s[1][Tile::kKeys / 8][4];
    clear(s);
    float alpha[1][2] = {{1.0F, 1.0F}};
    std::uint32_t p[1][Tile::kKeys / 16][4] = {};
    const auto rescale = [&] {
#pragma unroll
      for (int part = 0; part < kParts; ++part) scale_rows(o[part], alpha[0]);
    };
    // S = Q K^T, O += P V.
    const auto start_scores = [&](std::uint32_t keys) {
      start_by_rows<Element, kHeadDim, Tile::kQueryPanelBytes, Tile::kKeyPanelBytes>(s, at.query(group), keys);
    };
    const auto start_output = [&](std::uint32_t values) {
      start_by_columns<Element, Tile::kKeyPanelBytes>(o, p, values);
    };
    // P, m, l and alpha from S of block j.
    const auto weigh = [&](int j) {
      if (mask.cuts(first, j * Tile::kKeys, Tile::kKeys)) mask_scores(s, mask, first + warp_row, j * Tile::kKeys, lane);
      softmax.advance(s, alpha, c);
    };

    if (blocks > 0) {
      wait_phase(at.full(t), at.parity(t));
      my_turn();
      start_scores(at.slot(t));
      next_turn();
      product_wait<0>(s);
      release(t++);
      weigh(blocks - 1);
      // O += P V of the block before, while whose softmax it was in flight. Called behind a wait for a tile, whose loop
      // ptxas moves no wait for products across: in one run of instructions with the softmax it would come first.
      const auto finish_output = [&](bool started) {
        product_wait<0>(o, p);
        if (started) release(t - 1);
        round_to_left<Element>(p, s);
      };
      for (int j = blocks - 2; j >= 0; --j) {
        wait_phase(at.full(t), at.parity(t));
        finish_output(j < blocks - 2);
        my_turn();
        start_scores(at.slot(t));
        rescale();
        wait_phase(at.full(t + 1), at.parity(t + 1));
        start_output(at.slot(t + 1));
        next_turn();
        product_wait<1>(s);
        release(t);
        t += 2;
        weigh(j);
      }
      wait_phase(at.full(t), at.parity(t));
      finish_output(blocks > 1);
      rescale();
      start_output(at.slot(t));
      product_wait<0>(o, p);
      release(t++);
    }

    // Read again rather than held in registers through the loop.
    const HopperItem done = item_at<kHeadDim>(problem, static_cast<int>(load_shared_word(at.item(group))));
    if (thread == 0) wait_for_stores();
    named_barrier(kOwn + group, Tile::kGroupThreads);  // all have read Q, and the O before has left
    if (Tile::kOwnOutput && thread == 0) arrive(at.query_free(group));
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = warp_row + accumulator_row(lane, half * 2);
      const float l = row_sum(softmax.l[0][half]);
      const float share = l > 0.0F ? 1.0F / l : 0.0F;
      if (problem.forward.lse != nullptr && lane % 4 == 0 && first + row < done.sequence.mask.queries) {
        const std::int64_t lse_row = static_cast<std::int64_t>(done.b) * problem.forward.heads + done.h;
        store_global(problem.forward.lse + lse_row * problem.forward.mask.queries + first + row,
                     log_sum_exp(softmax.m[0][half], l, problem.forward.scale));
      }
#pragma unroll
      for (int part = 0; part < kParts; ++part) {
#pragma unroll
        for (int j = 0; j < kPartTiles; ++j) {
          const int chunk = part * kPartTiles + j;
          store_shared(at.output(group) + chunk / 8 * Tile::kQueryPanelBytes + swizzled<kPanelColumns>(row, chunk % 8) +
                           lane % 4 * 4,
                       pack<Element>(o[part][j][half * 2] * share, o[part][j][half * 2 + 1] * share));
        }
      }
    }
    fence_for_copies();
    named_barrier(kOwn + group, Tile::kGroupThreads);
    if (problem.forward.ragged.query_starts == nullptr || first + Tile::kGroupRows <= done.sequence.mask.queries) {
      if (thread == 0) store_box(problem.o, at.output(group), done.sequence.first_query + first, done.h, done.packed);
    } else {
      // A box would go on into the next sequence.
      constexpr int kChunks = kHeadDim / 8;
      for (int i = thread; i < (done.sequence.mask.queries - first) * kChunks; i += Tile::kGroupThreads) {
        const int row = i / kChunks;
        const int chunk = i % kChunks;
        std::uint16_t* const to = problem.forward.o.at(0, done.h, done.sequence.first_query + first + row) + chunk * 8;
        store_global(reinterpret_cast<Words4*>(to),
                     load_shared_words(at.output(group) + chunk / 8 * Tile::kQueryPanelBytes +
                                       swizzled<kPanelColumns>(row, chunk % 8)));
      }
      named_barrier(kOwn + group, Tile::kGroupThreads);  // Q may take the place of O
    }
    if (!Tile::kOwnOutput && thread == 0) {
      wait_for_stores();
      arrive(at.query_free(group));
    }
  }
  if (group == 0) my_turn();  // the last turn that group 1 gave
  if (thread == 0) wait_for_stores();
}

template <class Element, int kHeadDim>
ASSAY_DEVICE void flash_attention_3_block(const HopperForward& problem) {
  using Tile = HopperTile<kHeadDim>;
  const HopperShared<kHeadDim> at{{shared_base()}};
  if (thread_index() == 0) {
    at.start(Tile::kGroups);
    for (int group = 0; group < Tile::kGroups; ++group) {
      start_phase_barrier(at.query_full(group), 1);
      start_phase_barrier(at.query_free(group), 1);
    }
    publish_phase_barriers();
  }
  barrier();
  const int warpgroup = warp_uniform(thread_index() / Tile::kGroupThreads);
  if (warpgroup == 0) {
    give_registers<Tile::kLoaderRegisters>();
    if (thread_index() == 0) load_stream(problem, at);
  } else {
    take_registers<Tile::kComputeRegisters>();
    compute_tiles<Element>(problem, at, warpgroup - 1);
  }
}

}  // namespace assay::attention::cuda
