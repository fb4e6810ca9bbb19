#include "gui/model/case_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <ctime>
#include <map>

#include "datasets/quantity.h"
#include "harness/params.h"

namespace assay::gui {
namespace {

bool is_flag(const std::string& axis) { return axis == "causal" || axis == "backward" || axis == "varlen"; }

std::string one_parameter(const Parameter& parameter) {
  if (parameter.name == "dtype") return parameter.text;
  if (is_flag(parameter.name)) return parameter.text == "1" ? axis_title(parameter.name) : "not " + parameter.name;
  return axis_short(parameter.name) + " " + parameter.text;
}

// What a reader looks for first. The sizes among them stand at the front.
constexpr std::array<const char*, 7> first = {"sequence_length", "tokens",   "model", "dtype",
                                              "causal",          "backward", "ranks"};
constexpr std::size_t sizes = 3;

// Made once for a case: every list of cases is written from them.
std::vector<std::pair<std::string, std::string>> phrases_of(const CaseInfo& info) {
  std::vector<std::pair<std::string, std::string>> phrases;
  for (const char* name : first)
    if (const auto* parameter = info.parameter(name)) phrases.emplace_back(name, one_parameter(*parameter));
  for (const Parameter& parameter : info.parameters)
    if (std::find(first.begin(), first.end(), parameter.name) == first.end())
      phrases.emplace_back(parameter.name, one_parameter(parameter));
  return phrases;
}

}  // namespace

const Parameter* CaseInfo::parameter(const std::string& wanted) const {
  const auto found = std::find_if(parameters.begin(), parameters.end(),
                                  [&](const Parameter& parameter) { return parameter.name == wanted; });
  return found == parameters.end() ? nullptr : &*found;
}

bool is_roof(const CaseInfo& info) {
  return info.record.technique == "hardware/cpu-roofs" || info.record.technique == "hardware/gpu-roofs";
}

CaseInfo case_info(std::int64_t id, const results_db::CaseRecord& record) {
  CaseInfo info;
  info.id = id;
  info.record = record;
  const std::size_t slash = record.technique.rfind('/');
  info.family = slash == std::string::npos ? "" : record.technique.substr(0, slash);
  info.name = slash == std::string::npos ? record.technique : record.technique.substr(slash + 1);
  const auto params = harness::Params::from_json(record.parameters_json);
  for (const auto& [name, value] : params.values()) {
    Parameter parameter{name, harness::to_text(value), std::nullopt};
    if (const auto* whole = std::get_if<std::int64_t>(&value)) {
      parameter.text = datasets::format_count(*whole);
      parameter.number = static_cast<double>(*whole);
    } else if (const auto* real = std::get_if<double>(&value)) {
      parameter.number = *real;
    }
    info.parameters.push_back(std::move(parameter));
  }
  info.phrases = phrases_of(info);
  info.searched = record.key + '\n' + parameters_text(info);
  std::transform(info.searched.begin(), info.searched.end(), info.searched.begin(),
                 [](unsigned char letter) { return std::tolower(letter); });
  return info;
}

std::string axis_title(const std::string& axis) {
  std::string words = axis;
  std::replace(words.begin(), words.end(), '_', ' ');
  return words;
}

std::string axis_short(const std::string& axis) {
  static const std::map<std::string, std::string> shorter = {{"sequence_length", "seq"},
                                                             {"head_dim", "d"},
                                                             {"kv_heads", "kv heads"},
                                                             {"working_set", "bytes"},
                                                             {"block_rows", "block"}};
  const auto found = shorter.find(axis);
  return found == shorter.end() ? axis_title(axis) : found->second;
}

std::string parameters_text(const CaseInfo& info, const std::set<std::string>& without) {
  std::string text;
  for (const auto& [axis, phrase] : info.phrases) {
    if (without.contains(axis)) continue;
    if (!text.empty()) text += ", ";
    text += phrase;
  }
  return text;
}

std::set<std::string> common_axes(const std::vector<const CaseInfo*>& cases) {
  struct Seen {
    const std::string* axis;
    const std::string* value;
    std::size_t cases;
    bool same;
  };
  std::vector<Seen> axes;  // a dozen at most
  for (const CaseInfo* info : cases)
    for (const Parameter& parameter : info->parameters) {
      const auto at =
          std::find_if(axes.begin(), axes.end(), [&](const Seen& seen) { return *seen.axis == parameter.name; });
      if (at == axes.end()) {
        axes.push_back({&parameter.name, &parameter.text, 1, true});
        continue;
      }
      ++at->cases;
      at->same = at->same && *at->value == parameter.text;
    }
  std::set<std::string> common;
  for (const Seen& seen : axes)
    if (seen.same && seen.cases == cases.size()) common.insert(*seen.axis);
  return common;
}

CommonAxes common_by_technique(const std::vector<const CaseInfo*>& cases) {
  std::map<std::string, std::vector<const CaseInfo*>> of_technique;
  for (const CaseInfo* info : cases) of_technique[info->record.technique].push_back(info);
  const auto of_all = common_axes(cases);
  CommonAxes common;
  for (const auto& [technique, held] : of_technique) {
    auto& axes = common[technique] = common_axes(held);
    // How large a case is says which numbers may be held against each other; of one case alone a few words say enough.
    const std::size_t kept = held.size() == 1 ? first.size() : sizes;
    for (std::size_t i = 0; i < kept; ++i)
      if (cases.size() == 1 || !of_all.contains(first[i])) axes.erase(first[i]);
  }
  return common;
}

std::string where_text(const CaseInfo& info) {
  std::string text;
  const auto add = [&](const std::string& word) { text += (text.empty() ? "" : ", ") + word; };
  if (info.record.fabric.empty())
    add(info.record.backend);
  else
    add(info.record.fabric);
  if (info.record.timer != "host" && info.record.timer != "virtual") add(info.record.timer + " timer");
  if (info.record.cache != "hot") add(info.record.cache);
  return text;
}

std::string moment_text(std::int64_t ns) {
  if (ns == 0) return "";
  const auto seconds = static_cast<std::time_t>(ns / 1'000'000'000);
  std::tm parts{};
  localtime_r(&seconds, &parts);
  return fmt::format("{:04}-{:02}-{:02} {:02}:{:02}", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday,
                     parts.tm_hour, parts.tm_min);
}

std::string run_title(const results_db::RunRecord& run) {
  return run.suite.substr(run.suite.rfind('/') + 1) + ", " + moment_text(run.started_ns);
}

std::string short_commit(const results_db::BuildRecord& build) {
  return build.commit.substr(0, 12) + (build.dirty ? "+" : "");
}

}  // namespace assay::gui
