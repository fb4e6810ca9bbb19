// Matrix products on the AMX tiles of Xeons from Sapphire Rapids on: TDPBF16PS adds 16 x 16 x 32 bf16 products in 16
// cycles.
#include "impls/substrate/simd/tile_amx.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include "impls/substrate/simd/amx_product.h"

namespace assay::substrate::amx {
namespace {

struct HardwareTiles {
  template <int kTile>
  static void zero() {
    _tile_zero(kTile);
  }
  template <int kTile>
  static void load(const void* from, std::int64_t stride_bytes) {
    _tile_loadd(kTile, from, static_cast<std::size_t>(stride_bytes));
  }
  template <int kTile>
  static void store(void* to, std::int64_t stride_bytes) {
    _tile_stored(kTile, to, static_cast<std::size_t>(stride_bytes));
  }
  template <int kC, int kA, int kB>
  static void dot() {
    _tile_dpbf16ps(kC, kA, kB);
  }
};

using Product = AmxProduct<HardwareTiles>;

// Palette 1: eight tiles of 16 rows of 64 bytes.
struct alignas(64) TileConfiguration {
  std::uint8_t palette = 1;
  std::uint8_t start_row = 0;
  std::uint8_t reserved[14] = {};
  std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
static_assert(sizeof(TileConfiguration) == 64);

}  // namespace

void begin() {
  const TileConfiguration configuration;
  _tile_loadconfig(&configuration);
}

void end() { _tile_release(); }

void product(const void* a, std::int64_t a_stride, const void* b, int rows, int depth, float* c) {
  Product::run<false>(static_cast<const std::uint16_t*>(a), a_stride, static_cast<const std::uint16_t*>(b), rows, depth,
                      c);
}

void scaled_product_add(const void* a, std::int64_t a_stride, const void* b, int rows, int depth, const float* scale,
                        float* c) {
  // The tiles add to C but cannot scale it; most blocks leave every maximum as it was, and then there is nothing to
  // scale.
  const __m512 s0 = _mm512_loadu_ps(scale);
  const __m512 s1 = _mm512_loadu_ps(scale + 16);
  const __m512 one = _mm512_set1_ps(1.0F);
  if ((_mm512_cmp_ps_mask(s0, one, _CMP_NEQ_UQ) | _mm512_cmp_ps_mask(s1, one, _CMP_NEQ_UQ)) != 0) {
    for (int r = 0; r < rows; ++r) {
      float* row = c + static_cast<std::int64_t>(r) * Product::kQueries;
      _mm512_storeu_ps(row, _mm512_mul_ps(_mm512_loadu_ps(row), s0));
      _mm512_storeu_ps(row + 16, _mm512_mul_ps(_mm512_loadu_ps(row + 16), s1));
    }
  }
  Product::run<true>(static_cast<const std::uint16_t*>(a), a_stride, static_cast<const std::uint16_t*>(b), rows, depth,
                     c);
}

}  // namespace assay::substrate::amx
#endif
