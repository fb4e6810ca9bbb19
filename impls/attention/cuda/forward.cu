// The forward kernels: one for each head size and element type, and their launch.
#include "impls/attention/cuda/forward_kernel.h"
#include "impls/attention/cuda/launch.h"

namespace assay::attention::cuda {
namespace {

template <class Element, int kHeadDim>
__global__ void __launch_bounds__(ForwardTile<kHeadDim>::kThreads)
    flash_attention_2_forward_kernel(const __grid_constant__ ForwardProblem problem) {
  forward_block<Element, kHeadDim>(problem);
}

}  // namespace

void flash_attention_2_forward(const ForwardProblem& problem, int head_dim, ElementType element, CUstream_st* stream) {
  for_kernel(head_dim, element, [&]<class Element, int kHeadDim>() {
    using Tile = ForwardTile<kHeadDim>;
    launch(flash_attention_2_forward_kernel<Element, kHeadDim>,
           Grid{parts(problem.mask.queries, Tile::kRows), problem.heads, problem.batch}, Tile::kThreads,
           Tile::kSharedBytes, stream, problem);
  });
}

}  // namespace assay::attention::cuda
