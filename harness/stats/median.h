#pragma once
// Medians, quantiles and the distribution-free interval of the median. All cost O(n): selection, no sorting.
#include <cstddef>
#include <span>

namespace assay::harness::stats {

// Middle order statistic, or the mean of the two middle ones. NaN when there are no samples.
double median(std::span<const double> samples);

// The p-quantile by linear interpolation between order statistics (Hyndman and Fan, type 7). NaN when empty.
double quantile(std::span<const double> samples, double p);

// Median absolute deviation from the median, times 1.4826: a robust standard deviation. NaN when empty.
double robust_spread(std::span<const double> samples);

struct Interval {
  double low = 0;
  double high = 0;
  bool bounded() const;  // false where too few samples allow no interval at the wanted confidence
  bool operator==(const Interval&) const = default;
};

// The largest k such that the order statistics x(k) and x(n+1-k) (counted from 1) cover the median with at least
// `confidence`, whatever the distribution: 2 P(Bin(n, 1/2) < k) <= 1 - confidence. 0 when no k does (n < 6 at 95%).
std::size_t interval_rank(std::size_t n, double confidence = 0.95);

// [x(k), x(n+1-k)] with k = interval_rank. (-inf, +inf), not bounded(), when there is no such k: a few launches do not
// make an interval, and none is invented.
Interval median_interval(std::span<const double> samples, double confidence = 0.95);

// Half the width of median_interval over the median: what the stop rule holds against its target. +inf when not
// bounded.
double relative_half_width(std::span<const double> samples, double confidence = 0.95);

}  // namespace assay::harness::stats
