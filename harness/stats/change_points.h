#pragma once
// Where the level of a series moved: the levels of a case over its runs, steps and ramps between them.
//
// The series is cut so that the penalised cost  sum of min((x - level)^2 / s^2, K^2) + penalty  for each cut is least,
// exactly, by functional pruning (Fearnhead and Rigaill, Changepoint Detection in the Presence of Outliers, 2019). The
// bounded loss keeps outliers from being levels of their own: one that is far away costs K^2, and two cuts cost more.
// Cost O(n k) with k pieces of the cost function, in practice tens.
#include <cstddef>
#include <span>
#include <vector>

namespace assay::harness::stats {

struct ChangeRule {
  double penalty = 3;          // a cut costs this times log n, in squared noise; more where the noise is correlated
  double outlier = 3;          // K: a point farther away than this many robust deviations costs no more
  int min_segment = 3;         // a shorter level is not believed yet
  double effect_floor = 0.02;  // changes of level smaller than this do not matter
};

struct Segment {
  std::size_t first = 0, end = 0;  // [first, end)
  double level = 0;                // median, in the unit of the values
};

enum class ChangeKind { step, ramp };
const char* to_string(ChangeKind kind);

struct Change {
  ChangeKind kind = ChangeKind::step;
  std::size_t first = 0;  // of a step the first index at the new level; of a ramp about where it begins
  std::size_t last = 0;   // of a step the same; of a ramp about where it ends
  double before = 0, after = 0;
  double ratio() const { return after / before; }
};

struct Segmentation {
  std::vector<Segment> segments;  // one more than there are changes; what lies between first and last of a ramp belongs
                                  // to the segment after it
  std::vector<Change> changes;
  double noise = 0;        // relative robust deviation of the values around their levels
  double correlation = 0;  // of neighbouring values, 0 to 0.9
};

// `values` in the order of time, all positive (std::invalid_argument otherwise); judged by their logarithms. Fewer than
// two segments' worth of values are one segment.
Segmentation find_changes(std::span<const double> values, const ChangeRule& rule = {});

}  // namespace assay::harness::stats
