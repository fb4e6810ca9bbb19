#pragma once
// Elements of 16 bits as kernels bound by memory move them: eight at a time, computed with as pairs of float32. For .cu
// files.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

namespace assay::substrate::cuda {

struct Bf16 {
  using Pair = __nv_bfloat162;
  static __device__ float2 wide(Pair pair) { return __bfloat1622float2(pair); }
  static __device__ Pair narrow(float a, float b) { return __floats2bfloat162_rn(a, b); }
};
struct Fp16 {
  using Pair = __half2;
  static __device__ float2 wide(Pair pair) { return __half22float2(pair); }
  static __device__ Pair narrow(float a, float b) { return __floats2half2_rn(a, b); }
};

// Eight elements as one 16-byte access.
template <class Element>
union Eight {
  uint4 words;
  typename Element::Pair pairs[4];
  __device__ Eight() : words{0, 0, 0, 0} {}
};

}  // namespace assay::substrate::cuda
