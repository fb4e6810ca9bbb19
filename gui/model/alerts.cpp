#include "gui/model/alerts.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

#include "datasets/user_error.h"

namespace assay::gui {
namespace {

double size_of(const results_db::AlertRecord& alert) { return std::abs(alert.effect.value_or(0)); }

}  // namespace

std::vector<AlertGroup> alert_groups(Database& database, const std::string& machine) {
  std::map<std::string, const results_db::RunRecord*> runs;
  for (const auto& run : database.runs())
    if (run.machine.id == machine) runs[run.id] = &run;
  std::vector<AlertGroup> groups;
  for (auto& alert : database.store().alerts()) {
    const auto run = runs.find(alert.run);
    if (run == runs.end()) continue;
    auto group = std::find_if(groups.begin(), groups.end(), [&](const AlertGroup& held) {
      return held.run.id == alert.run && held.kind == alert.kind && held.outcome == alert.outcome;
    });
    if (group == groups.end()) {
      groups.push_back({alert.kind, alert.outcome, *run->second, {}, {}, {}});
      group = groups.end() - 1;
    }
    group->alerts.push_back(std::move(alert));
  }
  if (groups.empty()) return groups;
  std::map<std::int64_t, CaseInfo> infos;
  for (const auto& row : database.store().cases()) infos.emplace(row.id, case_info(row.id, row.record));
  for (AlertGroup& group : groups) {
    std::stable_sort(group.alerts.begin(), group.alerts.end(),
                     [](const auto& a, const auto& b) { return size_of(a) > size_of(b); });
    for (const auto& alert : group.alerts) {
      const CaseInfo& info = infos.at(alert.case_id);
      const std::string parameters = parameters_text(info);
      group.names.push_back(info.name + (parameters.empty() ? "" : ", " + parameters));
    }
    group.cases = group.names.front();
    if (group.alerts.size() > 1) group.cases += " and " + std::to_string(group.alerts.size() - 1) + " more";
  }
  std::stable_sort(groups.begin(), groups.end(), [](const AlertGroup& a, const AlertGroup& b) {
    if ((a.outcome == "open") != (b.outcome == "open")) return a.outcome == "open";
    return a.run.started_ns > b.run.started_ns;
  });
  return groups;
}

AlertGroup only(const AlertGroup& group, std::size_t which) {
  return {group.kind,           group.outcome, group.run, {group.alerts.at(which)}, {group.names.at(which)},
          group.names.at(which)};
}

void decide_alerts(Database& database, const AlertGroup& group, const std::string& outcome, const std::string& author,
                   const std::string& remark) {
  if (database.merged())
    throw UserError("what is decided about an alert is kept in its own database: open that one alone");
  auto writer = results_db::Store::open(database.paths().front(), results_db::Open::read_write,
                                        {.busy_timeout_ms = 2000, .filesystem = {}});
  for (const auto& alert : group.alerts) {
    std::string note = alert.note;
    note += (note.empty() ? "" : "; ") + outcome + " by " + author + (remark.empty() ? "" : ": " + remark);
    writer.set_alert_outcome(alert.id, outcome, note);
  }
  writer.close();
}

}  // namespace assay::gui
