// The AMX tile kernels over a software model of the tiles, and the softmax in plain C++: what the hardware version
// computes, checked on machines that have none. Never chosen for a measurement.
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "impls/substrate/simd/amx_product.h"
#include "impls/substrate/simd/tile_kernels.h"

namespace assay::substrate {
namespace {

float flushed(float x) { return std::fpclassify(x) == FP_SUBNORMAL ? std::copysign(0.0F, x) : x; }

// Intel SDM, TDPBF16PS: products of even and of odd elements are accumulated apart by fused multiply-adds over the
// pairs, the two sums are added, then added to C. Every step rounds to nearest even, with denormal inputs and results
// as zero.
struct EmulatedTiles {
  using Tile = std::array<std::array<std::uint32_t, 16>, 16>;  // 16 rows of 64 bytes
  static inline thread_local std::array<Tile, 8> tiles;

  template <int kTile>
  static void zero() {
    tiles[kTile] = {};
  }
  template <int kTile>
  static void load(const void* from, std::int64_t stride_bytes) {
    for (int r = 0; r < 16; ++r)
      std::memcpy(&tiles[kTile][r], static_cast<const std::byte*>(from) + r * stride_bytes, 64);
  }
  template <int kTile>
  static void store(void* to, std::int64_t stride_bytes) {
    for (int r = 0; r < 16; ++r) std::memcpy(static_cast<std::byte*>(to) + r * stride_bytes, &tiles[kTile][r], 64);
  }
  static float low(std::uint32_t word) { return flushed(std::bit_cast<float>(word << 16)); }
  static float high(std::uint32_t word) { return flushed(std::bit_cast<float>(word & 0xffff0000U)); }

  template <int kC, int kA, int kB>
  static void dot() {
    for (int m = 0; m < 16; ++m) {
      for (int n = 0; n < 16; ++n) {
        float even = 0;
        float odd = 0;
        for (int k = 0; k < 16; ++k) {
          const std::uint32_t a = tiles[kA][m][k];
          const std::uint32_t b = tiles[kB][k][n];
          even = flushed(std::fma(low(a), low(b), even));
          odd = flushed(std::fma(high(a), high(b), odd));
        }
        const float before = flushed(std::bit_cast<float>(tiles[kC][m][n]));
        tiles[kC][m][n] = std::bit_cast<std::uint32_t>(flushed(before + flushed(even + odd)));
      }
    }
  }
};

using Product = AmxProduct<EmulatedTiles>;

void nothing() {}

void product(const void* a, std::int64_t a_stride, const void* b, int rows, int depth, float* c) {
  Product::run<false>(static_cast<const std::uint16_t*>(a), a_stride, static_cast<const std::uint16_t*>(b), rows, depth,
                      c);
}

void scaled_product_add(const void* a, std::int64_t a_stride, const void* b, int rows, int depth, const float* scale,
                        float* c) {
  for (int i = 0; i < rows * kTileQueries; ++i) c[i] *= scale[i % kTileQueries];
  Product::run<true>(static_cast<const std::uint16_t*>(a), a_stride, static_cast<const std::uint16_t*>(b), rows, depth,
                     c);
}

float safe(float m) { return m == -std::numeric_limits<float>::infinity() ? 0 : m; }

void column_max(const float* s, int rows, float c, float* m, float* alpha) {
  for (int q = 0; q < kTileQueries; ++q) {
    const float before = m[q];
    for (int r = 0; r < rows; ++r) m[q] = std::max(m[q], s[r * kTileQueries + q]);
    alpha[q] = std::exp2((before - safe(m[q])) * c);
  }
}

void store_pair(void* p, int row, int query, float value) {
  static_cast<BFloat16*>(p)[(row / 2 * kTileQueries + query) * 2 + row % 2] = to_bf16(value);
}

void softmax_block(const float* s, int rows, float c, const float* m, const float* alpha, float* l, void* p) {
  for (int q = 0; q < kTileQueries; ++q) {
    float sum = 0;
    for (int r = 0; r < rows; ++r) {
      const float e = std::exp2((s[r * kTileQueries + q] - safe(m[q])) * c);
      sum += e;
      store_pair(p, r, q, e);
    }
    l[q] = l[q] * alpha[q] + sum;
  }
}

void exponentials(float* s, int rows, float c, const float* m, float* l) {
  for (int i = 0; i < rows * kTileQueries; ++i) {
    s[i] = std::exp2((s[i] - safe(m[i % kTileQueries])) * c);
    l[i % kTileQueries] += s[i];
  }
}

void pack_scaled(const float* s, int rows, const float* scale, void* p) {
  for (int r = 0; r < rows; ++r) {
    for (int q = 0; q < kTileQueries; ++q) store_pair(p, r, q, s[r * kTileQueries + q] * scale[q]);
  }
}

}  // namespace

const TileKernels& emulated_amx_kernels() {
  static const TileKernels table{"amx-emulated", DType::bf16,  false,      Product::kRows,     Product::kDepth,
                                 nothing,        nothing,      product,    scaled_product_add, column_max,
                                 softmax_block,  exponentials, pack_scaled};
  return table;
}

}  // namespace assay::substrate
