// The kernels of naive attention and FlashAttention-1, and their launch.
#include "impls/attention/cuda/flash_attention_1_kernel.h"
#include "impls/attention/cuda/launch.h"
#include "impls/attention/cuda/naive_kernel.h"

namespace assay::attention::cuda {
namespace {

template <class Element, int kHeadDim>
__global__ void __launch_bounds__(kPlainThreads) naive_scores_kernel(const __grid_constant__ NaiveProblem problem) {
  naive_scores_block<Element, kHeadDim>(problem);
}

template <class Element>
__global__ void __launch_bounds__(kPlainThreads) naive_softmax_kernel(const __grid_constant__ NaiveProblem problem) {
  naive_softmax_block<Element>(problem);
}

template <class Element, int kHeadDim>
__global__ void __launch_bounds__(kPlainThreads) naive_output_kernel(const __grid_constant__ NaiveProblem problem) {
  naive_output_block<Element, kHeadDim>(problem);
}

template <class Element, int kHeadDim>
__global__ void __launch_bounds__(kPlainThreads, 1)
    flash_attention_1_kernel(const __grid_constant__ FlashAttention1Problem problem) {
  flash_attention_1_block<Element, kHeadDim>(problem);
}

}  // namespace

void naive_attention(const NaiveProblem& problem, int head_dim, ElementType element, CUstream_st* stream) {
  for_kernel(head_dim, element, [&]<class Element, int kHeadDim>() {
    const ForwardProblem& p = problem.forward;
    const int query_tiles = parts(p.mask.queries, kPlainRows);
    launch(naive_scores_kernel<Element, kHeadDim>, Grid{parts(p.mask.keys, kPlainRows), query_tiles, p.batch * p.heads},
           kPlainThreads, PlainTile<kHeadDim>::kScoresSharedBytes, stream, problem);
    launch(naive_softmax_kernel<Element>, Grid{static_cast<int>((problem.rows() + 3) / 4)}, kPlainThreads, 0, stream,
           problem);
    launch(naive_output_kernel<Element, kHeadDim>, Grid{1, query_tiles, p.batch * p.heads}, kPlainThreads,
           PlainTile<kHeadDim>::kOutputSharedBytes, stream, problem);
  });
}

void flash_attention_1(const FlashAttention1Problem& problem, int head_dim, ElementType element, CUstream_st* stream) {
  for_kernel(head_dim, element, [&]<class Element, int kHeadDim>() {
    launch(flash_attention_1_kernel<Element, kHeadDim>, Grid{1, problem.forward.heads, problem.forward.batch},
           kPlainThreads, PlainTile<kHeadDim>::kFlash1SharedBytes, stream, problem);
  });
}

}  // namespace assay::attention::cuda
