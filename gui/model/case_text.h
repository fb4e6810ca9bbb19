#pragma once
// Cases in the words people read: names instead of ids, axes with short names and sizes as the field writes them.
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "results_db/records.h"

namespace assay::gui {

struct Parameter {
  std::string name;              // as stored: sequence_length
  std::string text;              // as people write it: 4k
  std::optional<double> number;  // where it is one
};

struct CaseInfo {
  std::int64_t id = 0;
  results_db::CaseRecord record;
  std::string family;  // attention
  std::string name;    // flash-attention-2
  std::vector<Parameter> parameters;
  std::vector<std::pair<std::string, std::string>>
      phrases;           // axis, "seq 4k"; what a reader looks for first comes first
  std::string searched;  // key and written parameters in small letters: what the words of a filter look at

  const Parameter* parameter(const std::string& wanted) const;
};

bool is_roof(const CaseInfo& info);  // a probe of the machine, not a technique

CaseInfo case_info(std::int64_t id, const results_db::CaseRecord& record);

std::string axis_title(const std::string& axis);  // sequence_length -> sequence length
std::string axis_short(const std::string& axis);  // sequence_length -> seq
// "seq 4k, bf16, causal, d 128"; the axes of `without` left out.
std::string parameters_text(const CaseInfo& info, const std::set<std::string>& without = {});
// Axes that all of them have with one value: what need not be said of each.
std::set<std::string> common_axes(const std::vector<const CaseInfo*>& cases);
// By technique, what need not be said: axes that all its cases share, but for sizes that other techniques' cases differ
// in; of a technique with one case all axes but the few that are looked for first.
using CommonAxes = std::map<std::string, std::set<std::string>>;
CommonAxes common_by_technique(const std::vector<const CaseInfo*>& cases);
// Where the case ran and how it was timed, only what is not usual: "cluster", "cuda, cold".
std::string where_text(const CaseInfo& info);
std::string moment_text(std::int64_t ns);  // 2026-01-08 00:00, local time
// quick, 2026-01-08 00:00; of a technique run by itself its name
std::string run_title(const results_db::RunRecord& run);
std::string short_commit(const results_db::BuildRecord& build);  // 12 letters, "+" where files were changed

}  // namespace assay::gui
