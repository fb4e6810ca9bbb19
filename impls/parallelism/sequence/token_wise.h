#pragma once
// The token-wise parts of transformer layers on real data, in float32: products with weights, the norm, GELU and SiLU,
// rotary positions. Plain loops, as in attention_block.h.
#include <cstdint>
#include <vector>

namespace assay::parallelism {

using Floats = std::vector<float>;
inline std::size_t at(std::int64_t index) { return static_cast<std::size_t>(index); }

// x / sqrt(mean x^2 + this): the norm, without weights.
inline constexpr double kNormEpsilon = 1e-5;
// Rows of h, in place.
void normalise(Floats& rows, std::int64_t h);
// d <- the gradient of x from that of n = x r, r = (mean x^2 + e)^(-1/2): dx = r (dn - n mean(dn n)), in place.
// `divisor_constant`: without the second term, for mutants.
void norm_backward(const Floats& x, std::int64_t h, bool divisor_constant, Floats& d);

float gelu(float a);
float gelu_slope(float a);
float silu(float a);  // a / (1 + e^-a)
float silu_slope(float a);

// Rotary positions (arXiv 2104.09864), elements i and i + d/2 of a head as a pair: the angle by which pair i turns at a
// position, and the turn of that pair in every head of d of `count` elements.
double rotary_angle(double base, std::int64_t position, std::int64_t pair, std::int64_t d);
void turn_pairs(float* heads, std::int64_t count, std::int64_t d, std::int64_t pair, double angle);

// c[rows][n] += a[rows][k] b[k][n].
void product(const float* a, const float* b, std::int64_t rows, std::int64_t k, std::int64_t n, float* c);
// c[k][n] += a[rows][k]^T b[rows][n].
void outer_product(const float* a, const float* b, std::int64_t rows, std::int64_t k, std::int64_t n, float* c);
Floats transposed(const Floats& matrix, std::int64_t rows, std::int64_t columns);

}  // namespace assay::parallelism
