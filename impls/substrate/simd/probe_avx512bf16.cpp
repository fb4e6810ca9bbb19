#if defined(__x86_64__)
#include "impls/substrate/simd/exp2_avx512.h"
#include "impls/substrate/simd/probes.h"

namespace assay::substrate::avx512bf16 {
namespace {

constexpr int kAccumulators = 16;  // latency 6 at one a cycle: twice what is needed

// bf16 pairs (1, 2) and (1, 1/2): one dot product adds 2.
ASSAY_INLINE __m512i one_and_two() { return _mm512_set1_epi32(0x40003f80); }
ASSAY_INLINE __m512i one_and_half() { return _mm512_set1_epi32(0x3f003f80); }

// Each from another value: equal chains could be computed once.
ASSAY_INLINE void start(__m512 (&sum)[kAccumulators], float first) {
  for (int i = 0; i < kAccumulators; ++i) sum[i] = _mm512_set1_ps(first + static_cast<float>(i));
}

ASSAY_INLINE void sixteen_dots(__m512 (&sum)[kAccumulators], __m512i a, __m512i b) {
#pragma clang loop unroll(full)
  for (__m512& chain : sum) chain = dot(chain, a, b);
}

}  // namespace

void probe_registers(std::int64_t steps, float first, float* out) {
  __m512 sum[kAccumulators];
  start(sum, first);
  const __m512i a = one_and_two();
  const __m512i b = one_and_half();
  for (std::int64_t step = 0; step < steps; ++step) sixteen_dots(sum, a, b);
  for (int i = 0; i < kAccumulators; ++i) _mm512_storeu_ps(out + 16 * i, sum[i]);
}

void probe_matrix_and_exp(std::int64_t rounds, const float* s, int vectors, float c, float shift, void* p, float* out,
                          float* sums, float* maxima) {
  __m512 sum[kAccumulators];
  start(sum, 0);
  const __m512i a = one_and_two();
  const __m512i b = one_and_half();
  const __m512 factor = _mm512_set1_ps(c);
  const __m512 offset = _mm512_set1_ps(shift);
  __m512 total = _mm512_setzero_ps();
  __m512 largest = _mm512_loadu_ps(s);
  for (std::int64_t round = 0; round < rounds; ++round) {
    for (int v = 0; v < vectors; v += 2) {
      const __m512 even = _mm512_loadu_ps(s + 16 * v);
      const __m512 odd = _mm512_loadu_ps(s + 16 * v + 16);
      largest = _mm512_max_ps(largest, _mm512_max_ps(even, odd));
      const __m512 p_even = exp2(_mm512_fmsub_ps(even, factor, offset));
      const __m512 p_odd = exp2(_mm512_fmsub_ps(odd, factor, offset));
      total = _mm512_add_ps(total, _mm512_add_ps(p_even, p_odd));
      _mm512_storeu_si512(static_cast<std::uint16_t*>(p) + 16 * v, pairs(p_even, p_odd));
#pragma clang loop unroll(full)
      for (int group = 0; group < 16; ++group) sixteen_dots(sum, a, b);
    }
  }
  for (int i = 0; i < kAccumulators; ++i) _mm512_storeu_ps(out + 16 * i, sum[i]);
  _mm512_storeu_ps(sums, total);
  _mm512_storeu_ps(maxima, largest);
}

}  // namespace assay::substrate::avx512bf16
#endif
