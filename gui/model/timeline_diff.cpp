#include "gui/model/timeline_diff.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <tuple>

namespace assay::gui {
namespace {

struct Spent {
  double time = 0;
  std::size_t bars = 0;
};
using ByOperation = std::map<std::pair<std::string, std::string>, Spent>;

ByOperation spent_in(const TimelineData& data) {
  std::set<std::string> groups;
  ByOperation spent;
  for (const Lane& lane : data.lanes) {
    groups.insert(lane.group);
    for (const Bar& bar : lane.bars) {
      Spent& held = spent[{lane.kind, data.names[bar.name]}];
      held.time += static_cast<double>(bar.end - bar.start);
      ++held.bars;
    }
  }
  for (auto& [operation, held] : spent) held.time /= static_cast<double>(std::max<std::size_t>(groups.size(), 1));
  return spent;
}

}  // namespace

TimelineDifference difference_of(const TimelineData& base, const TimelineData& other) {
  TimelineDifference out;
  out.base_span = base.end - base.begin;
  out.other_span = other.end - other.begin;
  const ByOperation left = spent_in(base), right = spent_in(other);
  std::set<std::pair<std::string, std::string>> operations;
  for (const auto& [operation, held] : left) operations.insert(operation);
  for (const auto& [operation, held] : right) operations.insert(operation);
  for (const auto& operation : operations) {
    const auto a = left.find(operation), b = right.find(operation);
    OperationDifference row;
    std::tie(row.lane, row.name) = operation;
    if (a != left.end()) std::tie(row.base, row.base_bars) = std::pair{a->second.time, a->second.bars};
    if (b != right.end()) std::tie(row.other, row.other_bars) = std::pair{b->second.time, b->second.bars};
    out.operations.push_back(row);
  }
  std::stable_sort(out.operations.begin(), out.operations.end(),
                   [](const OperationDifference& a, const OperationDifference& b) {
                     return std::abs(a.difference()) > std::abs(b.difference());
                   });
  return out;
}

}  // namespace assay::gui
