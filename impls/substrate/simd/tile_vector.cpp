// Tile operations in fp32 vector arithmetic, compiled by Highway once per instruction set.
#include "impls/substrate/simd/tile_vector.h"

#include <limits>
#include <stdexcept>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "impls/substrate/simd/tile_vector.cpp"
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL)
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace assay::substrate {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// At most 16 lanes, so that 32 queries are always a whole number of vectors.
using F32 = hn::CappedTag<float, 16>;
using I32 = hn::RebindToSigned<F32>;

// A fixed block of C stays in registers over the whole depth: kRows x kVectors accumulators, at least the latency x
// throughput of the fused multiply-add (8 to 10), no more than the register file has room for.
#if HWY_TARGET == HWY_AVX3
constexpr int kVectors = 2;
constexpr int kRows = 8;
#else
constexpr int kVectors = 2;
constexpr int kRows = 4;
#endif
constexpr int kRowGrain = 8;

template <bool kAdd>
HWY_INLINE void product_block(const float* HWY_RESTRICT a, std::int64_t a_stride, const float* HWY_RESTRICT b,
                              int depth, const float* HWY_RESTRICT scale, float* HWY_RESTRICT c) {
  const F32 d;
  const std::size_t lanes = hn::Lanes(d);
  static_assert(kRows == 4 || kRows == 8);
  using V = hn::Vec<F32>;
  V c00, c01, c10, c11, c20, c21, c30, c31;
  c00 = c01 = c10 = c11 = c20 = c21 = c30 = c31 = hn::Zero(d);
#if HWY_TARGET == HWY_AVX3
  V c40, c41, c50, c51, c60, c61, c70, c71;
  c40 = c41 = c50 = c51 = c60 = c61 = c70 = c71 = hn::Zero(d);
#endif
  for (int k = 0; k < depth; ++k) {
    const V b0 = hn::Load(d, b + static_cast<std::int64_t>(k) * kTileQueries);
    const V b1 = hn::Load(d, b + static_cast<std::int64_t>(k) * kTileQueries + lanes);
#define ASSAY_ROW(r)                             \
  {                                              \
    const V x = hn::Set(d, a[(r)*a_stride + k]); \
    c##r##0 = hn::MulAdd(x, b0, c##r##0);        \
    c##r##1 = hn::MulAdd(x, b1, c##r##1);        \
  }
    ASSAY_ROW(0)
    ASSAY_ROW(1)
    ASSAY_ROW(2)
    ASSAY_ROW(3)
#if HWY_TARGET == HWY_AVX3
    ASSAY_ROW(4)
    ASSAY_ROW(5)
    ASSAY_ROW(6)
    ASSAY_ROW(7)
#endif
#undef ASSAY_ROW
  }
#define ASSAY_STORE(r)                                                                     \
  {                                                                                        \
    float* HWY_RESTRICT row = c + (r)*kTileQueries;                                        \
    if constexpr (kAdd) {                                                                  \
      c##r##0 = hn::MulAdd(hn::Load(d, row), hn::Load(d, scale), c##r##0);                 \
      c##r##1 = hn::MulAdd(hn::Load(d, row + lanes), hn::Load(d, scale + lanes), c##r##1); \
    }                                                                                      \
    hn::Store(c##r##0, d, row);                                                            \
    hn::Store(c##r##1, d, row + lanes);                                                    \
  }
  ASSAY_STORE(0)
  ASSAY_STORE(1)
  ASSAY_STORE(2)
  ASSAY_STORE(3)
#if HWY_TARGET == HWY_AVX3
  ASSAY_STORE(4)
  ASSAY_STORE(5)
  ASSAY_STORE(6)
  ASSAY_STORE(7)
#endif
#undef ASSAY_STORE
}

template <bool kAdd>
HWY_INLINE void product_all(const void* a_any, std::int64_t a_stride, const void* b_any, int rows, int depth,
                            const float* scale, float* c) {
  const F32 d;
  const auto* a = static_cast<const float*>(a_any);
  const auto* b = static_cast<const float*>(b_any);
  const std::size_t step = kVectors * hn::Lanes(d);
  for (int r = 0; r < rows; r += kRows) {
    for (std::size_t q = 0; q < kTileQueries; q += step) {
      product_block<kAdd>(a + r * a_stride, a_stride, b + q, depth, kAdd ? scale + q : nullptr,
                          c + static_cast<std::int64_t>(r) * kTileQueries + q);
    }
  }
}

void product(const void* a, std::int64_t a_stride, const void* b, int rows, int depth, float* c) {
  product_all<false>(a, a_stride, b, rows, depth, nullptr, c);
}

void scaled_product_add(const void* a, std::int64_t a_stride, const void* b, int rows, int depth, const float* scale,
                        float* c) {
  product_all<true>(a, a_stride, b, rows, depth, scale, c);
}

// 2^x for x <= 0 (and a little above), relative error below 3e-7; 0 below 2^-126, so for -inf too. x = n + f with n the
// nearest whole number, found by adding 1.5 * 2^23; 2^f by its minimax polynomial on [-1/2, 1/2].
template <class D, class V>
HWY_INLINE V exp2(D d, V x) {
  const I32 di;
  const V magic = hn::Set(d, 12582912.0f);
  const V low = hn::Set(d, -126.0f);
  const V bounded = hn::Max(x, low);
  const V shifted = hn::Add(bounded, magic);
  const V f = hn::Sub(bounded, hn::Sub(shifted, magic));
  V p = hn::Set(d, 1.3390625e-3f);
  p = hn::MulAdd(p, f, hn::Set(d, 9.6163633e-3f));
  p = hn::MulAdd(p, f, hn::Set(d, 5.5503324e-2f));
  p = hn::MulAdd(p, f, hn::Set(d, 2.4022652e-1f));
  p = hn::MulAdd(p, f, hn::Set(d, 6.9314718e-1f));
  p = hn::MulAdd(p, f, hn::Set(d, 1.0f));
  const auto power = hn::ShiftLeft<23>(hn::BitCast(di, shifted));
  const V value = hn::BitCast(d, hn::Add(hn::BitCast(di, p), power));
  return hn::IfThenElseZero(hn::Ge(x, low), value);
}

// -inf * c would be -inf and s*c - (-inf) = inf - inf; a column without any key gets 0, so that its P is 2^-inf = 0.
template <class D, class V>
HWY_INLINE V safe_max(D d, V m) {
  return hn::IfThenElse(hn::Eq(m, hn::Set(d, -std::numeric_limits<float>::infinity())), hn::Zero(d), m);
}

void column_max(const float* HWY_RESTRICT s, int rows, float c, float* HWY_RESTRICT m, float* HWY_RESTRICT alpha) {
  const F32 d;
  for (std::size_t q = 0; q < kTileQueries; q += hn::Lanes(d)) {
    const auto before = hn::Load(d, m + q);
    auto after = before;
    for (int r = 0; r < rows; ++r)
      after = hn::Max(after, hn::Load(d, s + static_cast<std::int64_t>(r) * kTileQueries + q));
    hn::Store(after, d, m + q);
    hn::Store(exp2(d, hn::Mul(hn::Sub(before, safe_max(d, after)), hn::Set(d, c))), d, alpha + q);
  }
}

template <bool kRound>
HWY_INLINE void store_p(F32 d, hn::Vec<F32> p, float* to) {
  if constexpr (kRound) {  // to bf16, nearest even, kept as f32
    const hn::RebindToUnsigned<F32> du;
    const auto bits = hn::BitCast(du, p);
    const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1));
    const auto rounded = hn::And(hn::Add(hn::Add(bits, hn::Set(du, 0x7fff)), odd), hn::Set(du, 0xffff0000U));
    hn::Store(hn::BitCast(d, rounded), d, to);
  } else {
    hn::Store(p, d, to);
  }
}

template <bool kRound>
void softmax_block(const float* HWY_RESTRICT s, int rows, float c, const float* HWY_RESTRICT m,
                   const float* HWY_RESTRICT alpha, float* HWY_RESTRICT l, void* p_any) {
  const F32 d;
  auto* p = static_cast<float*>(p_any);
  const auto factor = hn::Set(d, c);
  for (std::size_t q = 0; q < kTileQueries; q += hn::Lanes(d)) {
    const auto shift = hn::Mul(safe_max(d, hn::Load(d, m + q)), factor);
    auto sum = hn::Zero(d);
    for (int r = 0; r < rows; ++r) {
      const std::int64_t at = static_cast<std::int64_t>(r) * kTileQueries + q;
      const auto e = exp2(d, hn::MulSub(hn::Load(d, s + at), factor, shift));
      sum = hn::Add(sum, e);
      store_p<kRound>(d, e, p + at);
    }
    hn::Store(hn::MulAdd(hn::Load(d, l + q), hn::Load(d, alpha + q), sum), d, l + q);
  }
}

void exponentials(float* HWY_RESTRICT s, int rows, float c, const float* HWY_RESTRICT m, float* HWY_RESTRICT l) {
  const F32 d;
  const auto factor = hn::Set(d, c);
  for (std::size_t q = 0; q < kTileQueries; q += hn::Lanes(d)) {
    const auto shift = hn::Mul(safe_max(d, hn::Load(d, m + q)), factor);
    auto sum = hn::Load(d, l + q);
    for (int r = 0; r < rows; ++r) {
      float* at = s + static_cast<std::int64_t>(r) * kTileQueries + q;
      const auto e = exp2(d, hn::MulSub(hn::Load(d, at), factor, shift));
      sum = hn::Add(sum, e);
      hn::Store(e, d, at);
    }
    hn::Store(sum, d, l + q);
  }
}

template <bool kRound>
void pack_scaled(const float* HWY_RESTRICT s, int rows, const float* HWY_RESTRICT scale, void* p_any) {
  const F32 d;
  auto* p = static_cast<float*>(p_any);
  for (std::size_t q = 0; q < kTileQueries; q += hn::Lanes(d)) {
    const auto factor = hn::Load(d, scale + q);
    for (int r = 0; r < rows; ++r) {
      const std::int64_t at = static_cast<std::int64_t>(r) * kTileQueries + q;
      store_p<kRound>(d, hn::Mul(hn::Load(d, s + at), factor), p + at);
    }
  }
}

void nothing() {}

const TileKernels& table(DType dtype) {
  static const TileKernels exact{hwy::TargetName(HWY_TARGET),
                                 DType::f32,
                                 false,
                                 kRowGrain,
                                 1,
                                 nothing,
                                 nothing,
                                 product,
                                 scaled_product_add,
                                 column_max,
                                 softmax_block<false>,
                                 exponentials,
                                 pack_scaled<false>};
  static const TileKernels rounded{hwy::TargetName(HWY_TARGET),
                                   DType::f32,
                                   true,
                                   kRowGrain,
                                   1,
                                   nothing,
                                   nothing,
                                   product,
                                   scaled_product_add,
                                   column_max,
                                   softmax_block<true>,
                                   exponentials,
                                   pack_scaled<true>};
  return dtype == DType::f32 ? exact : rounded;
}

}  // namespace HWY_NAMESPACE
}  // namespace assay::substrate
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace assay::substrate {

const TileKernels& vector_kernels(Isa isa, DType dtype) {
  switch (isa) {
    case Isa::portable:
      return HWY_STATIC_DISPATCH(table)(dtype);
#if HWY_TARGETS & HWY_AVX2
    case Isa::avx2:
      return N_AVX2::table(dtype);
#endif
#if HWY_TARGETS & HWY_AVX3
    case Isa::avx512:
      return N_AVX3::table(dtype);
#endif
    default:
      throw std::invalid_argument("no vector kernels for this instruction set");
  }
}

}  // namespace assay::substrate
#endif
