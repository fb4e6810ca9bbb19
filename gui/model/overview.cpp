#include "gui/model/overview.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "datasets/user_error.h"

namespace assay::gui {
namespace {
using harness::ComparedCase;
using harness::stats::Verdict;
using results_db::RunRecord;
using results_db::Status;

int rank_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::slower:
      return 0;
    case Verdict::faster:
      return 1;
    case Verdict::unsure:
      return 2;
    case Verdict::same:
      return 3;
  }
  return 3;
}

double size_of(const ComparedCase& row) {
  const double size = std::abs(std::log(row.decision.ratio));
  return std::isfinite(size) ? size : 0;
}

std::string plural(int count, const char* one) { return fmt::format("{} {}{}", count, one, count == 1 ? "" : "s"); }

void add_comparison(Database& database, MachineOverview& out) {
  const RunRecord* before = database.previous(out.run);
  if (before == nullptr) {
    out.not_compared = fmt::format("{} has one run of {}: run it again to compare", out.run.machine.name,
                                   out.run.suite.substr(out.run.suite.rfind('/') + 1));
    return;
  }
  out.before = *before;
  try {
    auto comparison = harness::compare(database.store(), harness::parse_selector(before->id),
                                       harness::parse_selector(out.run.id), {});
    out.faster = comparison.count(Verdict::faster);
    out.slower = comparison.count(Verdict::slower);
    out.same = comparison.count(Verdict::same);
    out.unsure = comparison.count(Verdict::unsure);
    out.changes = std::move(comparison.cases);
  } catch (const UserError& nothing_to_compare) {
    out.not_compared = nothing_to_compare.what();
    return;
  }
  std::stable_sort(out.changes.begin(), out.changes.end(), [](const ComparedCase& a, const ComparedCase& b) {
    const int left = rank_of(a.decision.verdict), right = rank_of(b.decision.verdict);
    return left != right ? left < right : size_of(a) > size_of(b);
  });
}

std::string case_name(const CaseResult& result) {
  const std::string parameters = parameters_text(result.info);
  return result.info.name + (parameters.empty() ? "" : " (" + parameters + ")");
}

void add_health(const RunData& data, MachineOverview& out) {
  std::map<std::string, int> skipped;
  int by_budget = 0, launches = 0, pruned = 0;
  for (const CaseResult& result : data.cases) {
    if (result.status == Status::failed) {
      ++out.failed;
      out.health.push_back({case_name(result) + " failed", result.reason, true, result.info.id});
    }
    if (result.status == Status::skipped) {
      ++out.skipped;
      ++skipped[result.reason];
    }
    for (const auto& launch : result.launches) {
      if (launch.status != Status::ok || !launch.distribution) continue;
      ++launches;
      by_budget += launch.stop_reason == "budget" ? 1 : 0;
      pruned += launch.has_samples ? 0 : 1;
    }
  }
  for (const auto& [reason, count] : skipped)
    out.health.push_back({plural(count, "case") + " skipped", reason, false, 0});
  if (out.run.status != "finished")
    out.health.push_back({"the run is " + (out.run.status == "running" ? std::string("not finished") : out.run.status),
                          fmt::format("{} of {} cases are there", data.cases.size(), out.run.expected_cases),
                          out.run.status != "running", 0});
  if (by_budget > 0)
    out.health.push_back({fmt::format("{} of {} launches ended on the time budget", by_budget, launches),
                          "their noise target was not reached: the interval of such a launch is wider", false, 0});
  if (pruned > 0)
    out.health.push_back({fmt::format("{} of {} launches without raw samples", pruned, launches),
                          "pruned; medians and quantiles remain", false, 0});
  if (out.run.build.dirty)
    out.health.push_back({"built from changed files",
                          "commit " + short_commit(out.run.build) + " does not name the code that ran", false, 0});
}

// The first bad run, where the gate has recorded it.
std::string since_text(Database& database, const ComparedCase& worst) {
  for (const auto& alert : database.store().alerts()) {  // newest first
    if (alert.kind != "regression" || alert.case_id != worst.id_b || alert.metric != worst.metric ||
        (alert.outcome != "open" && alert.outcome != "confirmed"))
      continue;
    for (const RunRecord& run : database.runs())
      if (run.id == alert.run) return ", " + alert.outcome + " since " + moment_text(run.started_ns);
  }
  return "";
}

void name_worst(Database& database, const RunData* data, MachineOverview& out) {
  if (out.changes.empty() || out.changes.front().decision.verdict != Verdict::slower) return;
  const ComparedCase& worst = out.changes.front();
  const CaseResult* result = data == nullptr ? nullptr : data->find(worst.id_b);
  out.worst = fmt::format("{}, {:.2f} times its {} before", result == nullptr ? worst.name : case_name(*result),
                          worst.decision.ratio, metric_title(worst.metric)) +
              since_text(database, worst);
}

void write_sentence(MachineOverview& out) {
  out.sentence = plural(out.cases, "case");
  if (out.before) {
    const auto part = [&](int count, const char* word) {
      if (count > 0) out.sentence += fmt::format(", {} {}", count, word);
    };
    part(out.slower, "slower");
    part(out.faster, "faster");
    part(out.same, "same");
    part(out.unsure, "unsure");
  }
  if (out.failed > 0) out.sentence += fmt::format(", {} failed", out.failed);
  if (out.skipped > 0) out.sentence += fmt::format(", {} skipped", out.skipped);
  if (!out.worst.empty()) out.sentence += ". Worst: " + out.worst;
}

}  // namespace

MachineOverview overview_of(Database& database, const RunRecord& run) {
  MachineOverview out;
  out.run = run;
  const auto data = database.run(run.id);
  if (data) {
    out.cases = static_cast<int>(data->cases.size());
    add_health(*data, out);
  }
  add_comparison(database, out);
  name_worst(database, data.get(), out);
  write_sentence(out);
  return out;
}

std::vector<MachineOverview> overview(Database& database) {
  std::vector<MachineOverview> out;
  std::set<std::string> seen;
  for (const RunRecord& run : database.runs()) {  // newest first
    if (seen.insert(run.machine.id).second) out.push_back(overview_of(database, run));
  }
  return out;
}

ClaimCounts count_claims(results_db::Store& store) {
  ClaimCounts counts;
  for (const char* verdict : {"reproduced", "exceeded", "partial", "not reproduced", "contradicted", "untestable"})
    counts.verdicts.emplace_back(verdict, 0);
  counts.total = static_cast<int>(store.claims().size());
  for (const auto& record : store.verdicts()) {
    ++counts.judged;
    const auto found = std::find_if(counts.verdicts.begin(), counts.verdicts.end(),
                                    [&](const auto& entry) { return record.verdict.starts_with(entry.first); });
    if (found != counts.verdicts.end())
      ++found->second;
    else
      counts.verdicts.emplace_back(record.verdict, 1);
  }
  return counts;
}

}  // namespace assay::gui
