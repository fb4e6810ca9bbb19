#pragma once
// The arithmetic chip: softmax, LayerNorm, GELU, residuals and partial sums with nothing but adders and multipliers
// (arXiv 2310.09385: exp by Taylor series, division by Newton-Raphson, 1/sqrt by the bit estimate and Newton steps).
// Each function walks its vectors in passes; a pass of n elements keeps n/adders or n/multipliers clocks busy. One code
// both computes and counts: without data it only counts.
#include <cstdint>
#include <span>

namespace assay::hardware {

struct AsicCount {
  std::int64_t adds = 0, multiplies = 0;  // operations
  std::int64_t adder_clocks = 0, multiplier_clocks = 0;
  bool operator==(const AsicCount&) const = default;
  // Adders and multipliers work at once: results of one are chained into the other while the vector passes.
  std::int64_t clocks() const { return adder_clocks > multiplier_clocks ? adder_clocks : multiplier_clocks; }
};

class Asic {
 public:
  Asic(int adders, int multipliers) : adders_(adders), multipliers_(multipliers) {}

  // Each returns what it took. An empty span only counts `n` elements; else the span has n elements and is replaced.
  // The affine part of LayerNorm is folded into the next matrix.
  AsicCount layer_norm(std::int64_t n, std::span<float> x = {}) const;
  AsicCount gelu(std::int64_t n, std::span<float> x = {}) const;  // the tanh form
  // `rows` rows of n scores, each scaled by 1 / sqrt(head_dim) first.
  AsicCount softmax(std::int64_t rows, std::int64_t n, int head_dim, std::span<float> x = {}) const;
  AsicCount add(std::int64_t n, std::span<float> x = {}, std::span<const float> y = {}) const;  // x += y
  AsicCount largest(std::int64_t n) const;  // greedy choice of the next token

  // The functions the others are made of, for their own error bounds.
  AsicCount exponential(std::int64_t n, std::span<float> x) const;  // of arguments at most 0
  AsicCount reciprocal(std::int64_t n, std::span<float> x) const;   // of positive arguments
  AsicCount inverse_root(std::int64_t n, std::span<float> x) const;

 private:
  int adders_;
  int multipliers_;
};

}  // namespace assay::hardware
