#pragma once
// What a report says about a run, collected once for every form it is written in.
#include <optional>
#include <string>
#include <vector>

#include "harness/gate.h"
#include "results_db/store.h"

namespace assay::reports {

struct ReportRow {
  results_db::CaseRow item;
  std::string metric;  // the one that stands for the case: time, else step_time, else the first with a direction
  std::string unit;
  std::string better;  // lower | higher
  results_db::Provenance provenance = results_db::Provenance::measured;
  std::vector<double> values;              // one a launch
  double value = 0;                        // their median; NaN when there is none
  std::optional<double> low, high;         // of the launches' median, or of the model's residuals
  std::vector<results_db::Metric> others;  // medians of the case's other metrics
  int samples = 0;                         // without warm-up, over all launches
  results_db::Status status = results_db::Status::ok;
  std::string reason;  // of the first launch that was not ok
  std::optional<results_db::GateRecord> check;
  std::vector<double> past;  // runs of this machine up to this one, oldest first
};

struct ReportClaim {
  results_db::ClaimRecord claim;
  std::optional<results_db::VerdictRecord> verdict;  // the newest
};

struct RunReport {
  results_db::RunRecord run;
  std::vector<ReportRow> rows;
  std::optional<harness::GateReport> gate;  // against the base, where there is one
  std::string no_gate;                      // why there is none
  std::vector<ReportClaim> claims;          // about the techniques of the run; those with a verdict first
  int count(results_db::Status status) const;
};

// `base` empty: the run before of the same suite and machine, if there is one.
RunReport collect(results_db::Store& store, const results_db::RunRecord& run, const std::string& base,
                  const harness::stats::DecisionRule& rule);

std::string report_html(const RunReport& report);
std::string report_markdown(const RunReport& report);
// A test case a case: failed ones are failures, skipped ones skipped, and SLOWER ones of the gate failures too.
std::string report_junit(const RunReport& report);

}  // namespace assay::reports
