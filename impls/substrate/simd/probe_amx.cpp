#if defined(__x86_64__)
#include "impls/substrate/simd/exp2_avx512.h"
#include "impls/substrate/simd/probes.h"

namespace assay::substrate::amx {
namespace {

// A holds pairs (1, 2), B pairs (1, 1/2): each element of C gains 16 * 2 = 32 a TDPBF16PS.
ASSAY_INLINE void load_operands() {
  alignas(64) std::uint32_t a[16 * 16];
  alignas(64) std::uint32_t b[16 * 16];
  for (int i = 0; i < 16 * 16; ++i) {
    a[i] = 0x40003f80;
    b[i] = 0x3f003f80;
  }
  _tile_loadd(4, a, 64);
  _tile_loadd(5, a, 64);
  _tile_loadd(6, b, 64);
  _tile_loadd(7, b, 64);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
}

ASSAY_INLINE void store_sums(float* out) {
  _tile_stored(0, out, 64);
  _tile_stored(1, out + 256, 64);
  _tile_stored(2, out + 512, 64);
  _tile_stored(3, out + 768, 64);
}

}  // namespace

void probe_registers(std::int64_t steps, float first, float* out) {
  load_operands();
  for (int i = 0; i < 1024; ++i) out[i] = first;
  _tile_loadd(0, out, 64);
  _tile_loadd(1, out + 256, 64);
  _tile_loadd(2, out + 512, 64);
  _tile_loadd(3, out + 768, 64);
  for (std::int64_t step = 0; step < steps; ++step) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  store_sums(out);
}

void probe_matrix_and_exp(std::int64_t rounds, const float* s, int vectors, float c, float shift, void* p, float* out,
                          float* sums, float* maxima) {
  load_operands();
  const __m512 factor = _mm512_set1_ps(c);
  const __m512 offset = _mm512_set1_ps(shift);
  __m512 total = _mm512_setzero_ps();
  __m512 largest = _mm512_loadu_ps(s);
  const auto softmax = [&](int v) __attribute__((always_inline)) {
    const __m512 even = _mm512_loadu_ps(s + 16 * v);
    const __m512 odd = _mm512_loadu_ps(s + 16 * v + 16);
    largest = _mm512_max_ps(largest, _mm512_max_ps(even, odd));
    const __m512 p_even = exp2(_mm512_fmsub_ps(even, factor, offset));
    const __m512 p_odd = exp2(_mm512_fmsub_ps(odd, factor, offset));
    total = _mm512_add_ps(total, _mm512_add_ps(p_even, p_odd));
    _mm512_storeu_si512(static_cast<std::uint16_t*>(p) + 16 * v, pairs(p_even, p_odd));
  };
  for (std::int64_t round = 0; round < rounds; ++round) {
    for (int v = 0; v < vectors; v += 8) {
      _tile_dpbf16ps(0, 4, 6);
      softmax(v);
      _tile_dpbf16ps(1, 4, 7);
      softmax(v + 2);
      _tile_dpbf16ps(2, 5, 6);
      softmax(v + 4);
      _tile_dpbf16ps(3, 5, 7);
      softmax(v + 6);
    }
  }
  store_sums(out);
  _mm512_storeu_ps(sums, total);
  _mm512_storeu_ps(maxima, largest);
}

}  // namespace assay::substrate::amx
#endif
