#include "reports/run_report.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "datasets/user_error.h"
#include "harness/history.h"
#include "harness/stats/median.h"
#include "results_db/metrics.h"

namespace assay::reports {
namespace {

using results_db::LaunchSummary;
using results_db::Metric;
using results_db::Status;

bool has_direction(const std::string& name) {
  const auto* definition = results_db::find_metric(name);
  return definition != nullptr && definition->better != results_db::Better::neither;
}

std::string standing_for(const std::vector<const LaunchSummary*>& launches) {
  std::vector<std::string> wanted = {"time", "step_time"};
  for (const LaunchSummary* launch : launches)
    for (const Metric& metric : launch->metrics)
      if (has_direction(metric.name)) wanted.push_back(metric.name);
  for (const std::string& name : wanted)
    for (const LaunchSummary* launch : launches)
      for (const Metric& metric : launch->metrics)
        if (metric.name == name) return name;
  return "";
}

void fill_values(ReportRow& row, const std::vector<const LaunchSummary*>& ok) {
  row.metric = standing_for(ok);
  std::map<std::string, std::vector<double>> others;
  std::vector<Metric> order;
  for (const LaunchSummary* launch : ok) {
    if (launch->distribution) row.samples += static_cast<int>(launch->distribution->n);
    for (const Metric& metric : launch->metrics) {
      if (metric.name == row.metric) {
        row.values.push_back(metric.value);
        row.unit = metric.unit;
        row.provenance = metric.provenance;
        // One launch's own interval says nothing about the run's; a model's says all there is.
        if (metric.provenance != results_db::Provenance::measured &&
            metric.provenance != results_db::Provenance::emulated) {
          row.low = metric.low;
          row.high = metric.high;
        }
        continue;
      }
      if (!others.contains(metric.name)) order.push_back(metric);
      others[metric.name].push_back(metric.value);
    }
  }
  for (Metric& metric : order) {
    metric.value = harness::stats::median(others[metric.name]);
    row.others.push_back(std::move(metric));
  }
  row.value = row.values.empty() ? std::numeric_limits<double>::quiet_NaN() : harness::stats::median(row.values);
  const auto* definition = results_db::find_metric(row.metric);
  row.better = definition == nullptr ? "none" : results_db::to_string(definition->better);
  if (const auto interval = harness::stats::median_interval(row.values); interval.bounded()) {
    row.low = interval.low;
    row.high = interval.high;
  }
}

std::vector<ReportClaim> claims_about(results_db::Store& store, const std::vector<ReportRow>& rows) {
  std::set<std::string> techniques;
  for (const ReportRow& row : rows) techniques.insert(row.item.record.technique);
  std::map<std::string, results_db::VerdictRecord> verdicts;
  for (auto& verdict : store.verdicts()) verdicts[verdict.claim] = std::move(verdict);
  std::vector<ReportClaim> claims;
  for (auto& claim : store.claims()) {
    if (!techniques.contains(claim.technique)) continue;
    const auto verdict = verdicts.find(claim.id);
    claims.push_back({std::move(claim), verdict == verdicts.end() ? std::nullopt : std::optional(verdict->second)});
  }
  std::stable_partition(claims.begin(), claims.end(), [](const ReportClaim& row) { return row.verdict.has_value(); });
  return claims;
}

}  // namespace

int RunReport::count(Status status) const {
  return static_cast<int>(
      std::count_if(rows.begin(), rows.end(), [&](const ReportRow& row) { return row.status == status; }));
}

RunReport collect(results_db::Store& store, const results_db::RunRecord& run, const std::string& base,
                  const harness::stats::DecisionRule& rule) {
  RunReport report;
  report.run = run;
  const std::vector<LaunchSummary> all = store.summaries(run.id);
  for (results_db::CaseRow& item : store.cases_of(run.id)) {
    ReportRow row;
    std::vector<const LaunchSummary*> ok;
    bool any = false;
    for (const LaunchSummary& launch : all) {
      if (launch.case_id != item.id) continue;
      any = true;
      if (launch.status == Status::ok) {
        ok.push_back(&launch);
      } else if (row.status == Status::ok) {
        row.status = launch.status;
        row.reason = launch.reason;
      }
    }
    if (!any) {
      row.status = Status::skipped;
      row.reason = "never launched: the run is " + run.status;
    }
    fill_values(row, ok);
    row.check = store.gate(run.id, item.id);
    if (!row.metric.empty() && has_direction(row.metric))
      for (const auto& point : store.history(item.id, run.machine.id, row.metric))
        if (point.started_ns <= run.started_ns && !point.medians.empty())
          row.past.push_back(harness::stats::median(point.medians));
    row.item = std::move(item);
    report.rows.push_back(std::move(row));
  }
  report.claims = claims_about(store, report.rows);
  try {
    report.gate =
        harness::gate(store, {.base = base.empty() ? "latest~1" : base, .head = run.id, .rule = rule, .metric = ""});
  } catch (const UserError& none) {
    if (!base.empty()) throw;
    report.no_gate = none.what();
  }
  return report;
}

}  // namespace assay::reports
