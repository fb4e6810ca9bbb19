#include "gui/model/live_run.h"

#include <algorithm>
#include <sstream>

namespace assay::gui {
namespace {

// `launches` of the whole suite, which stands before its first case; 0 where it does not say. Cases that override it
// make the estimate a rough one.
int launches_a_case(const std::string& suite_toml) {
  std::istringstream lines(suite_toml);
  constexpr std::string_view key = "launches = ";
  for (std::string line; std::getline(lines, line) && line != "[[case]]";)
    if (line.starts_with(key)) return std::atoi(line.c_str() + key.size());
  return 0;
}

// What all cases of the run share need not be said of one.
std::string newest_text(const RunData& data, const CaseResult& result) {
  std::vector<const CaseInfo*> infos;
  for (const CaseResult& held : data.cases) infos.push_back(&held.info);
  std::string text = result.info.name;
  if (const std::string parameters = parameters_text(result.info, common_axes(infos)); !parameters.empty())
    text += ", " + parameters;
  if (result.status != results_db::Status::ok) return text + ": " + to_string(result.status);
  const Value* value = result.main_value();
  if (value == nullptr) return text;
  text += ": " + value_text(*value);
  if (const std::string interval = interval_text(*value); !interval.empty()) text += " (" + interval + ")";
  return text;
}

}  // namespace

double LiveRun::share() const {
  if (expected_launches > 0) return std::min(1.0, static_cast<double>(launches) / expected_launches);
  return expected_cases > 0 ? std::min(1.0, static_cast<double>(cases) / expected_cases) : 0;
}

std::optional<LiveRun> live_run_of(const RunData& data, std::int64_t now_ns) {
  if (data.run.status != "running") return std::nullopt;
  LiveRun live;
  live.expected_cases = data.run.expected_cases;
  const int each = launches_a_case(data.run.suite_toml);
  const CaseResult* newest = nullptr;
  std::int64_t newest_ns = data.run.started_ns;
  for (const CaseResult& result : data.cases) {
    // A case has its gate before its first launch; until then nothing of it is there.
    if (!result.launches.empty()) ++live.cases;
    live.launches += static_cast<int>(result.launches.size());
    live.failed += result.status == results_db::Status::failed ? 1 : 0;
    live.skipped += result.status == results_db::Status::skipped ? 1 : 0;
    // A projection, a failure and a skip need no second launch.
    const bool once = result.info.record.timer == "virtual" || result.status != results_db::Status::ok;
    live.expected_launches += once ? static_cast<int>(result.launches.size()) : each;
    for (const auto& launch : result.launches)
      if (newest == nullptr || launch.started_ns >= newest_ns) {
        newest = &result;
        newest_ns = std::max(newest_ns, launch.started_ns);
      }
  }
  const int unseen = std::max(0, live.expected_cases - static_cast<int>(data.cases.size()));
  live.expected_launches = each == 0 ? 0 : live.expected_launches + unseen * each;
  if (newest != nullptr) live.newest = newest_text(data, *newest);
  const auto seconds = [&](std::int64_t since) { return std::max(0.0, static_cast<double>(now_ns - since) * 1e-9); };
  live.elapsed = seconds(data.run.started_ns);
  live.silent = seconds(newest_ns);
  // The pace is that of the launches that are there; what has passed since the newest of them is not theirs.
  const double share = live.share();
  const double worked = live.elapsed - live.silent;
  if (share > 0 && share < 1 && worked > 0) live.left = std::max(0.0, worked / share * (1 - share) - live.silent);
  return live;
}

}  // namespace assay::gui
