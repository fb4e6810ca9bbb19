#pragma once
// How far a run that is still going has come, from what it has written so far.
#include <cstdint>
#include <optional>
#include <string>

#include "gui/model/run_data.h"

namespace assay::gui {

struct LiveRun {
  int cases = 0, expected_cases = 0;        // with a launch; of the suite
  int launches = 0, expected_launches = 0;  // written; of the suite, 0 where it does not say
  int failed = 0, skipped = 0;              // cases
  double elapsed = 0;                       // seconds since it began
  std::optional<double> left;               // seconds, at the pace so far
  double silent = 0;                        // seconds since the newest launch (or the beginning)
  std::string newest;    // "flash-attention-2, seq 4k: 12.3 ms (12.1 to 12.6 ms)": its newest launch's case
  double share() const;  // 0 to 1
};

// Nothing for a run that has ended.
std::optional<LiveRun> live_run_of(const RunData& data, std::int64_t now_ns);

}  // namespace assay::gui
