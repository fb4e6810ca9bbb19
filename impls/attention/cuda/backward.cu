// The backward kernels and their launch.
#include "impls/attention/cuda/backward_kernel.h"
#include "impls/attention/cuda/launch.h"

namespace assay::attention::cuda {
namespace {

template <class Element, int kHeadDim>
__global__ void __launch_bounds__(4 * kWarp) row_dots_kernel(const __grid_constant__ BackwardProblem problem) {
  row_dots_block<Element, kHeadDim>(problem);
}

template <class Element, int kHeadDim>
__global__ void __launch_bounds__(BackwardTile<kHeadDim>::kThreads, 1)
    flash_attention_2_backward_kernel(const __grid_constant__ BackwardProblem problem) {
  backward_block<Element, kHeadDim>(problem);
}

template <class Element, int kHeadDim>
__global__ void __launch_bounds__(BackwardTile<kHeadDim>::kThreads, 1)
    flash_attention_2_backward_part_kernel(const __grid_constant__ BackwardProblem problem) {
  backward_block<Element, kHeadDim, true>(problem);
}

template <class Element, int kHeadDim>
__global__ void __launch_bounds__(4 * kWarp) round_d_q_kernel(const __grid_constant__ BackwardProblem problem) {
  round_d_q_block<Element, kHeadDim>(problem);
}

}  // namespace

void flash_attention_2_backward(const BackwardProblem& problem, int head_dim, ElementType element,
                                CUstream_st* stream) {
  for_kernel(head_dim, element, [&]<class Element, int kHeadDim>() {
    using Tile = BackwardTile<kHeadDim>;
    const Grid by_rows{static_cast<int>((problem.rows() + 3) / 4)};
    check(cudaMemsetAsync(problem.d_q_sum, 0, static_cast<std::size_t>(problem.rows()) * kHeadDim * sizeof(float),
                          stream),
          "clearing dQ");
    launch(row_dots_kernel<Element, kHeadDim>, by_rows, 4 * kWarp, 0, stream, problem);
    launch(flash_attention_2_backward_kernel<Element, kHeadDim>,
           Grid{parts(problem.forward.mask.keys, Tile::kKeys), problem.forward.kv_heads, problem.forward.batch},
           Tile::kThreads, Tile::kSharedBytes, stream, problem);
    launch(round_d_q_kernel<Element, kHeadDim>, by_rows, 4 * kWarp, 0, stream, problem);
  });
}

void flash_attention_2_backward_part(const BackwardProblem& problem, int head_dim, CUstream_st* stream) {
  const auto with = [&]<int kHeadDim>() {
    using Tile = BackwardTile<kHeadDim>;
    launch(flash_attention_2_backward_part_kernel<Bf16, kHeadDim>,
           Grid{parts(problem.forward.mask.keys, Tile::kKeys), problem.forward.kv_heads, problem.forward.batch},
           Tile::kThreads, Tile::kSharedBytes, stream, problem);
  };
  for_head_dim(head_dim, with);
}

}  // namespace assay::attention::cuda
