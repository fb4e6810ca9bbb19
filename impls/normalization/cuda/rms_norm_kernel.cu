#include <stdexcept>

#include "harness/gpu/cuda_check.h"
#include "impls/normalization/cuda/rms_norm_kernel.h"
#include "impls/substrate/cuda/eight_elements.h"

namespace assay::normalization::cuda {
namespace {

using substrate::cuda::Bf16;
using substrate::cuda::Eight;
using substrate::cuda::Fp16;

template <class Element, int kVectors>
__global__ void __launch_bounds__(kMostThreads) rms_norm_kernel(const __grid_constant__ NormKernelProblem p) {
  const std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * blockDim.y + threadIdx.y;
  const bool live = row < p.tokens;  // all of a row's threads agree; the others only meet the barrier
  const auto vectors = static_cast<int>(p.hidden / kVector);
  const std::int64_t first = row * vectors;
  const auto thread = static_cast<int>(threadIdx.x);
  const auto step = static_cast<int>(blockDim.x);
  Eight<Element> h[kVectors];
  float squares = 0;
  if (live) {
    const auto* const x = static_cast<const uint4*>(p.x) + first;
#pragma unroll
    for (int v = 0; v < kVectors; ++v)
      if (const int at = thread + v * step; at < vectors) h[v].words = x[at];
    if (p.residual != nullptr) {
      const auto* const residual = static_cast<const uint4*>(p.residual) + first;
      auto* const sum = static_cast<uint4*>(p.sum) + first;
      Eight<Element> add[kVectors];
#pragma unroll
      for (int v = 0; v < kVectors; ++v)
        if (const int at = thread + v * step; at < vectors) add[v].words = residual[at];
#pragma unroll
      for (int v = 0; v < kVectors; ++v) {
        const int at = thread + v * step;
        if (at >= vectors) continue;
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          const float2 a = Element::wide(h[v].pairs[i]);
          const float2 b = Element::wide(add[v].pairs[i]);
          h[v].pairs[i] = Element::narrow(a.x + b.x, a.y + b.y);
        }
        sum[at] = h[v].words;
      }
    }
#pragma unroll
    for (int v = 0; v < kVectors; ++v) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {  // what lies beyond the row is zero
        const float2 a = Element::wide(h[v].pairs[i]);
        squares += a.x * a.x + a.y * a.y;
      }
    }
  }
#pragma unroll
  for (int lane = 16; lane > 0; lane /= 2) squares += __shfl_xor_sync(0xffffffffU, squares, lane);
  if (blockDim.x > 32) {  // one row a block, or several of more than a warp
    __shared__ float of_warp[kMostThreads / 32];
    const int warps = step / 32;
    const int base = static_cast<int>(threadIdx.y) * warps;
    if (thread % 32 == 0) of_warp[base + thread / 32] = squares;
    __syncthreads();
    squares = 0;
    for (int w = 0; w < warps; ++w) squares += of_warp[base + w];
  }
  if (!live) return;
  const float scale = p.scale * rsqrtf(squares / static_cast<float>(p.hidden) + p.epsilon);
  const auto written = static_cast<int>(p.written / kVector);
  const auto* const weight = static_cast<const uint4*>(p.weight);
  auto* const y = static_cast<uint4*>(p.y) + first;
#pragma unroll
  for (int v = 0; v < kVectors; ++v) {
    const int at = thread + v * step;
    if (at >= written) continue;
    Eight<Element> w;
    w.words = weight[at];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float2 a = Element::wide(h[v].pairs[i]);
      const float2 b = Element::wide(w.pairs[i]);
      w.pairs[i] = Element::narrow(a.x * scale * b.x, a.y * scale * b.y);
    }
    y[at] = w.words;
  }
}

template <class Element>
void launch(const NormKernelProblem& problem, CUstream_st* stream) {
  const NormGeometry g = norm_geometry(problem.hidden);
  const auto blocks = static_cast<unsigned>((problem.tokens + g.rows - 1) / g.rows);
  const dim3 threads(static_cast<unsigned>(g.threads), static_cast<unsigned>(g.rows));
  if (g.vectors == 1)
    rms_norm_kernel<Element, 1><<<blocks, threads, 0, stream>>>(problem);
  else if (g.vectors == 2)
    rms_norm_kernel<Element, 2><<<blocks, threads, 0, stream>>>(problem);
  else
    rms_norm_kernel<Element, 4><<<blocks, threads, 0, stream>>>(problem);
}

}  // namespace

void launch_rms_norm(const NormKernelProblem& problem, bool bf16, CUstream_st* stream) {
  if (problem.hidden % kVector != 0 || problem.hidden > kLongestRow)
    throw std::invalid_argument("a row is a multiple of 8 elements, at most 32768");
  if (problem.tokens == 0) return;
  if (bf16) {
    launch<Bf16>(problem, stream);
  } else {
    launch<Fp16>(problem, stream);
  }
  harness::gpu::check_launch("launching RMSNorm");
}

}  // namespace assay::normalization::cuda
