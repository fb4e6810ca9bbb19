#include "impls/parallelism/sequence/token_wise.h"

#include <cmath>
#include <numbers>

namespace assay::parallelism {

void normalise(Floats& rows, std::int64_t h) {
  for (std::int64_t first = 0; first < static_cast<std::int64_t>(rows.size()); first += h) {
    float squares = 0;
    for (std::int64_t c = first; c < first + h; ++c) squares += rows[at(c)] * rows[at(c)];
    const float scale = 1 / std::sqrt(squares / static_cast<float>(h) + static_cast<float>(kNormEpsilon));
    for (std::int64_t c = first; c < first + h; ++c) rows[at(c)] *= scale;
  }
}

void norm_backward(const Floats& x, std::int64_t h, bool divisor_constant, Floats& d) {
  for (std::int64_t first = 0; first < static_cast<std::int64_t>(d.size()); first += h) {
    float squares = 0, along = 0;
    for (std::int64_t c = first; c < first + h; ++c) squares += x[at(c)] * x[at(c)];
    const float r = 1 / std::sqrt(squares / static_cast<float>(h) + static_cast<float>(kNormEpsilon));
    for (std::int64_t c = first; c < first + h; ++c) along += d[at(c)] * x[at(c)] * r;
    along = divisor_constant ? 0 : along / static_cast<float>(h);
    for (std::int64_t c = first; c < first + h; ++c) d[at(c)] = r * (d[at(c)] - x[at(c)] * r * along);
  }
}

float gelu(float a) { return 0.5F * a * (1 + std::erf(a / std::numbers::sqrt2_v<float>)); }

float gelu_slope(float a) {
  return 0.5F * (1 + std::erf(a / std::numbers::sqrt2_v<float>)) +
         a * std::exp(-0.5F * a * a) * std::numbers::inv_sqrtpi_v<float> / std::numbers::sqrt2_v<float>;
}

float silu(float a) { return a / (1 + std::exp(-a)); }

float silu_slope(float a) {
  const float share = 1 / (1 + std::exp(-a));
  return share * (1 + a * (1 - share));
}

double rotary_angle(double base, std::int64_t position, std::int64_t pair, std::int64_t d) {
  return static_cast<double>(position) * std::pow(base, -2 * static_cast<double>(pair) / static_cast<double>(d));
}

void turn_pairs(float* heads, std::int64_t count, std::int64_t d, std::int64_t pair, double angle) {
  const auto c = static_cast<float>(std::cos(angle)), s = static_cast<float>(std::sin(angle));
  for (std::int64_t first = pair; first < count; first += d) {
    const float a = heads[first], b = heads[first + d / 2];
    heads[first] = a * c - b * s;
    heads[first + d / 2] = a * s + b * c;
  }
}

void product(const float* a, const float* b, std::int64_t rows, std::int64_t k, std::int64_t n, float* c) {
  for (std::int64_t i = 0; i < rows; ++i) {
    float* out = c + i * n;
    for (std::int64_t x = 0; x < k; ++x) {
      const float factor = a[i * k + x];
      const float* row = b + x * n;
      for (std::int64_t j = 0; j < n; ++j) out[j] += factor * row[j];
    }
  }
}

void outer_product(const float* a, const float* b, std::int64_t rows, std::int64_t k, std::int64_t n, float* c) {
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t x = 0; x < k; ++x) {
      const float factor = a[i * k + x];
      float* out = c + x * n;
      for (std::int64_t j = 0; j < n; ++j) out[j] += factor * b[i * n + j];
    }
}

Floats transposed(const Floats& matrix, std::int64_t rows, std::int64_t columns) {
  Floats turned(matrix.size());
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < columns; ++j) turned[at(j * rows + i)] = matrix[at(i * columns + j)];
  return turned;
}

}  // namespace assay::parallelism
