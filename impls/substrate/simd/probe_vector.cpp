#include "impls/substrate/simd/probes.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "impls/substrate/simd/probe_vector.cpp"
#define HWY_DISABLED_TARGETS (HWY_SSSE3 | HWY_SSE4 | HWY_AVX3_DL)
#include <hwy/foreach_target.h>  // IWYU pragma: keep
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace assay::substrate {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
using F32 = hn::CappedTag<float, 16>;

constexpr int kAccumulators = 12;  // latency 4 at two a cycle needs 8

int fma_outputs() { return kAccumulators * static_cast<int>(hn::Lanes(F32())); }

void probe_fma(std::int64_t steps, float first, float* out) {
  const F32 d;
  // Values the compiler cannot see, so that no multiplication by one is folded away.
  volatile float two = 2;
  volatile float half = 0.5F;
  const auto a = hn::Set(d, two);
  const auto b = hn::Set(d, half);
  using V = hn::Vec<F32>;
  V x0, x1, x2, x3, x4, x5, x6, x7, x8, x9, x10, x11;
  // Each from another value: equal chains could be computed once.
  x0 = hn::Set(d, first + 0.0f);
  x1 = hn::Set(d, first + 1.0f);
  x2 = hn::Set(d, first + 2.0f);
  x3 = hn::Set(d, first + 3.0f);
  x4 = hn::Set(d, first + 4.0f);
  x5 = hn::Set(d, first + 5.0f);
  x6 = hn::Set(d, first + 6.0f);
  x7 = hn::Set(d, first + 7.0f);
  x8 = hn::Set(d, first + 8.0f);
  x9 = hn::Set(d, first + 9.0f);
  x10 = hn::Set(d, first + 10.0f);
  x11 = hn::Set(d, first + 11.0f);
  for (std::int64_t step = 0; step < steps; ++step) {
    x0 = hn::MulAdd(a, b, x0);
    x1 = hn::MulAdd(a, b, x1);
    x2 = hn::MulAdd(a, b, x2);
    x3 = hn::MulAdd(a, b, x3);
    x4 = hn::MulAdd(a, b, x4);
    x5 = hn::MulAdd(a, b, x5);
    x6 = hn::MulAdd(a, b, x6);
    x7 = hn::MulAdd(a, b, x7);
    x8 = hn::MulAdd(a, b, x8);
    x9 = hn::MulAdd(a, b, x9);
    x10 = hn::MulAdd(a, b, x10);
    x11 = hn::MulAdd(a, b, x11);
  }
  const std::size_t lanes = hn::Lanes(d);
  std::size_t at = 0;
  for (const V& x : {x0, x1, x2, x3, x4, x5, x6, x7, x8, x9, x10, x11}) {
    hn::StoreU(x, d, out + at);
    at += lanes;
  }
}

double probe_read(const float* data, std::size_t count) {
  const F32 d;
  const std::size_t lanes = hn::Lanes(d);
  auto s0 = hn::Zero(d), s1 = s0, s2 = s0, s3 = s0;
  std::size_t i = 0;
  for (; i + 4 * lanes <= count; i += 4 * lanes) {
    s0 = hn::Add(s0, hn::LoadU(d, data + i));
    s1 = hn::Add(s1, hn::LoadU(d, data + i + lanes));
    s2 = hn::Add(s2, hn::LoadU(d, data + i + 2 * lanes));
    s3 = hn::Add(s3, hn::LoadU(d, data + i + 3 * lanes));
  }
  double sum = 0;
  for (const auto& s : {s0, s1, s2, s3}) sum += static_cast<double>(hn::GetLane(hn::SumOfLanes(d, s)));
  for (; i < count; ++i) sum += static_cast<double>(data[i]);
  return sum;
}

}  // namespace HWY_NAMESPACE
}  // namespace assay::substrate
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace assay::substrate {

HWY_EXPORT(fma_outputs);
HWY_EXPORT(probe_fma);
HWY_EXPORT(probe_read);

int fma_outputs() { return HWY_DYNAMIC_DISPATCH(fma_outputs)(); }
void probe_fma(std::int64_t steps, float first, float* out) { HWY_DYNAMIC_DISPATCH(probe_fma)(steps, first, out); }
double probe_read(const float* data, std::size_t count) { return HWY_DYNAMIC_DISPATCH(probe_read)(data, count); }

}  // namespace assay::substrate
#endif
