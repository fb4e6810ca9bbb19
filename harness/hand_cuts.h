#pragma once
// Levels of a case that a person has cut by hand, where the detector saw no change or saw it too late: alerts of kind
// "change point" name the first run of the new level. One whose outcome is `noise` was taken back.
#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "harness/stats/change_points.h"
#include "results_db/records.h"

namespace assay::harness {

inline constexpr const char* hand_cut_kind = "change point";

// Runs that begin a level of the case in this metric.
std::set<std::string> hand_cuts(const std::vector<results_db::AlertRecord>& alerts, std::int64_t case_id,
                                const std::string& metric);

// The levels found in `values`, cut before each of the indices `begins` too: fences restart there.
stats::Segmentation with_cuts(stats::Segmentation found, std::span<const double> values,
                              const std::vector<std::size_t>& begins);

}  // namespace assay::harness
