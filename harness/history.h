#pragma once
// One case on one machine over its runs: levels, changes of level, and how far its numbers lie apart when nothing
// changed. What `assay history` shows and `assay gate` judges by.
#include <string>
#include <string_view>
#include <vector>

#include "harness/stats/change_points.h"
#include "harness/stats/decide.h"
#include "harness/stats/fence.h"
#include "results_db/store.h"

namespace assay::harness {

struct PastRun {
  results_db::HistoryPoint point;  // its launches
  std::string suite;
  std::vector<std::string> tags;
  double value = 0;    // median of the launch medians
  stats::Fence fence;  // made of the runs before it since the last change; not known() where they are too few
};

struct CaseHistory {
  results_db::CaseRow item;
  results_db::MachineRecord machine;
  std::string metric;
  std::string unit;
  results_db::Provenance provenance = results_db::Provenance::measured;
  stats::Direction direction = stats::Direction::lower_is_better;
  std::vector<PastRun> runs;  // oldest first
  stats::Segmentation levels;
  stats::Fence fence;  // for the next run
};

// Runs that do not follow the code over time are left out: those launched for one comparison (suite compare-live), to
// confirm a suspicion about another run (tag confirm-RUN) or
// to try the gate itself (tag planted).
bool is_tracked(const results_db::RunRecord& run);

// Empty `runs` when the case was never measured there. `metric` empty: time, else step_time, else the first that the
// case has. UserError for a metric without a direction.
CaseHistory read_history(results_db::Store& store, const results_db::CaseRow& item,
                         const results_db::MachineRecord& machine, const std::string& metric,
                         const stats::ChangeRule& rule = {});

// Fence of the runs [first, end) of a history.
stats::Fence fence_between(const std::vector<PastRun>& runs, std::size_t first, std::size_t end);

// A case by its key, an alias, or words and KEY=VALUE that only one case has. UserError lists some of those that fit,
// or says that none does.
results_db::CaseRow find_case(results_db::Store& store, std::string_view words);

// A machine by name or by the beginning of its id, else (empty) that of the newest tracked run. UserError lists those
// there are.
results_db::MachineRecord find_machine(results_db::Store& store, const std::string& name);

}  // namespace assay::harness
