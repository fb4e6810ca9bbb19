// Kernels behind hardware/gpu-roofs: each does nothing but keep one unit of the device busy, with a result to check.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include "harness/gpu/cuda_check.h"
#include "impls/hardware/cuda/roof_kernels.h"

namespace assay::hardware::cuda {
namespace {

using harness::gpu::check_launch;

constexpr int kThreads = 512;
constexpr int kBlocksAMultiprocessor = 4;  // 2048 threads: all that a multiprocessor holds
constexpr int kUnroll = 4;                 // vectors of 16 bytes a thread has under way

__device__ std::uint64_t thread_index() { return blockIdx.x * static_cast<std::uint64_t>(blockDim.x) + threadIdx.x; }
__device__ std::uint64_t thread_count() { return gridDim.x * static_cast<std::uint64_t>(blockDim.x); }

__global__ void __launch_bounds__(kThreads) draw_words(std::uint32_t* words, std::uint64_t count, std::uint64_t seed) {
  for (std::uint64_t i = thread_index(); i < count; i += thread_count()) words[i] = drawn_word(seed, i);
}

template <typename T>
__device__ T converted(float value) {
  return T(value);
}
template <>
__device__ __nv_bfloat16 converted(float value) {
  return __float2bfloat16_rn(value);
}
template <>
__device__ __half converted(float value) {
  return __float2half_rn(value);
}

template <typename T>
__global__ void __launch_bounds__(kThreads) draw_elements(T* elements, std::uint64_t count, std::uint64_t seed) {
  for (std::uint64_t i = thread_index(); i < count; i += thread_count()) {
    const int steps = static_cast<int>(drawn_word(seed, i) >> 21U) - 1024;
    elements[i] = converted<T>(static_cast<float>(steps) * (1.0F / 1024.0F));
  }
}

__global__ void __launch_bounds__(kThreads, kBlocksAMultiprocessor)
    copy_vectors(const uint4* from, uint4* to, std::uint64_t vectors) {
  const std::uint64_t step = thread_count();
  std::uint64_t i = thread_index();
  for (; i + (kUnroll - 1) * step < vectors; i += kUnroll * step) {
    uint4 held[kUnroll];
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) held[u] = from[i + u * step];
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) to[i + u * step] = held[u];
  }
  for (; i < vectors; i += step) to[i] = from[i];
}

__global__ void __launch_bounds__(kThreads)
    read_vectors(const uint4* from, std::uint64_t vectors, std::uint64_t* sums) {
  const std::uint64_t step = thread_count();
  std::uint64_t sum = 0;
  const auto add = [&](const uint4& v) {
    sum += static_cast<std::uint64_t>(v.x) + v.y;
    sum += static_cast<std::uint64_t>(v.z) + v.w;
  };
  std::uint64_t i = thread_index();
  for (; i + (kUnroll - 1) * step < vectors; i += kUnroll * step) {
    uint4 held[kUnroll];
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) held[u] = from[i + u * step];
#pragma unroll
    for (int u = 0; u < kUnroll; ++u) add(held[u]);
  }
  for (; i < vectors; i += step) add(from[i]);
  __shared__ std::uint64_t of_warp[kThreads / 32];
  for (int lane = 16; lane > 0; lane /= 2) sum += __shfl_down_sync(0xffffffffU, sum, lane);
  if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = sum;
  __syncthreads();
  if (threadIdx.x != 0) return;
  sum = 0;
  for (const std::uint64_t part : of_warp) sum += part;
  sums[blockIdx.x] = sum;
}

__global__ void __launch_bounds__(shared_threads)
    read_shared(const std::uint32_t* words, int rounds, std::uint32_t* sums) {
  constexpr int kVectors = shared_words / 4;
  __shared__ uint4 held[kVectors];
  for (int i = static_cast<int>(threadIdx.x); i < kVectors; i += shared_threads)
    held[i] = reinterpret_cast<const uint4*>(words)[i];
  __syncthreads();
  // A warp reads 512 neighbouring bytes: no bank conflicts.
  std::uint32_t sum = 0;
  int at = static_cast<int>(threadIdx.x);
#pragma unroll 8
  for (int r = 0; r < rounds; ++r) {
    const uint4 v = held[at];
    sum += v.x + v.y;
    sum += v.z + v.w;
    at = (at + 32) % kVectors;
  }
  sums[blockIdx.x * shared_threads + threadIdx.x] = sum;
}

__global__ void store_word(std::uint32_t value, std::uint32_t* to) { *to = value; }

int blocks_for(std::uint64_t items, int threads) {
  const std::uint64_t blocks = (items + static_cast<std::uint64_t>(threads) - 1) / static_cast<std::uint64_t>(threads);
  return static_cast<int>(blocks < 4096 ? blocks : 4096);
}

}  // namespace

void launch_draw_words(std::uint32_t* words, std::uint64_t count, std::uint64_t seed, Stream stream) {
  draw_words<<<blocks_for(count, kThreads), kThreads, 0, stream>>>(words, count, seed);
  check_launch("drawing words");
}

void launch_draw_elements(void* elements, Element type, std::uint64_t count, std::uint64_t seed, Stream stream) {
  const int blocks = blocks_for(count, kThreads);
  switch (type) {
    case Element::bf16:
      draw_elements<<<blocks, kThreads, 0, stream>>>(static_cast<__nv_bfloat16*>(elements), count, seed);
      break;
    case Element::fp16:
      draw_elements<<<blocks, kThreads, 0, stream>>>(static_cast<__half*>(elements), count, seed);
      break;
    case Element::fp32:
      draw_elements<<<blocks, kThreads, 0, stream>>>(static_cast<float*>(elements), count, seed);
      break;
    case Element::e4m3:
      draw_elements<<<blocks, kThreads, 0, stream>>>(static_cast<__nv_fp8_e4m3*>(elements), count, seed);
      break;
  }
  check_launch("drawing elements");
}

void launch_copy(const std::uint32_t* from, std::uint32_t* to, std::uint64_t words, int multiprocessors,
                 Stream stream) {
  copy_vectors<<<multiprocessors * kBlocksAMultiprocessor, kThreads, 0, stream>>>(
      reinterpret_cast<const uint4*>(from), reinterpret_cast<uint4*>(to), words / 4);
  check_launch("launching the copy");
}

int read_blocks(int multiprocessors) { return multiprocessors * kBlocksAMultiprocessor; }

void launch_read(const std::uint32_t* from, std::uint64_t words, std::uint64_t* sums, int multiprocessors,
                 Stream stream) {
  read_vectors<<<read_blocks(multiprocessors), kThreads, 0, stream>>>(reinterpret_cast<const uint4*>(from), words / 4,
                                                                      sums);
  check_launch("launching the read");
}

int shared_blocks(int multiprocessors) { return multiprocessors * 2; }

void launch_shared_read(const std::uint32_t* words, int rounds, std::uint32_t* sums, int multiprocessors,
                        Stream stream) {
  read_shared<<<shared_blocks(multiprocessors), shared_threads, 0, stream>>>(words, rounds, sums);
  check_launch("launching the read of shared memory");
}

void launch_store(std::uint32_t value, std::uint32_t* to, Stream stream) {
  store_word<<<1, 1, 0, stream>>>(value, to);
  check_launch("launching the smallest kernel");
}

}  // namespace assay::hardware::cuda
