#include "impls/attention/cuda/cublas_softmax.h"
#include "impls/attention/cuda/launch.h"
#include "impls/attention/cuda/simt_device.h"

namespace assay::attention::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;

struct Part {  // of a row: its largest score and the sum of powers of two relative to it
  float top, sum;
};

__device__ Part joined(const Part& a, const Part& b) {
  const float top = fmaxf(a.top, b.top);
  if (top == -INFINITY) return {top, 0.0F};
  return {top, a.sum * power_of_two(a.top - top) + b.sum * power_of_two(b.top - top)};
}

// A block a row: long rows are what this is for.
template <class Element>
__global__ void __launch_bounds__(kThreads) composed_softmax_kernel(const __grid_constant__ SoftmaxProblem p) {
  __shared__ Part of_warp[kWarps];
  const float c = p.scale * 1.4426950408889634F;
  const int thread = static_cast<int>(threadIdx.x);
  for (std::int64_t row = blockIdx.x; row < p.rows; row += gridDim.x) {
    const int visible = p.mask.visible(static_cast<int>(row % p.mask.queries));
    const auto* const scores = reinterpret_cast<const float4*>(p.scores + row * p.pitch);
    Part part{-INFINITY, 0.0F};
    for (int at = thread; at * 4 < visible; at += kThreads) {
      const float4 four = scores[at];
      const float each[4] = {four.x, four.y, four.z, four.w};
      float top = part.top;
#pragma unroll
      for (int e = 0; e < 4; ++e)
        if (at * 4 + e < visible) top = fmaxf(top, each[e] * c);
      float sum = part.sum * power_of_two(part.top - top);
#pragma unroll
      for (int e = 0; e < 4; ++e)
        if (at * 4 + e < visible) sum += power_of_two(each[e] * c - top);
      part = {top, sum};
    }
#pragma unroll
    for (int mask = 16; mask > 0; mask /= 2)
      part = joined(part, {shuffle_xor(part.top, mask), shuffle_xor(part.sum, mask)});
    if (thread % 32 == 0) of_warp[thread / 32] = part;
    __syncthreads();
    part = of_warp[0];
#pragma unroll
    for (int w = 1; w < kWarps; ++w) part = joined(part, of_warp[w]);
    __syncthreads();  // before the next row writes

    const float share = part.sum > 0.0F ? 1.0F / part.sum : 0.0F;
    auto* const weights = reinterpret_cast<uint2*>(p.weights + row * p.pitch);
    for (int at = thread; at * 4 < p.pitch; at += kThreads) {
      uint2 both{0, 0};
      if (at * 4 < visible) {
        const float4 four = scores[at];
        const float each[4] = {four.x, four.y, four.z, four.w};
        float weight[4];
#pragma unroll
        for (int e = 0; e < 4; ++e)
          weight[e] = at * 4 + e < visible ? power_of_two(each[e] * c - part.top) * share : 0.0F;
        both = {pack<Element>(weight[0], weight[1]), pack<Element>(weight[2], weight[3])};
      }
      weights[at] = both;
    }
    if (thread == 0 && p.lse != nullptr)
      p.lse[row] = part.sum > 0.0F ? (part.top * 0.6931471805599453F) + logf(part.sum) : -INFINITY;
  }
}

}  // namespace

void composed_softmax(const SoftmaxProblem& problem, ElementType element, CUstream_st* stream) {
  const int blocks = static_cast<int>(problem.rows < 65536 ? problem.rows : 65536);
  if (element == ElementType::bf16) {
    launch(composed_softmax_kernel<Bf16>, Grid{blocks}, kThreads, 0, stream, problem);
  } else {
    launch(composed_softmax_kernel<Fp16>, Grid{blocks}, kThreads, 0, stream, problem);
  }
}

}  // namespace assay::attention::cuda
