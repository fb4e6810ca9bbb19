#pragma once
// What a comparison could have shown: a verdict without a finding says little where nothing could have been found.
#include <optional>

#include "harness/stats/decide.h"

namespace assay::harness::stats {

// The least worsening of side B that would have been SLOWER, had B been as fast as A and scattered as it does: 0.03 is
// 3%, to a tenth of a percent. Nothing when even doubling would not be (too few launches, or wild ones). `cases` is how
// many are judged together; a false alarm among them costs each a share of the rule's rate.
std::optional<double> detectable_effect(const Contest& contest, int cases, const DecisionRule& rule = {});

}  // namespace assay::harness::stats
