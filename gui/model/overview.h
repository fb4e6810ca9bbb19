#pragma once
// What a machine's newest run says, next to the run before it: the first thing anybody asks.
#include <string>
#include <vector>

#include "gui/model/database.h"
#include "harness/comparison.h"

namespace assay::gui {

struct HealthNote {
  std::string what;  // "1 case failed"
  std::string why;   // its reason, or what it means
  bool grave = false;
  std::int64_t case_id = 0;  // 0: of the run as a whole
};

struct MachineOverview {
  results_db::RunRecord run;                         // its newest finished run
  std::optional<results_db::RunRecord> before;       // what it is compared with
  std::string not_compared;                          // why there is no comparison
  std::vector<harness::ComparedCase> changes;        // FASTER and SLOWER first, then UNSURE, then SAME; by size
  int faster = 0, slower = 0, same = 0, unsure = 0;  // verdicts of the shared library
  int cases = 0, failed = 0, skipped = 0;
  std::vector<HealthNote> health;
  std::string worst;     // of the cases that got slower, in words; "" where none did
  std::string sentence;  // the answer in one line
};

struct ClaimCounts {
  std::vector<std::pair<std::string, int>> verdicts;  // in the order of docs/claims.md
  int judged = 0, total = 0;
};

// One entry a machine, the most recently used first.
std::vector<MachineOverview> overview(Database& database);
// The same for one run of the user's choice.
MachineOverview overview_of(Database& database, const results_db::RunRecord& run);
ClaimCounts count_claims(results_db::Store& store);

}  // namespace assay::gui
