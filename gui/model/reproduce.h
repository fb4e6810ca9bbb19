#pragma once
// What it takes to get a stored number again: commands, suite, environment, code and descriptor hashes, the check
// against the oracle.
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gui/model/database.h"

namespace assay::gui {

struct Recipe {
  std::string rerun;    // the one command that runs this row again and compares
  std::string command;  // as the run was started
  std::string suite_toml;
  std::vector<std::pair<std::string, std::string>> facts;  // what, its value: in reading order
  std::string stderr_tail;                                 // of a launch that failed
};

// Of a case in a run. UserError where the file cannot be read any more.
Recipe recipe_of(Database& database, const RunData& data, const CaseResult& result);
std::string as_text(const Recipe& recipe, const CaseResult& result);  // all of it, for an issue or a mail

}  // namespace assay::gui
