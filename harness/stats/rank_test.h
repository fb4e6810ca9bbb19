#pragma once
// The one two-sample test of assay: ranks within blocks of launches, with its exact distribution.
// One block without alignment is the test of Wilcoxon, Mann and Whitney; blocks of launches taken close together are
// the aligned rank test of Hodges and Lehmann (Rank methods for combination of independent experiments in analysis of
// variance, 1962).
#include <span>
#include <vector>

#include "harness/stats/median.h"

namespace assay::harness::stats {

// Values of both sides that are exchangeable if the sides are alike.
struct Block {
  std::vector<double> a;
  std::vector<double> b;
};

// Two-sided p of "side B is side A moved by `shift`". With more than one block the mean of each block is taken off
// first. Exact (given the ties) up to 80 values in blocks of at most four and up to 40 otherwise, by the normal limit
// with the variance of the ranks above. 1 when a side is empty.
double rank_test(std::span<const Block> blocks, double shift = 0);

struct ShiftEstimate {
  double shift = 0;   // Hodges-Lehmann: where the statistic is at the centre of its distribution
  Interval interval;  // every shift the test does not reject; not bounded() where it can reject none
};
ShiftEstimate estimate_shift(std::span<const Block> blocks, double confidence = 0.95);

// Benjamini and Hochberg (1995): q[i] <= rate for the set to call with an expected share of false calls <= rate. Keeps
// the order of `p`; NaN stands for a test that was not made, stays NaN and does not count.
std::vector<double> benjamini_hochberg(std::span<const double> p);

}  // namespace assay::harness::stats
