#pragma once
// Flash-Decoding for one block of an sm_90a. What is computed is decode_kernel.h's; how the cache is brought and
// multiplied differs:
//
//   loader        a warp, for each tile of the stream K_0, V_0, K_1, V_1, ...: waits until its slot is free, then its
//                 lanes start the copies (TMA), each of one panel of keys that lie together: all of the tile's, or
//                 those of a page, whose number the lane reads from the block table
//   group g of 2  for tiles i = g, g + 2, ... of kKeys keys:  S = Q K_i^T;  P, m, l from S;  O = diag(alpha) O;
//                 O += P V_i        wgmma with Q and K_i from shared memory, P from registers
//   both          joined as the warps of decode_kernel.h are
//
// Nothing overlaps inside a group: the products take less than a quarter of the time in which their tiles come, and
// while one group has its softmax the other has its products. Keys beyond a sequence's last may be anything, NaN
// included, where there are pages or shorter sequences: their scores are replaced, and their rows of V are cleared
// before a product has them (0 NaN is NaN).
#include "impls/attention/cuda/decode_kernel.h"
#include "impls/attention/cuda/hopper_decode.h"
#include "impls/attention/cuda/hopper_products.h"

namespace assay::attention::cuda {

// The loader: a warp.
template <int kHeadDim>
ASSAY_DEVICE void load_cache(const HopperDecode& given, const DecodeWork& work,
                             const HopperRing<HopperDecodeTile<kHeadDim>>& ring, int lane) {
  using Tile = HopperDecodeTile<kHeadDim>;
  constexpr int kPanels = kHeadDim / kPanelColumns;
  const DecodeProblem& problem = given.problem;
  const int piece_keys = 1 << given.piece_shift;
  const auto load = [&](const TensorMap& map, int t, int key) {
    const int keys = smaller_of(Tile::kKeys, work.mask.keys - key);
    const int pieces = (keys + piece_keys - 1) >> given.piece_shift;
    wait_phase(ring.free(t), ring.parity(t) ^ 1U);
    if (lane == 0)
      arrive_expecting(ring.full(t), static_cast<std::uint32_t>(pieces * kPanels * piece_keys) * kPanelRowBytes);
#pragma unroll 1
    for (int i = lane; i < pieces * kPanels; i += kWarp) {
      const int first = i / kPanels << given.piece_shift;
      const int panel = i % kPanels;
      const KeyPlace at = key_place(problem, work.b, key + first);
      load_box(ring.slot(t) + static_cast<std::uint32_t>(panel) * Tile::kKeyPanelBytes +
                   static_cast<std::uint32_t>(first) * kPanelRowBytes,
               map, at.row, work.kv, at.b, ring.full(t), panel);
    }
  };
#pragma unroll 1
  for (int i = 0; i < work.rounds(); ++i) {
    load(given.k, 2 * i, work.key(i));
    load(given.v, 2 * i + 1, work.key(i));
  }
}

// Q of the block's rows, zeros in the others. By all threads that compute.
template <int kHeadDim>
ASSAY_DEVICE void store_queries(const DecodeProblem& problem, const DecodeWork& work, std::uint32_t to, int thread) {
  using Tile = HopperDecodeTile<kHeadDim>;
  constexpr int kChunks = kHeadDim / 8;
  constexpr int kThreads = Tile::kGroups * Tile::kGroupThreads;
#pragma unroll 4
  for (int i = 0; i < Tile::kRows * kChunks / kThreads; ++i) {
    const int row = (i * kThreads + thread) / kChunks;
    const int chunk = thread % kChunks;
    Words4 words{};
    if (row < work.rows)
      words = load_global(
          reinterpret_cast<const Words4*>(problem.q.at(work.b, work.head(row), work.query(row)) + chunk * 8));
    store_shared(
        to + static_cast<std::uint32_t>(chunk / 8) * Tile::kQueryPanelBytes + swizzled<kPanelColumns>(row, chunk % 8),
        words);
  }
}

// A computing group.
template <class Element, int kHeadDim>
ASSAY_DEVICE void attend_cache(const DecodeProblem& problem, const DecodeWork& work,
                               const HopperRing<HopperDecodeTile<kHeadDim>>& ring, int group) {
  using Tile = HopperDecodeTile<kHeadDim>;
  constexpr int kParts = kHeadDim == 256 ? 2 : 1;  // of O's columns: a product has 128 at most
  constexpr int kChunks = kHeadDim / 8;
  constexpr int kBoth = 1;  // named barriers: of both groups, then one of each group's own
  constexpr int kOwn = kBoth + 1;
  constexpr int kComputing = Tile::kGroups * Tile::kGroupThreads;
  const int computing = thread_index() - Tile::kGroupThreads;
  const int thread = computing % Tile::kGroupThreads;
  const int lane = thread % kWarp;
  const int warp = warp_uniform(thread / kWarp);
  const bool busy = warp * 16 < work.rows;  // the others multiply zeros, because a product is of four warps
  const float c = problem.scale * 1.4426950408889634F;
  const std::uint32_t query = ring.base;
  const auto release = [&](int t) {
    if (lane == 0) arrive(ring.free(t));
  };

  store_queries<kHeadDim>(problem, work, query, computing);
  fence_for_copies();
  named_barrier(kBoth, kComputing);

  float o[kParts][kChunks / kParts][4];
  clear(o);
  Softmax<1> softmax;
  softmax.start();
  float s[1][Tile::kKeys / 8][4];
  clear(s);
  std::uint32_t p[1][Tile::kKeys / 16][4] = {};
  for (int i = group; i < work.rounds(); i += Tile::kGroups) {
    const int t = 2 * i;
    const int key = work.key(i);
    wait_phase(ring.full(t), ring.parity(t));
    start_by_rows<Element, kHeadDim, Tile::kQueryPanelBytes, Tile::kKeyPanelBytes>(s, query, ring.slot(t));
    product_wait<0>(s);
    release(t);
    if (busy) {
      mask_packed(s, work, warp * 16, key, lane);
      float alpha[1][2];
      softmax.advance(s, alpha, c);
#pragma unroll
      for (int part = 0; part < kParts; ++part) scale_rows(o[part], alpha[0]);
      round_to_left<Element>(p, s);
    }
    wait_phase(ring.full(t + 1), ring.parity(t + 1));
    const int valid = work.mask.keys - key;
    if (valid < Tile::kKeys) {
      for (int at = valid * kChunks + thread; at < Tile::kKeys * kChunks; at += Tile::kGroupThreads) {
        const int row = at / kChunks;
        const int chunk = at % kChunks;
        store_shared(ring.slot(t + 1) + static_cast<std::uint32_t>(chunk / 8) * Tile::kKeyPanelBytes +
                         swizzled<kPanelColumns>(row, chunk % 8),
                     Words4{});
      }
      fence_for_copies();
      named_barrier(kOwn + group, Tile::kGroupThreads);
    }
    start_by_columns<Element, Tile::kKeyPanelBytes>(o, p, ring.slot(t + 1));
    product_wait<0>(o, p);
    release(t + 1);
  }

  named_barrier(kBoth, kComputing);  // the ring is done with: each group's partial O goes there
  const std::uint32_t partial = ring.base + Tile::kRingAt;
  const std::uint32_t states = ring.base + Tile::kStatesAt;
  if (busy)
    store_part<kHeadDim>(o, softmax, partial + static_cast<std::uint32_t>(group) * Tile::kPartBytes,
                         states + static_cast<std::uint32_t>(group) * Tile::kStateBytes, warp * 16, lane);
  named_barrier(kBoth, kComputing);
  join_parts<Element, kHeadDim, Tile::kGroups, kComputing / kWarp>(problem, work, partial, Tile::kPartBytes, states,
                                                                   Tile::kStateBytes, computing / kWarp, lane);
}

template <class Element, int kHeadDim>
ASSAY_DEVICE void hopper_decode_block(const HopperDecode& given) {
  using Tile = HopperDecodeTile<kHeadDim>;
  const HopperRing<Tile> ring{shared_base()};
  if (thread_index() == 0) {
    ring.start(1);
    publish_phase_barriers();
  }
  barrier();
  const DecodeWork work = decode_work<Tile>(given.problem);
  const int warpgroup = warp_uniform(thread_index() / Tile::kGroupThreads);
  if (warpgroup == 0) {
    give_registers<Tile::kLoaderRegisters>();
    if (thread_index() < kWarp) load_cache<kHeadDim>(given, work, ring, thread_index());
  } else {
    take_registers<Tile::kComputeRegisters>();
    attend_cache<Element, kHeadDim>(given.problem, work, ring, warpgroup - 1);
  }
}

}  // namespace assay::attention::cuda
