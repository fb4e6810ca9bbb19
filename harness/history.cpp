#include "harness/history.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>
#include <sstream>

#include "datasets/nearest_names.h"
#include "datasets/user_error.h"
#include "harness/axis_words.h"
#include "harness/hand_cuts.h"
#include "harness/stats/median.h"
#include "results_db/metrics.h"

namespace assay::harness {

bool is_tracked(const results_db::RunRecord& run) {
  return run.suite != "compare-live" && std::none_of(run.tags.begin(), run.tags.end(), [](const std::string& tag) {
           return tag == "planted" || tag.starts_with("confirm-");
         });
}

stats::Fence fence_between(const std::vector<PastRun>& runs, std::size_t first, std::size_t end) {
  std::vector<std::vector<double>> launches;
  for (std::size_t i = first; i < end; ++i) launches.push_back(runs[i].point.medians);
  return stats::fence_of(launches);
}

namespace {

std::string usual_metric(results_db::Store& store, std::int64_t case_id, const std::string& machine) {
  std::vector<std::string> candidates = {"time", "step_time"};
  for (const results_db::MetricDefinition& one : results_db::metric_registry())
    if (one.better != results_db::Better::neither) candidates.emplace_back(one.name);
  for (const std::string& name : candidates)
    if (!store.history(case_id, machine, name).empty()) return name;
  return "time";
}

}  // namespace

CaseHistory read_history(results_db::Store& store, const results_db::CaseRow& item,
                         const results_db::MachineRecord& machine, const std::string& asked,
                         const stats::ChangeRule& rule) {
  const std::string metric = asked.empty() ? usual_metric(store, item.id, machine.id) : asked;
  const results_db::MetricDefinition* definition = results_db::find_metric(metric);
  if (definition == nullptr || definition->better == results_db::Better::neither)
    throw UserError(fmt::format(
        "history: --metric {}: not a metric with a better direction; expected time, flops_rate ...", metric));
  CaseHistory history;
  history.item = item;
  history.machine = machine;
  history.metric = metric;
  history.unit = std::string(definition->unit);
  history.direction = definition->better == results_db::Better::lower ? stats::Direction::lower_is_better
                                                                      : stats::Direction::higher_is_better;
  std::map<std::string, results_db::RunRecord> runs;
  for (results_db::RunRecord& run : store.runs()) runs.emplace(run.id, std::move(run));
  std::vector<double> values;
  for (results_db::HistoryPoint& point : store.history(item.id, machine.id, metric)) {
    const results_db::RunRecord& run = runs.at(point.run);
    std::erase_if(point.medians, [](double value) { return !(value > 0); });
    if (point.medians.empty() || !is_tracked(run)) continue;
    values.push_back(stats::median(point.medians));
    history.runs.push_back({std::move(point), run.suite, run.tags, values.back(), {}});
  }
  const std::set<std::string> cuts = hand_cuts(store.alerts(), item.id, metric);
  std::vector<std::size_t> begins;
  for (std::size_t i = 0; i < history.runs.size(); ++i)
    if (cuts.contains(history.runs[i].point.run)) begins.push_back(i);
  history.levels = with_cuts(stats::find_changes(values, rule), values, begins);
  if (!history.runs.empty())
    for (const results_db::LaunchSummary& launch : store.summaries(history.runs.back().point.run))
      for (const results_db::Metric& one : launch.metrics)
        if (launch.case_id == item.id && one.name == metric) history.provenance = one.provenance;
  for (std::size_t s = 0; s < history.levels.segments.size(); ++s) {
    const stats::Segment& segment = history.levels.segments[s];
    // While a ramp climbs there is no level to hold a run against.
    const std::size_t settled = s > 0 ? history.levels.changes[s - 1].last : segment.first;
    // Runs outside the fence that just came may be a new level that is not believed yet: they do not widen it.
    std::size_t doubtful = 0;
    const auto fence_before = [&](std::size_t i) {
      const std::size_t left_out = doubtful < static_cast<std::size_t>(rule.min_segment) ? doubtful : 0;
      return fence_between(history.runs, settled, i - left_out);
    };
    for (std::size_t i = settled + 1; i < segment.end; ++i) {
      PastRun& run = history.runs[i];
      run.fence = fence_before(i);
      doubtful = run.fence.known() && !run.fence.holds(run.value) ? doubtful + 1 : 0;
    }
    if (s + 1 == history.levels.segments.size()) history.fence = fence_before(segment.end);
  }
  return history;
}

namespace {

bool has_word(const results_db::CaseRecord& record, const std::string& word) {
  std::istringstream words(record.key);
  const std::size_t equals = word.find('=');
  const std::string axis = equals == std::string::npos ? "" : full_axis_name(word.substr(0, equals)) + "=";
  for (std::string one; words >> one;)
    if (one == word ||
        (!axis.empty() && one.starts_with(axis) && same_axis_value(one.substr(axis.size()), word.substr(equals + 1))))
      return true;
  return record.technique.ends_with("/" + word) || record.technique == word || record.backend == word ||
         record.fabric == word || record.timer == word || record.cache == word;
}

}  // namespace

results_db::CaseRow find_case(results_db::Store& store, std::string_view words) {
  if (auto exact = store.find_case(std::string(words))) return *exact;
  std::vector<std::string> wanted;
  std::string text(words);
  std::replace(text.begin(), text.end(), ',', ' ');
  std::istringstream stream(text);
  for (std::string word; stream >> word;) wanted.push_back(word);
  if (wanted.empty()) throw UserError("history: no case named; `assay show` lists keys");
  std::vector<results_db::CaseRow> fitting;
  std::vector<std::string> known;
  for (results_db::CaseRow& row : store.cases()) {
    known.push_back(row.record.technique.substr(row.record.technique.rfind('/') + 1));
    if (std::all_of(wanted.begin(), wanted.end(), [&](const auto& word) { return has_word(row.record, word); }))
      fitting.push_back(std::move(row));
  }
  if (fitting.size() == 1) return fitting.front();
  if (fitting.empty()) {
    std::sort(known.begin(), known.end());
    known.erase(std::unique(known.begin(), known.end()), known.end());
    throw UserError(fmt::format(
        "unknown case '{}': {} has no case with all of these words{}", words, store.path(),
        known.empty()
            ? ""
            : "; nearest: " + fmt::format("{}", fmt::join(datasets::nearest_names(wanted.front(), known), ", "))));
  }
  constexpr std::size_t most = 5;
  std::string list;
  for (std::size_t i = 0; i < std::min(most, fitting.size()); ++i) list += (i > 0 ? "; " : "") + fitting[i].record.key;
  if (fitting.size() > most) list += fmt::format("; and {} more", fitting.size() - most);
  throw UserError(fmt::format("'{}' fits {} cases, expected one: {}", words, fitting.size(), list));
}

results_db::MachineRecord find_machine(results_db::Store& store, const std::string& name) {
  const std::vector<results_db::RunRecord> runs = store.runs();
  if (runs.empty()) throw UserError(fmt::format("{} holds no run yet (`assay run quick` makes one)", store.path()));
  std::vector<results_db::MachineRecord> fitting;
  std::vector<std::string> known;
  for (const auto& run : runs) {  // newest first
    if (!is_tracked(run)) continue;
    const std::string shown = fmt::format("{} ({})", run.machine.name, run.machine.id.substr(0, 8));
    if (std::find(known.begin(), known.end(), shown) == known.end()) known.push_back(shown);
    if (!name.empty() && run.machine.name != name && !run.machine.id.starts_with(name)) continue;
    if (std::none_of(fitting.begin(), fitting.end(), [&](const auto& one) { return one.id == run.machine.id; }))
      fitting.push_back(run.machine);
  }
  if (known.empty()) throw UserError(fmt::format("{} holds no run of a suite or a technique yet", store.path()));
  if (name.empty() || fitting.size() == 1) return fitting.front();
  throw UserError(fmt::format("{} machine '{}'; those with runs: {}", fitting.empty() ? "unknown" : "more than one",
                              name, fmt::join(known, ", ")));
}

}  // namespace assay::harness
