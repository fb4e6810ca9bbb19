#include "harness/cli/gate_view.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "datasets/quantity.h"
#include "harness/cli/case_words.h"
#include "harness/cli/compared_json.h"
#include "harness/table.h"
#include "results_db/export.h"

namespace assay::cli {
namespace {

using harness::GatedCase;
using harness::GateReport;
using harness::Style;
using harness::stats::Verdict;

std::string run_text(const char* what, const results_db::RunRecord& run) {
  std::string line = fmt::format("{}  {}  {}", what, run.id.substr(0, 8), run.suite);
  for (const std::string& tag : run.tags) line += " #" + tag;
  line += "  on " + run.machine.name;
  if (!run.build.commit.empty())
    line += fmt::format("  commit {}{}", run.build.commit.substr(0, 12), run.build.dirty ? " (dirty)" : "");
  return line + (run.status == "finished" ? "" : "  " + run.status);
}

std::string verdict_text(const GatedCase& item) {
  const Verdict verdict = item.compared.decision.verdict;
  return item.suspect && verdict == Verdict::unsure ? "SUSPECT" : to_string(verdict);
}

Style style_of(const GatedCase& item) {
  switch (item.compared.decision.verdict) {
    case Verdict::slower:
      return Style::bad;
    case Verdict::faster:
      return Style::good;
    case Verdict::unsure:
      return Style::warn;
    case Verdict::same:
      break;
  }
  return Style::dim;
}

nlohmann::json case_json(const GatedCase& item) {
  const harness::ComparedCase& row = item.compared;
  nlohmann::json out = compared_json(row);
  out["case"] = row.key_b;
  out["base"] = finite_or_null(row.value_a);
  out["now"] = finite_or_null(row.value_b);
  out["launches_base"] = row.decision.launches_a;
  out["launches_now"] = row.decision.launches_b;
  out["base_runs"] = item.base_runs;
  out["confirm_runs"] = item.confirm_runs;
  out["allowance"] = row.decision.session_allowance;
  out["suspect"] = item.suspect;
  out["magnitude"] = to_string(item.magnitude);
  out["detectable"] = item.detectable ? finite_or_null(*item.detectable) : nlohmann::json(nullptr);
  out["first_bad"] = nullptr;
  if (item.since)
    out["first_bad"] = {{"run", item.since->run},
                        {"commit", item.since->commit},
                        {"started_ns", item.since->started_ns},
                        {"last_good", item.since->last_good},
                        {"found", item.since->found}};
  return out;
}

// A finding is shown; that nothing was found in a case is counted.
bool quiet(const GatedCase& item) {
  const Verdict verdict = item.compared.decision.verdict;
  return verdict == Verdict::same || (verdict == Verdict::unsure && !item.suspect);
}

harness::Table table_of(const std::vector<const GatedCase*>& rows, const std::vector<std::string>& shared) {
  harness::Table table({{.title = "verdict", .min_width = 7},
                        {.title = "technique", .min_width = 16},
                        {.title = "case", .min_width = 14, .cut_left = true},
                        {.title = "base", .right = true},
                        {.title = "now", .right = true},
                        {.title = "change", .right = true},
                        {.title = "95% interval", .right = true},
                        {.title = "sees", .right = true},
                        {.title = "launches", .right = true},
                        {.title = "since", .min_width = 8}});
  for (const GatedCase* held : rows) {
    const GatedCase& item = *held;
    const auto& decision = item.compared.decision;
    const bool bounded = decision.interval.bounded() && decision.interval.low > 0;
    table.add_row(
        {{verdict_text(item), style_of(item)},
         short_technique(item.compared.key_b),
         own_words(item.compared.key_b, shared),
         datasets::format_si(item.compared.value_a, item.compared.unit),
         datasets::format_si(item.compared.value_b, item.compared.unit),
         std::isfinite(decision.ratio) ? fmt::format("{:+.1f}%", 100 * (decision.ratio - 1)) : "-",
         bounded
             ? fmt::format("{:+.1f} .. {:+.1f}%", 100 * (decision.interval.low - 1), 100 * (decision.interval.high - 1))
             : "-",
         item.detectable && std::isfinite(*item.detectable) ? fmt::format("{:.1f}%", 100 * *item.detectable) : "-",
         fmt::format("{}+{}", decision.launches_a, decision.launches_b),
         item.since ? item.since->run.substr(0, 8) : ""});
  }
  return table;
}

}  // namespace

std::string gate_as_text(const GateReport& report, const Context& context, bool explain, bool all) {
  std::string out = harness::wrap(run_text("base", report.base), context.width) +
                    harness::wrap(run_text("now ", report.head), context.width) + "\n";
  // Sides of one provenance share a table, as in `compare`.
  std::vector<std::pair<results_db::Provenance, std::vector<const GatedCase*>>> tables;
  std::size_t hidden = 0;
  for (const GatedCase& item : report.cases) {
    if (quiet(item) && !all) {
      ++hidden;
      continue;
    }
    const auto provenance = item.compared.provenance;
    auto at = std::find_if(tables.begin(), tables.end(), [&](const auto& one) { return one.first == provenance; });
    if (at == tables.end()) at = tables.insert(tables.end(), {provenance, {}});
    at->second.push_back(&item);
  }
  for (const auto& [provenance, rows] : tables) {
    std::vector<std::string> keys;
    for (const GatedCase* item : rows) keys.push_back(item->compared.key_b);
    const std::vector<std::string> shared = shared_words(keys);
    out += harness::wrap(fmt::format("all: {} {}", results_db::to_string(provenance), fmt::join(shared, " ")),
                         context.width) +
           table_of(rows, shared).render(context.width, context.color) + "\n";
  }
  if (explain)
    for (const GatedCase& item : report.cases)
      if (item.suspect || all) out += harness::explain(report, item) + "\n";
  for (const auto& [key, why] : report.missing) out += fmt::format("missing: {}: {}\n", key, why);
  if (!report.added.empty()) out += fmt::format("{} cases are new and have no base\n", report.added.size());
  if (!report.cases.empty()) {
    out += fmt::format("{} compared: {} SLOWER, {} FASTER, {} SAME, {} UNSURE", report.cases.size(),
                       report.count(Verdict::slower), report.count(Verdict::faster), report.count(Verdict::same),
                       report.count(Verdict::unsure));
    out += hidden > 0 ? fmt::format("; {} without a finding not shown (--all)\n", hidden) : "\n";
  }
  out += harness::headline(report) + "\n";
  if (report.suspects() > 0) out += "launch the suspects again with: assay gate --confirm\n";
  return out;
}

std::string gate_as_json(const GateReport& report, int exit_code) {
  nlohmann::json out = {{"schema_version", results_db::export_schema_version},
                        {"base", run_json(report.base)},
                        {"now", run_json(report.head)},
                        {"headline", harness::headline(report)},
                        {"suspects", report.suspects()},
                        {"blind", report.blind()},
                        {"added", report.added},
                        {"exit_code", exit_code}};
  for (const Verdict verdict : {Verdict::faster, Verdict::slower, Verdict::same, Verdict::unsure})
    out["counts"][to_string(verdict)] = report.count(verdict);
  out["missing"] = nlohmann::json::array();
  for (const auto& [key, why] : report.missing) out["missing"].push_back({{"case", key}, {"why", why}});
  out["environment"] = nlohmann::json::array();
  for (const auto& one : report.environment)
    out["environment"].push_back({{"what", one.what}, {"a", one.a}, {"b", one.b}});
  out["cases"] = nlohmann::json::array();
  for (const GatedCase& item : report.cases) out["cases"].push_back(case_json(item));
  return out.dump(2) + "\n";
}

}  // namespace assay::cli
