#pragma once
// What is kept of when each rank of a program did what.
#include "harness/state.h"
#include "impls/substrate/fabric/fabric.h"

namespace assay::parallelism {

// The store and the eye take only so many lanes.
inline constexpr substrate::TimelineOptions kKeptTimeline{.ranks = 16, .per_rank = 512};
void report_timeline(harness::State& state, const substrate::RunReport& run);

}  // namespace assay::parallelism
