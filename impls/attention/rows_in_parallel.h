#pragma once
// What the oracles of this family share: tensors as numbers, sums of products, and the CPUs of this process on tasks
// that do not depend on each other. What comes out does not depend on how many CPUs there are.
#include <array>
#include <cstdint>
#include <functional>
#include <type_traits>
#include <vector>

#include "impls/attention/problem.h"

namespace assay::attention {

// task(index) for every index in [0, count), on all CPUs this process may use; the longest first.
void in_parallel(std::int64_t count, const std::function<void(std::int64_t index)>& task);

// Rows [first, first + rows) of a head as numbers, one after the other.
template <class Real>
void read_rows(const substrate::View& from, int b, int h, int first, int rows, int columns, Real* to) {
  const auto all = [&](const auto* line) {
    for (int c = 0; c < columns; ++c) {
      if constexpr (std::is_same_v<std::remove_cvref_t<decltype(*line)>, float>) {
        to[c] = static_cast<Real>(line[c]);
      } else {
        to[c] = static_cast<Real>(substrate::to_float(line[c]));
      }
    }
  };
  for (int row = first; row < first + rows; ++row, to += columns) {
    const std::byte* const line = from.at(b, h, row);
    if (from.dtype == DType::f32) {
      all(reinterpret_cast<const float*>(line));
    } else if (from.dtype == DType::bf16) {
      all(reinterpret_cast<const substrate::BFloat16*>(line));
    } else {
      all(reinterpret_cast<const substrate::Float16*>(line));
    }
  }
}

// In float32 the sum in order, which is the yardstick's; in float64 eight sums, which a CPU adds up side by side.
inline float dot(const float* a, const float* b, std::size_t count) {
  float sum = 0;
  for (std::size_t c = 0; c < count; ++c) sum += a[c] * b[c];
  return sum;
}
inline double dot(const double* a, const double* b, std::size_t count) {
  std::array<double, 8> sums{};
  std::size_t c = 0;
  for (; c + 8 <= count; c += 8)
    for (std::size_t lane = 0; lane < 8; ++lane) sums[lane] += a[c + lane] * b[c + lane];
  double sum = 0;
  for (; c < count; ++c) sum += a[c] * b[c];
  for (const double each : sums) sum += each;
  return sum;
}

}  // namespace assay::attention
