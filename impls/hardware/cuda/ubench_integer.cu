// Rates and latencies of the fused integer operations of dynamic programming (DPX): one instruction on sm_90, several
// before.
#include <cuda_runtime.h>

#include <stdexcept>

#include "harness/gpu/cuda_check.h"
#include "impls/hardware/cuda/ubench_kernels.h"

namespace assay::hardware::cuda {
namespace {

__device__ std::uint32_t clock_now() {
  std::uint32_t now = 0;
  asm volatile("mov.u32 %0, %%clock;" : "=r"(now)::"memory");
  return now;
}

template <Dpx kWhat>
__device__ std::uint32_t step(std::uint32_t x, std::uint32_t a, std::uint32_t b) {
  if constexpr (kWhat == Dpx::addmax_s32)
    return static_cast<std::uint32_t>(__viaddmax_s32(static_cast<int>(x), static_cast<int>(a), static_cast<int>(b)));
  else if constexpr (kWhat == Dpx::addmax_s32_relu)
    return static_cast<std::uint32_t>(
        __viaddmax_s32_relu(static_cast<int>(x), static_cast<int>(a), static_cast<int>(b)));
  else if constexpr (kWhat == Dpx::addmax_s16x2)
    return __viaddmax_s16x2(x, a, b);
  else
    return __viaddmax_s16x2_relu(x, a, b);
}

template <Dpx kWhat, int kChains>
__global__ void __launch_bounds__(1024) dpx_kernel(const __grid_constant__ DpxChains p) {
  const std::int64_t thread = blockIdx.x * static_cast<std::int64_t>(blockDim.x) + threadIdx.x;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const std::uint32_t a = p.operands[32 * kChains + lane];
  const std::uint32_t b = p.operands[32 * kChains + 32 + lane];
  std::uint32_t x[kChains];
#pragma unroll
  for (int c = 0; c < kChains; ++c) x[c] = p.operands[c * 32 + lane];
  __syncthreads();
  const std::uint32_t start = clock_now();
#pragma unroll 8
  for (int r = 0; r < p.rounds; ++r) {
#pragma unroll
    for (int c = 0; c < kChains; ++c) x[c] = step<kWhat>(x[c], a, b);
  }
  __syncthreads();
  const std::uint32_t end = clock_now();
#pragma unroll
  for (int c = 0; c < kChains; ++c) p.results[thread * kChains + c] = x[c];
  if (threadIdx.x == 0) p.cycles[blockIdx.x] = end - start;
}

template <Dpx kWhat>
void launch(int chains, const DpxChains& problem, int blocks, int warps, Stream stream) {
  if (chains == 1)
    dpx_kernel<kWhat, 1><<<blocks, 32 * warps, 0, stream>>>(problem);
  else if (chains == 4)
    dpx_kernel<kWhat, 4><<<blocks, 32 * warps, 0, stream>>>(problem);
  else
    throw std::invalid_argument("chains: 1 or 4");
}

}  // namespace

void launch_dpx(Dpx what, int chains, const DpxChains& problem, int blocks, int warps, Stream stream) {
  switch (what) {
    case Dpx::addmax_s32:
      launch<Dpx::addmax_s32>(chains, problem, blocks, warps, stream);
      break;
    case Dpx::addmax_s32_relu:
      launch<Dpx::addmax_s32_relu>(chains, problem, blocks, warps, stream);
      break;
    case Dpx::addmax_s16x2:
      launch<Dpx::addmax_s16x2>(chains, problem, blocks, warps, stream);
      break;
    case Dpx::addmax_s16x2_relu:
      launch<Dpx::addmax_s16x2_relu>(chains, problem, blocks, warps, stream);
      break;
  }
  harness::gpu::check_launch("launching fused integer operations");
}

}  // namespace assay::hardware::cuda
