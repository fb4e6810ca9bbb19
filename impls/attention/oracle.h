#pragma once
// What the right answer is, and how far from it a kernel may be.
#include <cstdint>
#include <string>
#include <vector>

#include "harness/state.h"
#include "impls/attention/problem.h"

namespace assay::attention {

// One output row as float64 computes it: two passes over the keys, no tiling, no rounding of anything in between.
struct ExactRow {
  std::vector<double> o;
  double lse = 0;
};
ExactRow exact_row(const Problem& problem, const Tensors& tensors, int b, int h, int row);

// The same row by naive attention in the problem's dtype: f32 accumulation in order, P and O rounded to the dtype. Its
// distance from float64 is the yardstick of the pass rule.
struct NaiveRow {
  std::vector<float> o;
  float lse = 0;
};
NaiveRow naive_row(const Problem& problem, const Tensors& tensors, int b, int h, int row);

// Problems up to this size are compared in every element.
inline constexpr double kFullCheckFlops = 2e9;
inline constexpr int kSampledRows = 64;

// Rows of every head that are compared: all of them, or kSampledRows with the first, the last, tile edges and seeded
// others.
std::vector<int> checked_rows(const Problem& problem, std::uint64_t seed);

// The exact and naive values of the checked rows of one input draw. Rule: err(kernel, f64) <= 2 err(naive, f64) + 1e-5,
// err the largest absolute difference over the rows, for O and for LSE; for O, err(naive) counts as at least the half
// unit in the last place of the largest |O|, which storing in the dtype may cost. Rows without any key must give O = 0,
// LSE = -inf.
class Reference {
 public:
  Reference(const Problem& problem, const Tensors& inputs, std::uint64_t seed);
  harness::Check compare(const Tensors& outputs) const;

 private:
  struct Row {
    int b, h, row;
    ExactRow exact;
  };
  Problem problem_;
  std::vector<Row> rows_;
  double o_tolerance_ = 0;
  double lse_tolerance_ = 0;
};

// A problem of uneven shape that takes the same code path and is small enough to be compared in full.
Problem small_problem(const Problem& problem);

// Runs the technique on that problem and compares all of it.
harness::Check check_small(const Problem& problem, const Execution& execution, MakeKernel make, std::uint64_t seed);

}  // namespace assay::attention
