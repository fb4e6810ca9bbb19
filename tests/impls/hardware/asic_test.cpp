// The arithmetic chip's functions are close to the real ones and cost what their passes add up to.
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <vector>

#include "impls/hardware/pim/asic.h"
#include "impls/substrate/random.h"

namespace assay::hardware {
namespace {

std::vector<float> normal(std::size_t count, double scale, std::uint64_t seed) {
  substrate::Random random(seed);
  std::vector<float> x(count);
  for (float& each : x) each = static_cast<float>(scale * random.normal());
  return x;
}

const Asic chip(256, 128);

TEST(Asic, ExponentialsAreGoodToMillionths) {
  std::vector<float> x;
  for (double each = 0; each > -80; each -= 0.0137) x.push_back(static_cast<float>(each));
  auto y = x;
  chip.exponential(static_cast<std::int64_t>(y.size()), y);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double want = std::exp(static_cast<double>(x[i]));
    EXPECT_NEAR(y[i] / want, 1, 1e-5) << x[i];  // fifth-order remainder 2.5e-6, and the rounding of k ln 2
  }
}

TEST(Asic, NewtonGivesReciprocalsAndRoots) {
  std::vector<float> x;
  for (double each = 1e-6; each < 1e6; each *= 1.013) x.push_back(static_cast<float>(each));
  auto y = x, z = x;
  chip.reciprocal(static_cast<std::int64_t>(y.size()), y);
  chip.inverse_root(static_cast<std::int64_t>(z.size()), z);
  for (std::size_t i = 0; i < x.size(); ++i) {
    EXPECT_NEAR(static_cast<double>(y[i]) * x[i], 1, 1e-6) << x[i];
    EXPECT_NEAR(static_cast<double>(z[i]) * std::sqrt(static_cast<double>(x[i])), 1, 1e-6) << x[i];
  }
}

TEST(Asic, SoftmaxLayerNormAndGeluMatchTheirDefinitions) {
  auto s = normal(std::size_t{12} * 333, 20, 1);
  const auto before = s;
  chip.softmax(12, 333, 64, s);
  for (std::size_t row = 0; row < 12; ++row) {
    double largest = -1e30, sum = 0;
    for (std::size_t i = 0; i < 333; ++i) largest = std::max(largest, before[row * 333 + i] / 8.0);
    for (std::size_t i = 0; i < 333; ++i) sum += std::exp(before[row * 333 + i] / 8.0 - largest);
    for (std::size_t i = 0; i < 333; ++i)
      EXPECT_NEAR(s[row * 333 + i], std::exp(before[row * 333 + i] / 8.0 - largest) / sum, 1e-5);
  }
  auto x = normal(768, 3, 2);
  const auto raw = x;
  chip.layer_norm(768, x);
  const double mean = std::accumulate(raw.begin(), raw.end(), 0.0) / 768;
  double variance = 0;
  for (const float each : raw) variance += (each - mean) * (each - mean) / 768;
  for (std::size_t i = 0; i < 768; ++i) EXPECT_NEAR(x[i], (raw[i] - mean) / std::sqrt(variance + 1e-5), 2e-5);

  auto g = normal(3072, 4, 3);
  const auto in = g;
  chip.gelu(3072, g);
  for (std::size_t i = 0; i < in.size(); ++i) {
    const double v = in[i];
    const double want = 0.5 * v * (1 + std::tanh(std::sqrt(2 / M_PI) * (v + 0.044715 * v * v * v)));
    EXPECT_NEAR(g[i], want, 1e-5 * std::max(1.0, std::abs(want))) << v;
  }
}

TEST(Asic, CostsTheSameWithAndWithoutData) {
  auto s = normal(std::size_t{12} * 100, 1, 1), x = normal(768, 1, 2), g = normal(3072, 1, 3);
  EXPECT_EQ(chip.softmax(12, 100, 64, s), chip.softmax(12, 100, 64));
  EXPECT_EQ(chip.layer_norm(768, x), chip.layer_norm(768));
  EXPECT_EQ(chip.gelu(3072, g), chip.gelu(3072));
}

TEST(Asic, CountsAreThoseOfTheFormulae) {
  // exp: clamp, round, subtract k ln 2, 5 of Horner, exponent; multiply by log2 e, by ln 2, 5 of Horner.
  constexpr std::int64_t kExpAdds = 9, kExpMultiplies = 7;
  constexpr std::int64_t kDivideAdds = 4, kDivideMultiplies = 6;  // the estimate and three Newton steps
  const AsicCount softmax = chip.softmax(12, 100, 64);
  EXPECT_EQ(softmax.adds, 1200 * (3 + kExpAdds) + 12 * kDivideAdds);
  EXPECT_EQ(softmax.multiplies, 1200 * (2 + kExpMultiplies) + 12 * kDivideMultiplies);
  const AsicCount gelu = chip.gelu(3072);
  EXPECT_EQ(gelu.adds, 3072 * (2 + kExpAdds + kDivideAdds));
  EXPECT_EQ(gelu.multiplies, 3072 * (5 + kExpMultiplies + kDivideMultiplies));
  EXPECT_EQ(gelu.multiplier_clocks, 18 * 3072 / 128);
  EXPECT_EQ(gelu.adder_clocks, 15 * 3072 / 256);
  EXPECT_EQ(gelu.clocks(), gelu.multiplier_clocks);
  EXPECT_EQ(chip.add(1600).clocks(), 7);  // ceil(1600 / 256)
}

}  // namespace
}  // namespace assay::hardware
