// The FlashAttention-3 backward kernels and their launch. Machine code of sm_90a alone, as flash_attention_3.cu.
#include "impls/attention/cuda/encode_tensor.h"
#include "impls/attention/cuda/flash_attention_3_backward_kernel.h"
#include "impls/attention/cuda/launch.h"

namespace assay::attention::cuda {
namespace {

template <class Element, int kHeadDim>
__global__ void __launch_bounds__(4 * kWarp)
    flash_attention_3_statistics_kernel(const __grid_constant__ BackwardProblem problem) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  backward_statistics_block<Element, kHeadDim>(problem);
#endif
}

template <class Element, int kHeadDim>
__global__ void __launch_bounds__(HopperBackwardTile<kHeadDim>::kThreads, 1)
    flash_attention_3_backward_kernel(const __grid_constant__ HopperBackward given) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  flash_attention_3_backward_block<Element, kHeadDim>(given);
#endif
}

template <class Element, int kHeadDim>
__global__ void __launch_bounds__(4 * kWarp)
    flash_attention_3_round_kernel(const __grid_constant__ BackwardProblem problem) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  round_part_block<Element, kHeadDim>(problem);
#endif
}

}  // namespace

void flash_attention_3_backward(const BackwardProblem& problem, int head_dim, ElementType element,
                                CUstream_st* stream) {
  for_kernel(head_dim, element, [&]<class Element, int kHeadDim>() {
    using Tile = HopperBackwardTile<kHeadDim>;
    const ForwardProblem& p = problem.forward;
    const HopperBackward given = hopper_backward<kHeadDim>(problem, encode_by_driver);
    check(cudaMemsetAsync(problem.d_q_sum, 0, static_cast<std::size_t>(Tile::sums(p)) * sizeof(float), stream),
          "clearing dQ");
    launch(flash_attention_3_statistics_kernel<Element, kHeadDim>, Grid{static_cast<int>(Tile::statistics(p) / 2 / 4)},
           4 * kWarp, 0, stream, problem);
    launch(flash_attention_3_backward_kernel<Element, kHeadDim>,
           Grid{parts(p.mask.keys, Tile::kKeys), p.kv_heads, p.batch}, Tile::kThreads, Tile::kSharedBytes, stream,
           given);
    launch(flash_attention_3_round_kernel<Element, kHeadDim>,
           Grid{static_cast<int>(Tile::tiles_before(p, p.batch, 0) * Tile::kGroups)}, 4 * kWarp, 0, stream, problem);
  });
}

}  // namespace assay::attention::cuda
