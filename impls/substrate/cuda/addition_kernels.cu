#include "impls/substrate/cuda/addition_kernels.h"

#include <cuda_bf16.h>

#include <stdexcept>

#include "harness/gpu/cuda_check.h"

namespace assay::substrate::cuda {
namespace {

constexpr int kThreads = 256;
constexpr std::int64_t kMostBlocks = 65536;

template <class T>
struct alignas(16) Eight {
  T each[8];
};

__device__ __forceinline__ float wide(float value) { return value; }
__device__ __forceinline__ float wide(__nv_bfloat16 value) { return __bfloat162float(value); }
template <class T>
__device__ __forceinline__ T as(float value) {
  if constexpr (sizeof(T) == sizeof(float)) {
    return value;
  } else {
    return __float2bfloat16_rn(value);
  }
}

// kAdd: to += from; else to = from. Eight elements a thread where the addresses allow it, then what is left one by one.
template <bool kAdd, class To, class From>
__global__ void __launch_bounds__(kThreads)
    add_kernel(To* to, const From* from, std::int64_t eights, std::int64_t count) {
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * kThreads;
  const std::int64_t first = blockIdx.x * static_cast<std::int64_t>(kThreads) + threadIdx.x;
  for (std::int64_t i = first; i < eights; i += step) {
    const Eight<From> addend = reinterpret_cast<const Eight<From>*>(from)[i];
    Eight<To> sum{};
    if constexpr (kAdd) sum = reinterpret_cast<const Eight<To>*>(to)[i];
#pragma unroll
    for (int k = 0; k < 8; ++k)
      sum.each[k] = as<To>(kAdd ? wide(sum.each[k]) + wide(addend.each[k]) : wide(addend.each[k]));
    reinterpret_cast<Eight<To>*>(to)[i] = sum;
  }
  for (std::int64_t i = eights * 8 + first; i < count; i += step)
    to[i] = as<To>(kAdd ? wide(to[i]) + wide(from[i]) : wide(from[i]));
}

template <bool kAdd, class To, class From>
void launch(void* to, const void* from, std::int64_t count, CUstream_st* stream, const char* doing) {
  if (count == 0) return;
  const bool aligned = (reinterpret_cast<std::uintptr_t>(to) | reinterpret_cast<std::uintptr_t>(from)) % 16 == 0;
  const std::int64_t eights = aligned ? count / 8 : 0;
  const std::int64_t items = eights > 0 ? eights : count;
  const std::int64_t blocks = (items + kThreads - 1) / kThreads;
  add_kernel<kAdd><<<static_cast<unsigned>(blocks < kMostBlocks ? blocks : kMostBlocks), kThreads, 0, stream>>>(
      static_cast<To*>(to), static_cast<const From*>(from), eights, count);
  harness::gpu::check_launch(doing);
}

}  // namespace

void launch_add(void* sum, DType of_sum, const void* addend, DType of_addend, std::int64_t count, CUstream_st* stream) {
  constexpr const char* kDoing = "adding tensors";
  if (of_sum == DType::f32 && of_addend == DType::f32) {
    launch<true, float, float>(sum, addend, count, stream, kDoing);
  } else if (of_sum == DType::f32 && of_addend == DType::bf16) {
    launch<true, float, __nv_bfloat16>(sum, addend, count, stream, kDoing);
  } else if (of_sum == DType::bf16 && of_addend == DType::bf16) {
    launch<true, __nv_bfloat16, __nv_bfloat16>(sum, addend, count, stream, kDoing);
  } else {
    throw std::invalid_argument("no kernel adds these types");
  }
}

void launch_narrow(void* to, const float* from, std::int64_t count, CUstream_st* stream) {
  launch<false, __nv_bfloat16, float>(to, from, count, stream, "rounding a tensor");
}

}  // namespace assay::substrate::cuda
