#pragma once
// RMSNorm fused with the residual addition before it, as every layer of a pre-norm transformer has it:
//   h = x + r;   r' = h;   y = h / sqrt(mean(h^2) + eps) * w        (a row of `hidden` elements at a time)
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "harness/registry.h"
#include "harness/state.h"
#include "impls/substrate/dtype.h"
#include "impls/substrate/tensor.h"

namespace assay::normalization {

struct NormProblem {
  std::int64_t tokens = 1;
  std::int64_t hidden = 1;
  bool residual = true;  // false: h = x, and r' is not written
  substrate::DType dtype = substrate::DType::bf16;
  float epsilon = 1e-5F;

  std::int64_t elements() const { return tokens * hidden; }
  std::size_t bytes() const { return static_cast<std::size_t>(elements() * size_of(dtype)); }
  // x, r and w read once, r' and y written once; a square and an addition, the residual's addition, two products.
  harness::Work work() const;
};

std::vector<harness::Axis> norm_axes(const std::vector<std::string>& dtypes);
NormProblem norm_problem(const harness::State& state);

// x, r and r', y [tokens][hidden], w [hidden], all of the problem's dtype, in host memory.
struct NormTensors {
  explicit NormTensors(const NormProblem& problem);
  void draw(const NormProblem& problem, std::uint64_t seed);
  substrate::AlignedBuffer<std::byte> x, residual, weight, sum, y;
};

// A wrong version of what is computed, for the gate's mutants.
struct NormFault {
  std::int64_t columns_left_out = 0;  // the last ones are not written
  bool forgets_residual = false;
  float scale = 1;      // of y
  bool coarse = false;  // h with 3 mantissa bits
};
std::vector<std::pair<std::string, NormFault>> norm_faults(const NormProblem& problem);
// The value that `coarse` makes of one.
float coarsened(float value);

// Every element of y, and of r' where there is one, against float64. The sum is rounded to the dtype once and y once,
// and y carries the rounding of its h: tolerance 2.5 unit roundoffs of the exact value, and 1e-6.
harness::Check compare_norm(const NormProblem& problem, const NormTensors& tensors);

}  // namespace assay::normalization
