#pragma once
// Alerts that `assay gate` left in the database, those of one cause together, and what a person decides about them and
// about levels.
#include <string>
#include <vector>

#include "gui/model/database.h"

namespace assay::gui {

// Alerts that began in the same run on the same machine and say the same: one fault moves many cases.
struct AlertGroup {
  std::string kind;     // regression | improvement | change point
  std::string outcome;  // open | confirmed | noise | fixed
  results_db::RunRecord run;
  std::vector<results_db::AlertRecord> alerts;  // largest effect first
  std::vector<std::string> names;               // of their cases: "tiled-attention, tokens 4k"
  std::string cases;                            // "tiled-attention, tokens 4k and 3 more"
};
AlertGroup only(const AlertGroup& group, std::size_t which);  // one alert that has another cause than the others

// Of the runs of one machine; open ones first, then newest first.
std::vector<AlertGroup> alert_groups(Database& database, const std::string& machine);

inline const std::vector<std::string>& alert_outcomes() {
  static const std::vector<std::string> outcomes = {"open", "confirmed", "noise", "fixed"};
  return outcomes;
}

// Writes what was decided about the group into the file, with who decided it.
// With levels cut by hand the only thing the dashboard writes. UserError when the file cannot be written or several
// files are looked at as one.
void decide_alerts(Database& database, const AlertGroup& group, const std::string& outcome, const std::string& author,
                   const std::string& remark);

// Writes that a new level of the case begins with the run, or that it does not after all: `assay history`, the gate's
// fences and the views cut it there from then on. UserError as above.
struct LevelCut {
  std::string run;
  std::int64_t case_id = 0;
  std::string metric;
};
void cut_level(Database& database, const LevelCut& cut, const std::string& author, const std::string& remark);
void take_cut_back(Database& database, const LevelCut& cut, const std::string& author, const std::string& remark);

}  // namespace assay::gui
