#pragma once
#include <string>

#include "harness/cli/commands.h"
#include "results_db/store.h"

namespace assay::cli {

struct TimelineChoice {
  std::string run = "latest";
  std::string filter;      // the case whose key contains it; "": the first with a timeline
  bool all_ranks = false;  // also those that do the same as one before
};

// "RUN/CASE" as typed after --timeline: what stands before the first slash where a run is called so, else all of it is
// of the case and the run is `run`.
TimelineChoice timeline_choice(results_db::Store& store, const std::string& run, const std::string& text);

// Lanes of one case, a row each, as wide as the terminal: how full each column of time is. As JSON every interval.
// UserError (exit 3) where no case chosen has intervals.
std::string timeline_of(results_db::Store& store, const TimelineChoice& choice, const Context& context);

}  // namespace assay::cli
