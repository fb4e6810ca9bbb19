#pragma once
// Two timelines next to each other: the same operation on the same kind of lane, added up over the ranks.
#include <string>
#include <vector>

#include "gui/model/timeline.h"

namespace assay::gui {

struct OperationDifference {
  std::string lane;            // kind of lane: compute
  std::string name;            // of the operation
  double base = 0, other = 0;  // picoseconds, the mean over the ranks (groups of lanes) of each timeline
  std::size_t base_bars = 0, other_bars = 0;
  double difference() const { return other - base; }
};

struct TimelineDifference {
  std::int64_t base_span = 0, other_span = 0;   // ps, first to last
  std::vector<OperationDifference> operations;  // largest difference first
};

// What a rank spends on each operation. Ranks are averaged, so that timelines of different numbers of ranks compare.
TimelineDifference difference_of(const TimelineData& base, const TimelineData& other);

}  // namespace assay::gui
