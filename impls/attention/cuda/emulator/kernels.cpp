#include "impls/attention/cuda/emulator/kernels.h"

#include <stdexcept>

#include "impls/attention/cuda/decode_kernel.h"
#include "impls/attention/cuda/forward_kernel.h"

namespace assay::attention::cuda::emulator {
namespace {

template <class Body>
Findings for_kernel(int head_dim, ElementType element, const Body& body) {
  const auto with_element = [&]<int kHeadDim>() {
    return element == ElementType::bf16 ? body.template operator()<Bf16, kHeadDim>()
                                        : body.template operator()<Fp16, kHeadDim>();
  };
  switch (head_dim) {
    case 64:
      return with_element.template operator()<64>();
    case 128:
      return with_element.template operator()<128>();
    case 256:
      return with_element.template operator()<256>();
    default:
      throw std::invalid_argument("no kernel for this head size");
  }
}

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
    using Tile = DecodeTile<kHeadDim>;
    Findings found = run({problem.splits, parts(problem.packed_rows(), Tile::kRows), problem.batch * problem.kv_heads,
                          Tile::kThreads, Tile::kSharedBytes, order},
                         memory, [&] { decode_block<Element, kHeadDim>(problem); });
    if (problem.splits == 1) return found;
    return both(std::move(found), run({static_cast<int>((problem.rows() + 3) / 4), 1, 1, 4 * kWarp, 0, order}, memory,
                                      [&] { merge_block<Element, kHeadDim>(problem); }));
  });
}

}  // namespace assay::attention::cuda::emulator
