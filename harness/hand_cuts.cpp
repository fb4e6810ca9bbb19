#include "harness/hand_cuts.h"

#include <algorithm>

#include "harness/stats/median.h"

namespace assay::harness {
namespace {

double level_of(std::span<const double> values, const stats::Segment& segment) {
  return stats::median(values.subspan(segment.first, segment.end - segment.first));
}

}  // namespace

std::set<std::string> hand_cuts(const std::vector<results_db::AlertRecord>& alerts, std::int64_t case_id,
                                const std::string& metric) {
  std::set<std::string> runs;
  for (const results_db::AlertRecord& alert : alerts)
    if (alert.kind == hand_cut_kind && alert.case_id == case_id && alert.metric == metric && alert.outcome != "noise")
      runs.insert(alert.run);
  return runs;
}

stats::Segmentation with_cuts(stats::Segmentation found, std::span<const double> values,
                              const std::vector<std::size_t>& begins) {
  for (const std::size_t begin : begins) {
    const auto at = std::find_if(found.segments.begin(), found.segments.end(),
                                 [&](const stats::Segment& held) { return held.first < begin && begin < held.end; });
    if (at == found.segments.end()) continue;  // a level begins there anyway
    const auto which = at - found.segments.begin();
    stats::Segment after{begin, at->end, 0};
    at->end = begin;
    at->level = level_of(values, *at);
    after.level = level_of(values, after);
    // What changes lie on either side lead to and from other levels than before.
    if (which > 0) found.changes[static_cast<std::size_t>(which) - 1].after = at->level;
    if (static_cast<std::size_t>(which) < found.changes.size())
      found.changes[static_cast<std::size_t>(which)].before = after.level;
    found.changes.insert(found.changes.begin() + which,
                         {stats::ChangeKind::step, begin, begin, at->level, after.level});
    found.segments.insert(found.segments.begin() + which + 1, after);
  }
  return found;
}

}  // namespace assay::harness
