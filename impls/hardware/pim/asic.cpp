#include "impls/hardware/pim/asic.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

namespace assay::hardware {

namespace {

constexpr int kNewtonSteps = 3;
// exp(r) for |r| <= ln(2)/2 to the fifth order: 2.5e-6.
constexpr float kTaylor[] = {1.0F / 120, 1.0F / 24, 1.0F / 6, 0.5F, 1.0F, 1.0F};
constexpr float kLog2E = 1.44269504F;
constexpr float kLn2 = 0.693147181F;
constexpr float kLowest = -87.0F;  // exp of less is 0 in single precision but for subnormals

class Passes {
 public:
  Passes(int adders, int multipliers, bool runs) : adders_(adders), multipliers_(multipliers), runs_(runs) {}

  template <class Each>
  void add(std::int64_t n, Each&& each) {
    count_.adds += n;
    count_.adder_clocks += (n + adders_ - 1) / adders_;
    run(n, each);
  }
  template <class Each>
  void multiply(std::int64_t n, Each&& each) {
    count_.multiplies += n;
    count_.multiplier_clocks += (n + multipliers_ - 1) / multipliers_;
    run(n, each);
  }
  bool runs() const { return runs_; }
  const AsicCount& count() const { return count_; }

 private:
  template <class Each>
  void run(std::int64_t n, Each& each) const {
    if (!runs_) return;
    for (std::int64_t i = 0; i < n; ++i) each(static_cast<std::size_t>(i));
  }
  int adders_, multipliers_;
  bool runs_;
  AsicCount count_;
};

std::vector<float> room(const Passes& passes, std::int64_t n) {
  return std::vector<float>(passes.runs() ? static_cast<std::size_t>(n) : 0);
}

// x -> exp(x), x <= 0: 2^k exp(r) with k the nearest whole number to x / ln 2.
void exponential_passes(Passes& passes, std::int64_t n, std::span<float> x) {
  std::vector<float> k = room(passes, n), sum = room(passes, n);
  passes.add(n, [&](std::size_t i) { x[i] = std::max(x[i], kLowest); });
  passes.multiply(n, [&](std::size_t i) { k[i] = x[i] * kLog2E; });
  passes.add(n, [&](std::size_t i) { k[i] = std::nearbyint(k[i]); });
  std::vector<float> part = room(passes, n);
  passes.multiply(n, [&](std::size_t i) { part[i] = k[i] * kLn2; });
  passes.add(n, [&](std::size_t i) { x[i] -= part[i]; });
  if (passes.runs()) std::ranges::fill(sum, kTaylor[0]);
  for (std::size_t order = 1; order < std::size(kTaylor); ++order) {
    passes.multiply(n, [&](std::size_t i) { sum[i] *= x[i]; });
    passes.add(n, [&](std::size_t i) { sum[i] += kTaylor[order]; });
  }
  // k goes to the exponent: an integer addition. No number has no exponent.
  passes.add(n, [&](std::size_t i) {
    const auto exponent = std::isnan(k[i]) ? 0U : static_cast<std::uint32_t>(static_cast<std::int32_t>(k[i])) << 23;
    x[i] = std::bit_cast<float>(std::bit_cast<std::uint32_t>(sum[i]) + exponent);
  });
}

void reciprocal_passes(Passes& passes, std::int64_t n, std::span<float> x) {
  std::vector<float> y = room(passes, n), part = room(passes, n);
  passes.add(n, [&](std::size_t i) { y[i] = std::bit_cast<float>(0x7EF311C7U - std::bit_cast<std::uint32_t>(x[i])); });
  for (int step = 0; step < kNewtonSteps; ++step) {
    passes.multiply(n, [&](std::size_t i) { part[i] = x[i] * y[i]; });
    passes.add(n, [&](std::size_t i) { part[i] = 2 - part[i]; });
    passes.multiply(n, [&](std::size_t i) { y[i] *= part[i]; });
  }
  if (passes.runs()) std::ranges::copy(y, x.begin());
}

void inverse_root_passes(Passes& passes, std::int64_t n, std::span<float> x) {
  std::vector<float> y = room(passes, n), part = room(passes, n);
  passes.add(
      n, [&](std::size_t i) { y[i] = std::bit_cast<float>(0x5F3759DFU - (std::bit_cast<std::uint32_t>(x[i]) >> 1)); });
  passes.multiply(n, [&](std::size_t i) { x[i] *= 0.5F; });
  for (int step = 0; step < kNewtonSteps; ++step) {
    passes.multiply(n, [&](std::size_t i) { part[i] = y[i] * y[i]; });
    passes.multiply(n, [&](std::size_t i) { part[i] *= x[i]; });
    passes.add(n, [&](std::size_t i) { part[i] = 1.5F - part[i]; });
    passes.multiply(n, [&](std::size_t i) { y[i] *= part[i]; });
  }
  if (passes.runs()) std::ranges::copy(y, x.begin());
}

}  // namespace

AsicCount Asic::exponential(std::int64_t n, std::span<float> x) const {
  Passes passes(adders_, multipliers_, !x.empty());
  exponential_passes(passes, n, x);
  return passes.count();
}

AsicCount Asic::reciprocal(std::int64_t n, std::span<float> x) const {
  Passes passes(adders_, multipliers_, !x.empty());
  reciprocal_passes(passes, n, x);
  return passes.count();
}

AsicCount Asic::inverse_root(std::int64_t n, std::span<float> x) const {
  Passes passes(adders_, multipliers_, !x.empty());
  inverse_root_passes(passes, n, x);
  return passes.count();
}

AsicCount Asic::layer_norm(std::int64_t n, std::span<float> x) const {
  Passes passes(adders_, multipliers_, !x.empty());
  const float inverse = 1.0F / static_cast<float>(n);
  float mean = 0, scale[1] = {0};
  passes.add(n, [&](std::size_t i) { mean += x[i]; });
  passes.multiply(1, [&](std::size_t) { mean *= inverse; });
  passes.add(n, [&](std::size_t i) { x[i] -= mean; });
  std::vector<float> square = room(passes, n);
  passes.multiply(n, [&](std::size_t i) { square[i] = x[i] * x[i]; });
  passes.add(n, [&](std::size_t i) { scale[0] += square[i]; });
  passes.multiply(1, [&](std::size_t) { scale[0] *= inverse; });
  passes.add(1, [&](std::size_t) { scale[0] += 1e-5F; });
  inverse_root_passes(passes, 1, scale);
  passes.multiply(n, [&](std::size_t i) { x[i] *= scale[0]; });
  return passes.count();
}

// x / (1 + exp(-2 y)) with y = sqrt(2/pi) (x + 0.044715 x^3) is x (1 + tanh y) / 2. The exponential takes -2|y|; for
// negative y the quotient is exp(-2|y|) / (1 + exp(-2|y|)).
AsicCount Asic::gelu(std::int64_t n, std::span<float> x) const {
  Passes passes(adders_, multipliers_, !x.empty());
  constexpr float kLinear = 2 * 0.797884561F, kCubic = 2 * 0.797884561F * 0.044715F;
  std::vector<float> y = room(passes, n), e = room(passes, n);
  passes.multiply(n, [&](std::size_t i) { y[i] = x[i] * x[i]; });
  passes.multiply(n, [&](std::size_t i) { y[i] *= kCubic; });
  passes.add(n, [&](std::size_t i) { y[i] += kLinear; });
  passes.multiply(n, [&](std::size_t i) { y[i] *= x[i]; });
  if (passes.runs()) std::ranges::transform(y, e.begin(), [](float each) { return -std::abs(each); });
  exponential_passes(passes, n, e);
  std::vector<float> quotient = e;
  passes.add(n, [&](std::size_t i) { quotient[i] += 1; });
  reciprocal_passes(passes, n, quotient);
  passes.multiply(n, [&](std::size_t i) { quotient[i] *= y[i] < 0 ? e[i] : 1.0F; });
  passes.multiply(n, [&](std::size_t i) { x[i] *= quotient[i]; });
  return passes.count();
}

AsicCount Asic::softmax(std::int64_t rows, std::int64_t n, int head_dim, std::span<float> x) const {
  Passes passes(adders_, multipliers_, !x.empty());
  const std::int64_t all = rows * n;
  const auto row = [&](std::size_t i) { return i / static_cast<std::size_t>(n); };
  const float scale = 1 / std::sqrt(static_cast<float>(head_dim));
  std::vector<float> largest = room(passes, rows), sum = room(passes, rows);
  if (passes.runs()) std::ranges::fill(largest, -INFINITY);
  passes.multiply(all, [&](std::size_t i) { x[i] *= scale; });
  passes.add(all, [&](std::size_t i) { largest[row(i)] = std::max(largest[row(i)], x[i]); });
  passes.add(all, [&](std::size_t i) { x[i] -= largest[row(i)]; });
  exponential_passes(passes, all, x);
  passes.add(all, [&](std::size_t i) { sum[row(i)] += x[i]; });
  reciprocal_passes(passes, rows, sum);
  passes.multiply(all, [&](std::size_t i) { x[i] *= sum[row(i)]; });
  return passes.count();
}

AsicCount Asic::add(std::int64_t n, std::span<float> x, std::span<const float> y) const {
  Passes passes(adders_, multipliers_, !x.empty());
  passes.add(n, [&](std::size_t i) { x[i] += y[i]; });
  return passes.count();
}

AsicCount Asic::largest(std::int64_t n) const {
  Passes passes(adders_, multipliers_, false);
  passes.add(n, [](std::size_t) {});
  return passes.count();
}

}  // namespace assay::hardware
