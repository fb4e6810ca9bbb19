#pragma once
// The history of one case on one machine, and lines short enough to draw.
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "gui/model/database.h"
#include "gui/model/filter.h"
#include "harness/stats/change_points.h"
#include "harness/stats/decide.h"
#include "harness/stats/median.h"

namespace assay::gui {

struct TrendPoint {
  double at = 0;  // seconds since 1970
  double median = 0;
  double lowest = 0, highest = 0;     // of the launches
  harness::stats::Interval interval;  // of the median; not bounded() below six launches
  int launches = 0;
  std::size_t run = 0;                                  // index into Database::runs()
  bool build_changed = false, machine_changed = false;  // since the point before
};

// A stretch of runs at one level, by the change points of `assay history`.
struct TrendLevel {
  std::size_t first = 0, last = 0;    // indices into the points, both included
  double level = 0;                   // median of the runs' medians
  harness::stats::Interval interval;  // of that median; not bounded() below six runs
};

struct TrendChange {
  harness::stats::ChangeKind kind = harness::stats::ChangeKind::step;
  std::size_t before = 0;  // the last point at the old level
  std::size_t at = 0;      // the first at the new one (of a ramp about where it begins)
  double ratio = 1;        // new level over old
  bool by_hand = false;    // somebody has cut the level there
};

struct Trend {
  std::int64_t case_id = 0;
  std::string metric = "time";
  std::string unit = "s";
  bool lower_is_better = true;
  bool judged = true;  // the metric has a better and a worse
  results_db::Provenance provenance = results_db::Provenance::measured;
  std::vector<TrendPoint> points;  // oldest first
};

// Of one metric of the case over all runs of one machine that the words of the filter about runs keep.
Trend trend_of(Database& database, const CaseInfo& info, const std::string& machine, const Value& value,
               const Filter& filter = {});

struct TrendLevels {
  std::vector<TrendLevel> levels;
  std::vector<TrendChange> changes;
};
// Runs that do not follow the code (launched for one comparison, to confirm a suspicion) belong to no level. Levels cut
// by hand are cut here too.
TrendLevels levels_of(Database& database, const Trend& trend, const harness::stats::ChangeRule& rule = {});

// The newest point next to the one before it, and next to the one that was newest a week before: by the shared library,
// both together.
struct TrendAnswer {
  harness::stats::Decision last, week;
  std::optional<std::size_t> last_from, week_from;  // indices into the points
};
harness::stats::Decision judge_pair(Database& database, const CaseInfo& info, const Trend& trend, std::size_t from,
                                    std::size_t to);
TrendAnswer judge_trend(Database& database, const CaseInfo& info, const Trend& trend, std::size_t at);

struct Segment {
  double x = 0, first = 0, low = 0, high = 0, last = 0;
};
// At most `columns` columns of equal width, each with what its points reach: nothing a screen could show is lost. O(n).
// `x` ascending.
std::vector<Segment> min_max_segments(const std::vector<double>& x, const std::vector<double>& y, int columns);

}  // namespace assay::gui
