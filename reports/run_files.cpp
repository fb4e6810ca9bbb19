// A run as Markdown and as JUnit XML.
#include <fmt/format.h>

#include <cmath>
#include <map>

#include "datasets/quantity.h"
#include "reports/escape.h"
#include "reports/gate_files.h"
#include "reports/run_report.h"
#include "reports/sections.h"

namespace assay::reports {
namespace {

using results_db::Status;

}  // namespace

std::string report_markdown(const RunReport& report) {
  const auto& run = report.run;
  std::string out = fmt::format("# {} on {}\n\nRun `{}`, commit {}{}: {} cases, {} ok, {} failed, {} skipped.\n\n",
                                markdown(run.suite), markdown(run.machine.name), run.id.substr(0, 8),
                                run.build.commit.empty() ? "unknown" : run.build.commit.substr(0, 12),
                                run.build.dirty ? " (dirty)" : "", report.rows.size(), report.count(Status::ok),
                                report.count(Status::failed), report.count(Status::skipped));
  out += report.gate ? gate_markdown(*report.gate) + "\n" : "Not compared: " + markdown(report.no_gate) + "\n\n";
  out += "## Results\n\n| case | metric | value | interval | launches | provenance |\n|---|---|---:|---:|---:|---|\n";
  for (const ReportRow& row : report.rows) {
    if (row.values.empty()) {
      out += fmt::format("| `{}` | {} | {} | | | |\n", markdown(row.item.record.key), results_db::to_string(row.status),
                         markdown(row.reason));
      continue;
    }
    out += fmt::format("| `{}` | {} | {} | {} | {} | {} |\n", markdown(row.item.record.key), row.metric,
                       datasets::format_si(row.value, row.unit),
                       row.low && row.high
                           ? datasets::format_si(*row.low, row.unit) + " .. " + datasets::format_si(*row.high, row.unit)
                           : "-",
                       row.values.size(), results_db::to_string(row.provenance));
  }
  out += claims_markdown(report);
  return out;
}

std::string report_junit(const RunReport& report) {
  std::map<std::string, const harness::GatedCase*> judged;
  if (report.gate)
    for (const auto& item : report.gate->cases) judged[item.compared.key_b] = &item;
  std::string cases;
  int failures = 0, errors = 0, skipped = 0, tests = 0;
  for (const ReportRow& row : report.rows) {
    ++tests;
    const std::string& key = row.item.record.key;
    double seconds = 0;
    if (row.unit == "s")
      for (const double value : row.values) seconds += value;
    cases += fmt::format("    <testcase classname=\"{}\" name=\"{}\" time=\"{:.9f}\"", xml(row.item.record.technique),
                         xml(key), row.values.empty() ? 0.0 : seconds / static_cast<double>(row.values.size()));
    const auto gated = judged.find(key);
    if (row.status == Status::failed) {
      ++failures;
      cases += fmt::format(">\n      <failure type=\"failed\" message=\"{}\"/>\n    </testcase>\n", xml(row.reason));
    } else if (row.status == Status::skipped) {
      ++skipped;
      cases += fmt::format(">\n      <skipped message=\"{}\"/>\n    </testcase>\n", xml(row.reason));
    } else if (gated != judged.end() && gated->second->compared.decision.verdict == harness::stats::Verdict::slower) {
      ++failures;
      cases += fmt::format(">\n      <failure type=\"SLOWER\" message=\"{:+.1f}%\">{}</failure>\n    </testcase>\n",
                           100 * (gated->second->compared.decision.ratio - 1),
                           xml(harness::explain(*report.gate, *gated->second)));
    } else {
      cases += "/>\n";
    }
  }
  if (tests == 0) {
    ++tests;
    ++errors;
    cases =
        "    <testcase classname=\"assay\" name=\"report\">\n      <error type=\"nothing measured\" message=\"the run "
        "has no "
        "case\"/>\n    </testcase>\n";
  }
  const std::string counts =
      fmt::format("tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\"", tests, failures, errors, skipped);
  return fmt::format(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"assay\" {0}>\n  <testsuite name=\"{1}\" {0} "
      "hostname=\"{2}\">\n{3}  </testsuite>\n</testsuites>\n",
      counts, xml(report.run.suite), xml(report.run.machine.name), cases);
}

}  // namespace assay::reports
