// The decode kernels and their launch.
#include "impls/attention/cuda/decode_kernel.h"
#include "impls/attention/cuda/launch.h"

namespace assay::attention::cuda {
namespace {

template <class Element, int kHeadDim>
__global__ void __launch_bounds__(DecodeTile<kHeadDim>::kThreads, 1)
    flash_decoding_kernel(const __grid_constant__ DecodeProblem problem) {
  decode_block<Element, kHeadDim>(problem);
}

template <class Element, int kHeadDim>
__global__ void __launch_bounds__(4 * kWarp) merge_splits_kernel(const __grid_constant__ DecodeProblem problem) {
  merge_block<Element, kHeadDim>(problem);
}

}  // namespace

void flash_decoding(const DecodeProblem& problem, int head_dim, ElementType element, CUstream_st* stream) {
  for_kernel(head_dim, element, [&]<class Element, int kHeadDim>() {
    using Tile = DecodeTile<kHeadDim>;
    launch(flash_decoding_kernel<Element, kHeadDim>,
           Grid{problem.splits, parts(problem.packed_rows(), Tile::kRows), problem.batch * problem.kv_heads},
           Tile::kThreads, Tile::kSharedBytes, stream, problem);
  });
  merge_splits(problem, head_dim, element, stream);
}

void merge_splits(const DecodeProblem& problem, int head_dim, ElementType element, CUstream_st* stream) {
  if (problem.splits == 1) return;
  for_kernel(head_dim, element, [&]<class Element, int kHeadDim>() {
    launch(merge_splits_kernel<Element, kHeadDim>, Grid{static_cast<int>((problem.rows() + 3) / 4)}, 4 * kWarp, 0,
           stream, problem);
  });
}

}  // namespace assay::attention::cuda
