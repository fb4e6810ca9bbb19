#pragma once
// The history of one case on one machine, and lines short enough to draw.
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "gui/model/database.h"
#include "harness/stats/decide.h"

namespace assay::gui {

struct TrendPoint {
  double at = 0;  // seconds since 1970
  double median = 0;
  double lowest = 0, highest = 0;  // of the launches
  int launches = 0;
  std::size_t run = 0;                                  // index into Database::runs()
  bool build_changed = false, machine_changed = false;  // since the point before
};

struct Trend {
  std::string unit = "s";
  results_db::Provenance provenance = results_db::Provenance::measured;
  std::vector<TrendPoint> points;  // oldest first
};

// Of the case's time over all runs of one machine.
Trend trend_of(Database& database, const CaseInfo& info, const std::string& machine);

// The newest point next to the one before it, and next to the one that was newest a week before: by the shared library,
// both together.
struct TrendAnswer {
  harness::stats::Decision last, week;
  std::optional<std::size_t> last_from, week_from;  // indices into the points
};
TrendAnswer judge_trend(Database& database, const CaseInfo& info, const Trend& trend, std::size_t at);

struct Segment {
  double x = 0, first = 0, low = 0, high = 0, last = 0;
};
// At most `columns` columns of equal width, each with what its points reach: nothing a screen could show is lost. O(n).
// `x` ascending.
std::vector<Segment> min_max_segments(const std::vector<double>& x, const std::vector<double>& y, int columns);

}  // namespace assay::gui
