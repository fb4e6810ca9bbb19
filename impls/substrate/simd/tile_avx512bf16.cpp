// Tile operations with vdpbf16ps: 16 lanes, each adds two bf16 products to an f32 (denormals flushed, rounded to
// nearest even).
#include "impls/substrate/simd/tile_avx512bf16.h"

#if defined(__x86_64__)
#include "impls/substrate/simd/exp2_avx512.h"

namespace assay::substrate::avx512bf16 {
namespace {

constexpr int kQueries = 32;  // kTileQueries: two vectors

// A pair of bf16 neighbours of a row of A, in every lane.
ASSAY_INLINE __m512i pair(const std::uint16_t* a) {
  std::uint32_t word = 0;
  __builtin_memcpy(&word, a, sizeof word);
  return _mm512_set1_epi32(static_cast<int>(word));
}

// kRows x 32 of C in registers over the whole depth: 16 accumulators hide the latency of 6 cycles at one vdpbf16ps a
// cycle, and each broadcast of A is used twice, so that loads stay below one a cycle.
template <int kRows, bool kAdd>
ASSAY_INLINE void block(const std::uint16_t* a, std::int64_t a_stride, const std::uint16_t* b, int depth,
                        const float* scale, float* c) {
  __m512 left[kRows], right[kRows];
#pragma clang loop unroll(full)
  for (int r = 0; r < kRows; ++r) left[r] = right[r] = _mm512_setzero_ps();
  for (int k = 0; k < depth; k += 2) {
    const __m512i b0 = _mm512_load_si512(b + k * kQueries);
    const __m512i b1 = _mm512_load_si512(b + k * kQueries + 32);
#pragma clang loop unroll(full)
    for (int r = 0; r < kRows; ++r) {
      const __m512i x = pair(a + r * a_stride + k);
      left[r] = dot(left[r], x, b0);
      right[r] = dot(right[r], x, b1);
    }
  }
#pragma clang loop unroll(full)
  for (int r = 0; r < kRows; ++r) {
    float* row = c + r * kQueries;
    if constexpr (kAdd) {
      left[r] = _mm512_fmadd_ps(_mm512_load_ps(row), _mm512_load_ps(scale), left[r]);
      right[r] = _mm512_fmadd_ps(_mm512_load_ps(row + 16), _mm512_load_ps(scale + 16), right[r]);
    }
    _mm512_store_ps(row, left[r]);
    _mm512_store_ps(row + 16, right[r]);
  }
}

// m, or 0 where it is -inf: a query without keys gets P = 2^(-inf - 0) = 0 instead of a NaN.
ASSAY_INLINE __m512 safe(__m512 m) {
  const __mmask16 none = _mm512_cmp_ps_mask(m, _mm512_set1_ps(-__builtin_inff()), _CMP_EQ_OQ);
  return _mm512_mask_mov_ps(m, none, _mm512_setzero_ps());
}

}  // namespace

void product(const void* a, std::int64_t a_stride, const void* b, int rows, int depth, float* c) {
  const auto* from = static_cast<const std::uint16_t*>(a);
  for (int r = 0; r < rows; r += 8) {
    block<8, false>(from + r * a_stride, a_stride, static_cast<const std::uint16_t*>(b), depth, nullptr,
                    c + r * kQueries);
  }
}

void scaled_product_add(const void* a, std::int64_t a_stride, const void* b, int rows, int depth, const float* scale,
                        float* c) {
  const auto* from = static_cast<const std::uint16_t*>(a);
  for (int r = 0; r < rows; r += 8) {
    block<8, true>(from + r * a_stride, a_stride, static_cast<const std::uint16_t*>(b), depth, scale, c + r * kQueries);
  }
}

void column_max(const float* s, int rows, float c, float* m, float* alpha) {
  for (int q = 0; q < kQueries; q += 16) {
    const __m512 before = _mm512_load_ps(m + q);
    __m512 even = before, odd = before;
    for (int r = 0; r < rows; r += 2) {
      even = _mm512_max_ps(even, _mm512_load_ps(s + r * kQueries + q));
      odd = _mm512_max_ps(odd, _mm512_load_ps(s + (r + 1) * kQueries + q));
    }
    const __m512 after = _mm512_max_ps(even, odd);
    _mm512_store_ps(m + q, after);
    _mm512_store_ps(alpha + q, exp2(_mm512_mul_ps(_mm512_sub_ps(before, safe(after)), _mm512_set1_ps(c))));
  }
}

void softmax_block(const float* s, int rows, float c, const float* m, const float* alpha, float* l, void* p) {
  const __m512 factor = _mm512_set1_ps(c);
  const __m512 shift0 = _mm512_mul_ps(safe(_mm512_load_ps(m)), factor);
  const __m512 shift1 = _mm512_mul_ps(safe(_mm512_load_ps(m + 16)), factor);
  __m512 sum0 = _mm512_setzero_ps(), sum1 = sum0;
  auto* to = static_cast<std::uint16_t*>(p);
  for (int r = 0; r < rows; r += 2) {
    const float* row = s + r * kQueries;
    const __m512 even0 = exp2(_mm512_fmsub_ps(_mm512_load_ps(row), factor, shift0));
    const __m512 even1 = exp2(_mm512_fmsub_ps(_mm512_load_ps(row + 16), factor, shift1));
    const __m512 odd0 = exp2(_mm512_fmsub_ps(_mm512_load_ps(row + 32), factor, shift0));
    const __m512 odd1 = exp2(_mm512_fmsub_ps(_mm512_load_ps(row + 48), factor, shift1));
    sum0 = _mm512_add_ps(sum0, _mm512_add_ps(even0, odd0));
    sum1 = _mm512_add_ps(sum1, _mm512_add_ps(even1, odd1));
    _mm512_store_si512(to + r * kQueries, pairs(even0, odd0));
    _mm512_store_si512(to + r * kQueries + 32, pairs(even1, odd1));
  }
  _mm512_store_ps(l, _mm512_fmadd_ps(_mm512_load_ps(l), _mm512_load_ps(alpha), sum0));
  _mm512_store_ps(l + 16, _mm512_fmadd_ps(_mm512_load_ps(l + 16), _mm512_load_ps(alpha + 16), sum1));
}

void exponentials(float* s, int rows, float c, const float* m, float* l) {
  const __m512 factor = _mm512_set1_ps(c);
  for (int q = 0; q < kQueries; q += 16) {
    const __m512 shift = _mm512_mul_ps(safe(_mm512_load_ps(m + q)), factor);
    __m512 sum = _mm512_load_ps(l + q);
    for (int r = 0; r < rows; ++r) {
      float* at = s + r * kQueries + q;
      const __m512 e = exp2(_mm512_fmsub_ps(_mm512_load_ps(at), factor, shift));
      sum = _mm512_add_ps(sum, e);
      _mm512_store_ps(at, e);
    }
    _mm512_store_ps(l + q, sum);
  }
}

void pack_scaled(const float* s, int rows, const float* scale, void* p) {
  auto* to = static_cast<std::uint16_t*>(p);
  for (int q = 0; q < kQueries; q += 16) {
    const __m512 factor = _mm512_load_ps(scale + q);
    for (int r = 0; r < rows; r += 2) {
      const __m512 even = _mm512_mul_ps(_mm512_load_ps(s + r * kQueries + q), factor);
      const __m512 odd = _mm512_mul_ps(_mm512_load_ps(s + (r + 1) * kQueries + q), factor);
      _mm512_store_si512(to + r * kQueries + 2 * q, pairs(even, odd));
    }
  }
}

}  // namespace assay::substrate::avx512bf16
#endif
