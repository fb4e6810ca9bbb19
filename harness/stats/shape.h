#pragma once
// What the samples of one launch look like, in the order they were taken. Samples are labelled, never dropped.
#include <cstddef>
#include <span>
#include <string>

namespace assay::harness::stats {

// How many leading samples are warm-up: those before the first one from which the launch is steady. Steady is judged
// against the second half: within 4 robust standard deviations of its median, together with two or more of the next
// four. At most half of the samples; 0 when the launch never settles (it is then labelled drifting).
std::size_t warmup_length(std::span<const double> samples);

struct Shape {
  bool bimodal = false;     // two groups of at least a tenth each with a valley between them
  bool drifting = false;    // the level moves with time: consecutive eighths differ more than their noise
  bool heavy_tail = false;  // more than 1% lie 5 robust standard deviations or more above the median
  bool plain() const { return !bimodal && !drifting && !heavy_tail; }
  bool operator==(const Shape&) const = default;
};

// Shape of steady samples (without the warm-up). Fewer than 40 samples show no shape.
Shape shape_of(std::span<const double> steady);

// "bimodal, heavy tail"; "" when plain.
std::string to_string(const Shape& shape);

}  // namespace assay::harness::stats
