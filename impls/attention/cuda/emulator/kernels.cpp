#include "impls/attention/cuda/emulator/kernels.h"

#include <algorithm>
#include <utility>

#include "impls/attention/cuda/backward_kernel.h"
#include "impls/attention/cuda/decode_kernel.h"
#include "impls/attention/cuda/dispatch.h"
#include "impls/attention/cuda/emulator/hopper.h"
#include "impls/attention/cuda/flash_attention_1_kernel.h"
#include "impls/attention/cuda/flash_attention_3_backward_kernel.h"
#include "impls/attention/cuda/flash_attention_3_kernel.h"
#include "impls/attention/cuda/forward_kernel.h"
#include "impls/attention/cuda/hopper_decode_kernel.h"
#include "impls/attention/cuda/naive_kernel.h"

namespace assay::attention::cuda::emulator {
namespace {

// What two launches found together.
Findings both(Findings first, const Findings& second) {
  first.faults.insert(first.faults.end(), second.faults.begin(), second.faults.end());
  first.fault_count += second.fault_count;
  first.wavefronts += second.wavefronts;
  first.bank_conflicts += second.bank_conflicts;
  first.matrix_products += second.matrix_products;
  first.copied_bytes += second.copied_bytes;
  return first;
}

// The splits by `block`, and their merge.
template <class Tile, class Element, int kHeadDim>
Findings decode(const DecodeProblem& problem, std::vector<Region>& memory, std::uint64_t order,
                const std::function<void()>& block) {
  Findings found = run({problem.splits, parts(problem.packed_rows(), Tile::kRows), problem.batch * problem.kv_heads,
                        Tile::kThreads, Tile::kSharedBytes, order},
                       memory, block);
  if (problem.splits == 1) return found;
  return both(std::move(found), run({static_cast<int>((problem.rows() + 3) / 4), 1, 1, 4 * kWarp, 0, order}, memory,
                                    [&] { merge_block<Element, kHeadDim>(problem); }));
}

}  // namespace

Findings flash_attention_2_forward(const ForwardProblem& problem, int head_dim, ElementType element,
                                   std::vector<Region>& memory, std::uint64_t order) {
  return for_kernel(head_dim, element, [&]<class Element, int kHeadDim>() {
    using Tile = ForwardTile<kHeadDim>;
    return run({parts(problem.mask.queries, Tile::kRows), problem.heads, problem.batch, Tile::kThreads,
                Tile::kSharedBytes, order},
               memory, [&] { forward_block<Element, kHeadDim>(problem); });
  });
}

Findings flash_decoding(const DecodeProblem& problem, int head_dim, ElementType element, std::vector<Region>& memory,
                        std::uint64_t order) {
  return for_kernel(head_dim, element, [&]<class Element, int kHeadDim>() {
    return decode<DecodeTile<kHeadDim>, Element, kHeadDim>(problem, memory, order,
                                                           [&] { decode_block<Element, kHeadDim>(problem); });
  });
}

Findings hopper_decoding(const DecodeProblem& problem, int head_dim, ElementType element, std::vector<Region>& memory,
                         std::uint64_t order) {
  return for_kernel(head_dim, element, [&]<class Element, int kHeadDim>() {
    const HopperDecode given = hopper_decode<kHeadDim>(problem, encode_tiled);
    return decode<HopperDecodeTile<kHeadDim>, Element, kHeadDim>(
        problem, memory, order, [&] { hopper_decode_block<Element, kHeadDim>(given); });
  });
}

Findings flash_attention_2_backward(const BackwardProblem& problem, int head_dim, ElementType element,
                                    std::vector<Region>& memory, std::uint64_t order) {
  std::fill_n(problem.d_q_sum, problem.rows() * head_dim, 0.0F);
  return for_kernel(head_dim, element, [&]<class Element, int kHeadDim>() {
    using Tile = BackwardTile<kHeadDim>;
    const Launch by_rows{static_cast<int>((problem.rows() + 3) / 4), 1, 1, 4 * kWarp, 0, order};
    Findings found = run(by_rows, memory, [&] { row_dots_block<Element, kHeadDim>(problem); });
    found = both(std::move(found), run({parts(problem.forward.mask.keys, Tile::kKeys), problem.forward.kv_heads,
                                        problem.forward.batch, Tile::kThreads, Tile::kSharedBytes, order},
                                       memory, [&] { backward_block<Element, kHeadDim>(problem); }));
    return both(std::move(found), run(by_rows, memory, [&] { round_d_q_block<Element, kHeadDim>(problem); }));
  });
}

Findings flash_attention_2_backward_part(const BackwardProblem& problem, int head_dim, std::vector<Region>& memory,
                                         std::uint64_t order) {
  return for_head_dim(head_dim, [&]<int kHeadDim>() {
    using Tile = BackwardTile<kHeadDim>;
    return run({parts(problem.forward.mask.keys, Tile::kKeys), problem.forward.kv_heads, problem.forward.batch,
                Tile::kThreads, Tile::kSharedBytes, order},
               memory, [&] { backward_block<Bf16, kHeadDim, true>(problem); });
  });
}

Findings naive_attention(const NaiveProblem& problem, int head_dim, ElementType element, std::vector<Region>& memory,
                         std::uint64_t order) {
  return for_kernel(head_dim, element, [&]<class Element, int kHeadDim>() {
    using Tile = PlainTile<kHeadDim>;
    const ForwardProblem& p = problem.forward;
    const int query_tiles = parts(p.mask.queries, kPlainRows);
    Findings found = run({parts(p.mask.keys, kPlainRows), query_tiles, p.batch * p.heads, kPlainThreads,
                          Tile::kScoresSharedBytes, order},
                         memory, [&] { naive_scores_block<Element, kHeadDim>(problem); });
    found = both(std::move(found), run({static_cast<int>((problem.rows() + 3) / 4), 1, 1, kPlainThreads, 0, order},
                                       memory, [&] { naive_softmax_block<Element>(problem); }));
    return both(std::move(found),
                run({1, query_tiles, p.batch * p.heads, kPlainThreads, Tile::kOutputSharedBytes, order}, memory,
                    [&] { naive_output_block<Element, kHeadDim>(problem); }));
  });
}

Findings flash_attention_1(const FlashAttention1Problem& problem, int head_dim, ElementType element,
                           std::vector<Region>& memory, std::uint64_t order) {
  return for_kernel(head_dim, element, [&]<class Element, int kHeadDim>() {
    return run({1, problem.forward.heads, problem.forward.batch, kPlainThreads, PlainTile<kHeadDim>::kFlash1SharedBytes,
                order},
               memory, [&] { flash_attention_1_block<Element, kHeadDim>(problem); });
  });
}

Findings flash_attention_3_forward(const FlashAttention3Problem& problem, int head_dim, ElementType element,
                                   std::vector<Region>& memory, std::uint64_t order) {
  return for_kernel(head_dim, element, [&]<class Element, int kHeadDim>() {
    using Tile = HopperTile<kHeadDim>;
    const HopperForward forward = hopper_forward<kHeadDim>(problem, encode_tiled);
    *problem.taken = 0;
    return run({forward.schedule.blocks, 1, 1, Tile::kThreads, Tile::kSharedBytes, order}, memory,
               [&] { flash_attention_3_block<Element, kHeadDim>(forward); });
  });
}

Findings flash_attention_3_backward(const BackwardProblem& problem, int head_dim, ElementType element,
                                    std::vector<Region>& memory, std::uint64_t order) {
  return for_kernel(head_dim, element, [&]<class Element, int kHeadDim>() {
    using Tile = HopperBackwardTile<kHeadDim>;
    const ForwardProblem& p = problem.forward;
    const HopperBackward given = hopper_backward<kHeadDim>(problem, encode_tiled);
    std::fill_n(problem.d_q_sum, Tile::sums(p), 0.0F);
    Findings found = run({static_cast<int>(Tile::statistics(p) / 2 / 4), 1, 1, 4 * kWarp, 0, order}, memory,
                         [&] { backward_statistics_block<Element, kHeadDim>(problem); });
    found = both(std::move(found),
                 run({parts(p.mask.keys, Tile::kKeys), p.kv_heads, p.batch, Tile::kThreads, Tile::kSharedBytes, order},
                     memory, [&] { flash_attention_3_backward_block<Element, kHeadDim>(given); }));
    return both(std::move(found),
                run({static_cast<int>(Tile::tiles_before(p, p.batch, 0) * Tile::kGroups), 1, 1, 4 * kWarp, 0, order},
                    memory, [&] { round_part_block<Element, kHeadDim>(problem); }));
  });
}

}  // namespace assay::attention::cuda::emulator
