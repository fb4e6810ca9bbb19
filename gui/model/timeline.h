#pragma once
// Timelines: what every lane does when, in forms that can be drawn at any zoom without looking at every interval.
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "gui/model/database.h"

namespace assay::gui {

struct Bar {
  std::int64_t start = 0, end = 0;  // ps
  std::int64_t reach = 0;           // largest end up to and including this bar of the lane
  std::uint32_t name = 0;           // index into TimelineData::names
  bool critical = false;
  std::uint32_t peer = 0;  // of a message: the group of lanes at its other end, as index into names; 0: none
};

struct Lane {
  std::string name;       // rank 3 / compute
  std::string group;      // rank 3
  std::string kind;       // compute
  std::vector<Bar> bars;  // by start
};

// From where it is sent to where it is received.
struct Arrow {
  std::size_t from_lane = 0, to_lane = 0;
  std::int64_t start = 0, end = 0;  // ps: the send begins, the receive ends
  std::int64_t reach = 0;           // largest end up to and including this one
};

struct TimelineData {
  std::vector<Lane> lanes;  // ranks in the order of their numbers
  std::vector<std::string> names;
  std::vector<Arrow> arrows;  // by start
  std::int64_t begin = 0, end = 0;
  std::size_t bars = 0;
  std::int64_t critical_busy = 0;  // of the chain that ends last: time in bars; the rest of the span it waits
};

TimelineData make_timeline(const results_db::Timeline& stored);

// One stretch of equal look in pixel columns: a bar (`count` 1), or several that share the columns.
struct Drawn {
  int first = 0, last = 0;  // columns, both included
  std::size_t bar = 0;      // the first of them
  std::size_t count = 0;
  bool critical = false;
};
// What is to be seen of `lane` between `from` and `to` on `columns` pixels: at most one entry a column, whatever the
// number of bars: O(columns log bars).
std::vector<Drawn> visible(const Lane& lane, double from, double to, int columns);

// Messages under way between `from` and `to`, by start; nothing where they are more than `most`: so many arrows hide
// what they join. O(log n + most).
std::vector<Arrow> arrows_between(const TimelineData& data, double from, double to, std::size_t most);

// The bar of the lane that `at` lies in; the lane's number of bars where there is none. O(log bars + overlap).
std::size_t bar_at(const Lane& lane, std::int64_t at);

struct LaneUse {
  std::int64_t busy = 0;  // union of its bars inside the stretch
  std::size_t bars = 0;
};
LaneUse use_of(const Lane& lane, std::int64_t from, std::int64_t to);

// Every bar of one name on lanes of one kind: how often it comes and how long it takes.
struct OperationUse {
  std::size_t bars = 0;
  std::int64_t shortest = 0, longest = 0, all = 0;  // ps
  double median = 0;
};
OperationUse operation_use(const TimelineData& data, const std::string& kind, std::uint32_t name);

// For every group of lanes (a rank) the first one whose lanes do the same at the same times, itself where there is none
// before it: ranks of a symmetric program are many and alike. O(bars).
std::map<std::string, std::string> alike_groups(const TimelineData& data);
// The lanes named, over the same stretch of time.
TimelineData only_lanes(const TimelineData& data, const std::vector<std::string>& names);

// Waiting is drawn, but it is no work: such a lane is on no chain and its time is nobody's busy time.
bool is_waiting(const Lane& lane);
// Time in which `lane` is busy and no compute lane of its group is: communication that nothing hides.
std::int64_t exposed(const TimelineData& data, const Lane& lane, std::int64_t from, std::int64_t to);

}  // namespace assay::gui
