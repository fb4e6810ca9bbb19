#include "gui/model/alerts.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

#include "datasets/user_error.h"
#include "harness/hand_cuts.h"

namespace assay::gui {
namespace {

results_db::Store writer_of(Database& database) {
  if (database.merged())
    throw UserError("what is decided about an alert or a level is kept in its own database: open that one alone");
  return results_db::Store::open(database.paths().front(), results_db::Open::read_write,
                                 {.busy_timeout_ms = 2000, .filesystem = {}});
}

std::string decided(const std::string& what, const std::string& author, const std::string& remark) {
  return what + " by " + author + (remark.empty() ? "" : ": " + remark);
}

// What was written about the place before; null where nothing was.
const results_db::AlertRecord* find_cut(const std::vector<results_db::AlertRecord>& alerts, const LevelCut& cut) {
  const auto found = std::find_if(alerts.begin(), alerts.end(), [&](const results_db::AlertRecord& held) {
    return held.kind == harness::hand_cut_kind && held.run == cut.run && held.case_id == cut.case_id &&
           held.metric == cut.metric;
  });
  return found == alerts.end() ? nullptr : &*found;
}

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
  auto writer = writer_of(database);
  for (const auto& alert : group.alerts) {
    std::string note = alert.note;
    note += (note.empty() ? "" : "; ") + decided(outcome, author, remark);
    writer.set_alert_outcome(alert.id, outcome, note);
  }
  writer.close();
}

void cut_level(Database& database, const LevelCut& cut, const std::string& author, const std::string& remark) {
  auto writer = writer_of(database);
  const auto alerts = writer.alerts();
  const std::string note = decided("level cut", author, remark);
  if (const auto* before = find_cut(alerts, cut)) {
    writer.set_alert_outcome(before->id, "confirmed", before->note + "; " + note);
  } else {
    results_db::AlertRecord alert;
    alert.run = cut.run;
    alert.case_id = cut.case_id;
    alert.kind = harness::hand_cut_kind;
    alert.metric = cut.metric;
    alert.outcome = "confirmed";
    alert.note = note;
    alert.at_ns = writer.find_run(cut.run).started_ns;
    writer.put_alert(alert);
  }
  writer.close();
}

void take_cut_back(Database& database, const LevelCut& cut, const std::string& author, const std::string& remark) {
  auto writer = writer_of(database);
  const auto alerts = writer.alerts();
  if (const auto* before = find_cut(alerts, cut))
    writer.set_alert_outcome(before->id, "noise", before->note + "; " + decided("taken back", author, remark));
  writer.close();
}

}  // namespace assay::gui
