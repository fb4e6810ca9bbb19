// The FlashAttention-3 backward kernels and their launch.
#include "impls/attention/cuda/flash_attention_3_backward_kernel.h"
#include "impls/attention/cuda/hopper_launch.h"

namespace assay::attention::cuda {
namespace {

// Before and after the gradients: four warps a block, nothing in dynamic shared memory.
struct FourWarps {
  using Given = BackwardProblem;
  static constexpr int kThreads = 4 * kWarp;
  static constexpr std::uint32_t kSharedBytes = 0;
};

template <class Element, int kHeadDim>
struct FlashAttention3Statistics : FourWarps {
  static ASSAY_DEVICE void run(const Given& given) { backward_statistics_block<Element, kHeadDim>(given); }
};

template <class Element, int kHeadDim>
struct FlashAttention3Backward : HopperBackwardTile<kHeadDim> {
  using Given = HopperBackward;
  static ASSAY_DEVICE void run(const Given& given) { flash_attention_3_backward_block<Element, kHeadDim>(given); }
};

template <class Element, int kHeadDim>
struct FlashAttention3Round : FourWarps {
  static ASSAY_DEVICE void run(const Given& given) { round_part_block<Element, kHeadDim>(given); }
};

}  // namespace

void flash_attention_3_backward(const BackwardProblem& problem, int head_dim, ElementType element,
                                CUstream_st* stream) {
  for_kernel(head_dim, element, [&]<class Element, int kHeadDim>() {
    using Tile = HopperBackwardTile<kHeadDim>;
    const ForwardProblem& p = problem.forward;
    const HopperBackward given = hopper_backward<kHeadDim>(problem, encode_by_driver);
    check(cudaMemsetAsync(problem.d_q_sum, 0, static_cast<std::size_t>(Tile::sums(p)) * sizeof(float), stream),
          "clearing dQ");
    launch_on_sm_90a<FlashAttention3Statistics<Element, kHeadDim>>(Grid{static_cast<int>(Tile::statistics(p) / 2 / 4)},
                                                                   problem, stream);
    launch_on_sm_90a<FlashAttention3Backward<Element, kHeadDim>>(
        Grid{parts(p.mask.keys, Tile::kKeys), p.kv_heads, p.batch}, given, stream);
    launch_on_sm_90a<FlashAttention3Round<Element, kHeadDim>>(
        Grid{static_cast<int>(Tile::tiles_before(p, p.batch, 0) * Tile::kGroups)}, problem, stream);
  });
}

}  // namespace assay::attention::cuda
