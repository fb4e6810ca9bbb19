#include <cuda_bf16.h>

#include "harness/gpu/cuda_check.h"
#include "impls/parallelism/sequence/cuda/ring_kernels.h"

namespace assay::parallelism::cuda {
namespace {

using harness::gpu::check_launch;

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;

int blocks_for(std::int64_t items, int each) {
  const std::int64_t blocks = (items + each - 1) / each;
  return static_cast<int>(blocks < 65536 ? blocks : 65536);
}

__global__ void __launch_bounds__(kThreads)
    start_kernel(float* acc, std::int64_t elements, float* lse, std::int64_t rows) {
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * kThreads;
  for (std::int64_t i = blockIdx.x * static_cast<std::int64_t>(kThreads) + threadIdx.x; i < elements; i += step) {
    acc[i] = 0;
    if (i < rows) lse[i] = -INFINITY;
  }
}

// A warp a row; a lane has two neighbouring elements of every 64.
__global__ void __launch_bounds__(kThreads) merge_kernel(const __grid_constant__ MergeProblem p) {
  const std::int64_t all = static_cast<std::int64_t>(p.batch) * p.rows * p.heads;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  for (std::int64_t row = blockIdx.x * static_cast<std::int64_t>(kWarps) + threadIdx.x / 32; row < all;
       row += static_cast<std::int64_t>(gridDim.x) * kWarps) {
    const auto h = static_cast<int>(row % p.heads);
    const auto i = static_cast<int>(row / p.heads % p.rows);
    const auto b = static_cast<int>(row / p.heads / p.rows);
    const std::int64_t part = (static_cast<std::int64_t>(b) * p.heads + h) * p.rows + i;
    const float theirs = p.part_lse[part];
    if (theirs == -INFINITY) continue;  // sees no key of this block
    const std::int64_t at = (static_cast<std::int64_t>(b) * p.tokens + p.first + i) * p.heads + h;
    const float mine = p.lse[at];
    const float m = fmaxf(mine, theirs);
    const float merged = m + logf(expf(mine - m) + expf(theirs - m));
    const float keep = p.rescale ? expf(mine - merged) : 1.0F;
    const float take = p.rescale ? expf(theirs - merged) : 1.0F;
    auto* const to = reinterpret_cast<float2*>(p.acc + at * p.head_dim);
    const auto* const from = reinterpret_cast<const float2*>(p.part_o + part * p.head_dim);
    for (int x = lane; x < p.head_dim / 2; x += 32) {
      const float2 add = from[x];
      float2 sum = to[x];
      sum.x = keep * sum.x + take * add.x;
      sum.y = keep * sum.y + take * add.y;
      to[x] = sum;
    }
    __syncwarp();
    if (lane == 0) p.lse[at] = merged;
  }
}

// Where row `row` of [batch][heads][rows] is in [batch][tokens][heads].
__device__ std::int64_t place_of(const QueryRows& p, std::int64_t row) {
  const std::int64_t i = row % p.rows;
  const std::int64_t h = row / p.rows % p.heads;
  const std::int64_t b = row / p.rows / p.heads;
  return (b * p.tokens + p.first + i) * p.heads + h;
}

__global__ void __launch_bounds__(kThreads)
    gather_kernel(const QueryRows p, std::int64_t all, const float* from, float* to) {
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * kThreads;
  for (std::int64_t i = blockIdx.x * static_cast<std::int64_t>(kThreads) + threadIdx.x; i < all; i += step)
    to[i] = from[place_of(p, i)];
}

// A warp a row.
__global__ void __launch_bounds__(kThreads)
    add_scaled_kernel(const QueryRows p, std::int64_t all, int head_dim, const float* from, float scale, float* to) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  for (std::int64_t row = blockIdx.x * static_cast<std::int64_t>(kWarps) + threadIdx.x / 32; row < all;
       row += static_cast<std::int64_t>(gridDim.x) * kWarps) {
    const auto* const part = reinterpret_cast<const float2*>(from + row * head_dim);
    auto* const sum = reinterpret_cast<float2*>(to + place_of(p, row) * head_dim);
    for (int x = lane; x < head_dim / 2; x += 32) {
      const float2 add = part[x];
      float2 all_of = sum[x];
      all_of.x += scale * add.x;
      all_of.y += scale * add.y;
      sum[x] = all_of;
    }
  }
}

// A warp a row.
__global__ void __launch_bounds__(kThreads)
    row_delta_kernel(const __nv_bfloat162* d_out, const __nv_bfloat162* o, std::int64_t rows, int pairs, float* delta) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  for (std::int64_t row = blockIdx.x * static_cast<std::int64_t>(kWarps) + threadIdx.x / 32; row < rows;
       row += static_cast<std::int64_t>(gridDim.x) * kWarps) {
    float dot = 0;
    for (int x = lane; x < pairs; x += 32) {
      const float2 a = __bfloat1622float2(d_out[row * pairs + x]);
      const float2 b = __bfloat1622float2(o[row * pairs + x]);
      dot += a.x * b.x + a.y * b.y;
    }
    for (int mask = 16; mask > 0; mask /= 2) dot += __shfl_xor_sync(0xffffffffU, dot, mask);
    if (lane == 0) delta[row] = dot;
  }
}

__global__ void __launch_bounds__(kThreads) store_kernel(const float* from, std::int64_t eights, std::uint16_t* to) {
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * kThreads;
  for (std::int64_t i = blockIdx.x * static_cast<std::int64_t>(kThreads) + threadIdx.x; i < eights; i += step) {
    const float4 a = reinterpret_cast<const float4*>(from)[2 * i];
    const float4 b = reinterpret_cast<const float4*>(from)[2 * i + 1];
    __nv_bfloat162 pairs[4] = {__floats2bfloat162_rn(a.x, a.y), __floats2bfloat162_rn(a.z, a.w),
                               __floats2bfloat162_rn(b.x, b.y), __floats2bfloat162_rn(b.z, b.w)};
    reinterpret_cast<uint4*>(to)[i] = *reinterpret_cast<const uint4*>(pairs);
  }
}

}  // namespace

void launch_start(float* acc, std::int64_t elements, float* lse, std::int64_t rows, CUstream_st* stream) {
  start_kernel<<<blocks_for(elements, kThreads), kThreads, 0, stream>>>(acc, elements, lse, rows);
  check_launch("starting a ring");
}

void launch_merge(const MergeProblem& problem, CUstream_st* stream) {
  const std::int64_t rows = static_cast<std::int64_t>(problem.batch) * problem.rows * problem.heads;
  if (rows == 0) return;
  merge_kernel<<<blocks_for(rows, kWarps), kThreads, 0, stream>>>(problem);
  check_launch("merging a block");
}

void launch_gather(const QueryRows& rows, const float* from, float* to, CUstream_st* stream) {
  const std::int64_t all = static_cast<std::int64_t>(rows.batch) * rows.rows * rows.heads;
  if (all == 0) return;
  gather_kernel<<<blocks_for(all, kThreads), kThreads, 0, stream>>>(rows, all, from, to);
  check_launch("gathering rows of a head");
}

void launch_add_scaled(const QueryRows& rows, int head_dim, const float* from, float scale, float* to,
                       CUstream_st* stream) {
  const std::int64_t all = static_cast<std::int64_t>(rows.batch) * rows.rows * rows.heads;
  if (all == 0) return;
  add_scaled_kernel<<<blocks_for(all, kWarps), kThreads, 0, stream>>>(rows, all, head_dim, from, scale, to);
  check_launch("adding to dQ");
}

void launch_row_delta(const std::byte* d_out, const std::byte* o, std::int64_t rows, int head_dim, float* delta,
                      CUstream_st* stream) {
  if (rows == 0) return;
  row_delta_kernel<<<blocks_for(rows, kWarps), kThreads, 0, stream>>>(reinterpret_cast<const __nv_bfloat162*>(d_out),
                                                                      reinterpret_cast<const __nv_bfloat162*>(o), rows,
                                                                      head_dim / 2, delta);
  check_launch("multiplying dO by O");
}

void launch_store_bf16(const float* from, std::int64_t count, std::uint16_t* to, CUstream_st* stream) {
  if (count == 0) return;
  store_kernel<<<blocks_for(count / 8, kThreads), kThreads, 0, stream>>>(from, count / 8, to);
  check_launch("storing the output");
}

}  // namespace assay::parallelism::cuda
