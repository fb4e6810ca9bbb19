#pragma once
// Vector pieces of the softmax for the AVX-512 translation units. Everything is in an anonymous namespace and always
// inlined: nothing here may become a symbol that another unit could be linked against.
#include <immintrin.h>

#include <cstdint>

namespace assay::substrate {
namespace {

#define ASSAY_INLINE inline __attribute__((always_inline))

// 2^x for x <= 0, relative error below 3e-7, 0 for -inf. x = n + f; vscalefps multiplies by 2^n and rounds to 0 below
// 2^-149.
ASSAY_INLINE __m512 exp2(__m512 x) {
  x = _mm512_max_ps(x, _mm512_set1_ps(-151.0F));
  const __m512 n = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m512 f = _mm512_sub_ps(x, n);
  __m512 p = _mm512_set1_ps(1.3390625e-3F);
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(9.6163633e-3F));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(5.5503324e-2F));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(2.4022652e-1F));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(6.9314718e-1F));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.0F));
  return _mm512_scalef_ps(p, n);
}

// Two rows of P^T as bf16 pairs: word i holds (even[i], odd[i]).
ASSAY_INLINE __m512i pairs(__m512 even, __m512 odd) {
  const __m512i interleave = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22,
                                              6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  return _mm512_permutexvar_epi16(interleave, reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(odd, even)));
}

// sum + the two products of each lane. As assembly because clang 16 crashes selecting the intrinsic with a broadcast
// operand.
ASSAY_INLINE __m512 dot(__m512 sum, __m512i a, __m512i b) {
  asm("vdpbf16ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
  return sum;
}

}  // namespace
}  // namespace assay::substrate
