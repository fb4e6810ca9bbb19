#include "reports/gate_files.h"

#include <fmt/format.h>

#include <cmath>

#include "datasets/quantity.h"
#include "reports/escape.h"

namespace assay::reports {
namespace {

using harness::GatedCase;
using harness::GateReport;
using harness::stats::Verdict;

std::string change_of(const GatedCase& item) {
  return std::isfinite(item.compared.decision.ratio) ? fmt::format("{:+.1f}%", 100 * (item.compared.decision.ratio - 1))
                                                     : "-";
}

std::string row_of(const GatedCase& item) {
  const auto& decision = item.compared.decision;
  const bool bounded = decision.interval.bounded() && decision.interval.low > 0;
  std::string since = "-";
  if (item.since)
    since = "`" + item.since->run.substr(0, 8) + "`" +
            (item.since->commit.empty() ? "" : " " + item.since->commit.substr(0, 12));
  const bool suspected = item.suspect && decision.verdict == Verdict::unsure;
  return fmt::format(
      "| {} | `{}` | {} | {} | {} | {} | {} | {} | {}+{} | {} |\n", suspected ? "SUSPECT" : to_string(decision.verdict),
      markdown(item.compared.key_b), datasets::format_si(item.compared.value_a, item.compared.unit),
      datasets::format_si(item.compared.value_b, item.compared.unit), change_of(item),
      bounded
          ? fmt::format("{:+.1f} .. {:+.1f}%", 100 * (decision.interval.low - 1), 100 * (decision.interval.high - 1))
          : "-",
      to_string(item.magnitude), results_db::to_string(item.compared.provenance), decision.launches_a,
      decision.launches_b, since);
}

constexpr const char* head =
    "| verdict | case | base | now | change | 95% interval | size | provenance | launches | since |\n"
    "|---|---|---:|---:|---:|---:|---|---|---:|---|\n";

}  // namespace

std::string gate_junit(const GateReport& report, harness::UnsurePolicy unsure) {
  std::string cases;
  int failures = 0, errors = 0, skipped = 0, tests = 0;
  const auto open = [&](const std::string& key) {
    ++tests;
    const std::string technique = key.substr(0, key.find(' '));
    cases += fmt::format("    <testcase classname=\"{}\" name=\"{}\"", xml(technique), xml(key));
  };
  for (const GatedCase& item : report.cases) {
    const auto& decision = item.compared.decision;
    open(item.compared.key_b);
    const std::string why = xml(harness::explain(report, item));
    if (decision.verdict == Verdict::slower) {
      ++failures;
      cases += fmt::format(">\n      <failure type=\"SLOWER\" message=\"{} slower\">{}</failure>\n    </testcase>\n",
                           change_of(item), why);
    } else if (decision.verdict == Verdict::unsure && unsure == harness::UnsurePolicy::fail) {
      ++failures;
      cases += fmt::format(">\n      <failure type=\"UNSURE\" message=\"{}\">{}</failure>\n    </testcase>\n",
                           xml(decision.reason), why);
    } else if (decision.verdict == Verdict::unsure) {
      ++skipped;
      cases += fmt::format(">\n      <skipped message=\"{}{}\"/>\n    </testcase>\n",
                           item.suspect ? "suspect: " : "UNSURE: ", xml(decision.reason));
    } else {
      cases += fmt::format(">\n      <system-out>{} {}</system-out>\n    </testcase>\n", to_string(decision.verdict),
                           change_of(item));
    }
  }
  for (const auto& [key, why] : report.missing) {
    open(key);
    ++errors;
    cases += fmt::format(">\n      <error type=\"missing\" message=\"{}\"/>\n    </testcase>\n", xml(why));
  }
  if (tests == 0) {
    open("gate");
    ++errors;
    cases += fmt::format(">\n      <error type=\"nothing compared\" message=\"{}\"/>\n    </testcase>\n",
                         xml(harness::headline(report)));
  }
  const std::string counts =
      fmt::format("tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\"", tests, failures, errors, skipped);
  return fmt::format(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"assay gate\" {0}>\n"
      "  <testsuite name=\"{1}\" {0} hostname=\"{2}\">\n    <properties>\n      <property name=\"base\" "
      "value=\"{3}\"/>\n"
      "      <property name=\"run\" value=\"{4}\"/>\n      <property name=\"commit\" value=\"{5}\"/>\n    "
      "</properties>\n"
      "{6}  </testsuite>\n</testsuites>\n",
      counts, xml(report.head.suite), xml(report.head.machine.name), xml(report.base.id), xml(report.head.id),
      xml(report.head.build.commit), cases);
}

std::string gate_markdown(const GateReport& report) {
  std::string out = fmt::format("## {}\n\n", markdown(harness::headline(report)));
  const auto run = [](const results_db::RunRecord& one) {
    return fmt::format("`{}` ({}, commit {}{})", one.id.substr(0, 8), markdown(one.suite),
                       one.build.commit.empty() ? "unknown" : one.build.commit.substr(0, 12),
                       one.build.dirty ? ", dirty" : "");
  };
  out += fmt::format("Run {} against {} on {}: {} SLOWER, {} FASTER, {} SAME, {} UNSURE.\n\n", run(report.head),
                     run(report.base), markdown(report.head.machine.name), report.count(Verdict::slower),
                     report.count(Verdict::faster), report.count(Verdict::same), report.count(Verdict::unsure));
  std::string findings, rest, words;
  for (const GatedCase& item : report.cases) {
    const bool found = item.suspect || item.compared.decision.verdict == Verdict::faster;
    (found ? findings : rest) += row_of(item);
    if (item.suspect) words += harness::explain(report, item) + "\n";
  }
  if (!findings.empty()) out += head + findings + "\n";
  if (!report.missing.empty()) {
    out += "Missing:\n\n";
    for (const auto& [key, why] : report.missing) out += fmt::format("- `{}`: {}\n", markdown(key), markdown(why));
    out += "\n";
  }
  if (!words.empty()) out += "<details><summary>Why</summary>\n\n```text\n" + words + "```\n\n</details>\n\n";
  if (!rest.empty())
    out += "<details><summary>Without a finding</summary>\n\n" + std::string(head) + rest + "\n</details>\n";
  return out;
}

}  // namespace assay::reports
