#pragma once
// The sketch of a launch's samples that outlives them.
#include <span>
#include <string>

#include "results_db/records.h"

namespace assay::results_db {

// The levels of Distribution::quantiles: 0.01 0.05 0.10 0.25 0.75 0.90 0.95 0.99.
std::span<const double> distribution_levels();

// Quantiles (type 7: linear between order statistics), moments; NaN samples are left out. No histogram. O(n).
Distribution describe(std::span<const double> samples);

// Buckets are the leading bits of the number itself: 64 an octave, so an edge is within 1.6% of the next. O(n).
void add_histogram(Distribution& distribution, std::span<const double> samples);
std::int32_t bucket_of(double value);
double bucket_low(std::int32_t bucket);  // smallest magnitude in the bucket, with its sign

}  // namespace assay::results_db
