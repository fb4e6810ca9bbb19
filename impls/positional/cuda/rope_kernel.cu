#include <algorithm>
#include <stdexcept>

#include "harness/gpu/cuda_check.h"
#include "impls/positional/cuda/rope_kernel.h"
#include "impls/substrate/cuda/eight_elements.h"

namespace assay::positional::cuda {
namespace {

using substrate::cuda::Bf16;
using substrate::cuda::Eight;
using substrate::cuda::Fp16;

constexpr int kThreads = 256;

// A block a token: its angles are read once from memory and then from L1 by every head. A thread turns eight pairs:
// two vectors of 16 bytes and 64 bytes of angles. Interleaved, the two vectors are neighbours.
template <class Element, bool kInterleaved>
__global__ void __launch_bounds__(kThreads) rope_kernel(const __grid_constant__ RopeKernelProblem p) {
  const int vectors = p.head_dim / 16;  // of eight pairs, a head
  const int half = p.head_dim / 16;     // from a vector to its partner, in vectors of eight elements
  for (std::int64_t token = blockIdx.x; token < p.tokens; token += gridDim.x) {
    const auto* const angles = reinterpret_cast<const float4*>(p.table + token * p.head_dim);
    for (int work = static_cast<int>(threadIdx.x); work < p.written * vectors; work += kThreads) {
      const int head = work / vectors;
      const int v = work % vectors;
      const std::int64_t first = (token * p.heads + head) * (p.head_dim / 8);
      const std::int64_t at_a = first + (kInterleaved ? 2 * v : v);
      const std::int64_t at_b = kInterleaved ? at_a + 1 : at_a + half;
      Eight<Element> a;
      Eight<Element> b;
      a.words = static_cast<const uint4*>(p.in)[at_a];
      b.words = static_cast<const uint4*>(p.in)[at_b];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float4 t = angles[v * 4 + i];  // cos, sin of pairs 8 v + 2 i and the next
        if (kInterleaved) {
          // Vector a holds pairs 8 v .. 8 v + 3, b the next four.
          Eight<Element>& held = i < 2 ? a : b;
          const float2 x = Element::wide(held.pairs[i % 2 * 2]);
          const float2 y = Element::wide(held.pairs[i % 2 * 2 + 1]);
          held.pairs[i % 2 * 2] = Element::narrow(x.x * t.x - x.y * t.y, x.y * t.x + x.x * t.y);
          held.pairs[i % 2 * 2 + 1] = Element::narrow(y.x * t.z - y.y * t.w, y.y * t.z + y.x * t.w);
        } else {
          const float2 x = Element::wide(a.pairs[i]);
          const float2 y = Element::wide(b.pairs[i]);
          a.pairs[i] = Element::narrow(x.x * t.x - y.x * t.y, x.y * t.z - y.y * t.w);
          b.pairs[i] = Element::narrow(y.x * t.x + x.x * t.y, y.y * t.z + x.y * t.w);
        }
      }
      static_cast<uint4*>(p.out)[at_a] = a.words;
      static_cast<uint4*>(p.out)[at_b] = b.words;
    }
  }
}

template <class Element>
void launch(const RopeKernelProblem& problem, CUstream_st* stream) {
  const auto blocks = static_cast<unsigned>(std::min<std::int64_t>(problem.tokens, 1 << 20));
  if (problem.interleaved)
    rope_kernel<Element, true><<<blocks, kThreads, 0, stream>>>(problem);
  else
    rope_kernel<Element, false><<<blocks, kThreads, 0, stream>>>(problem);
}

}  // namespace

void launch_rope(const RopeKernelProblem& problem, bool bf16, CUstream_st* stream) {
  if (problem.head_dim % 16 != 0) throw std::invalid_argument("a head is a multiple of 16 elements");
  if (problem.tokens == 0) return;
  if (bf16) {
    launch<Bf16>(problem, stream);
  } else {
    launch<Fp16>(problem, stream);
  }
  harness::gpu::check_launch("launching RoPE");
}

}  // namespace assay::positional::cuda
