#include "harness/cli/compare_view.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "datasets/quantity.h"
#include "harness/cli/case_words.h"
#include "harness/cli/compared_json.h"
#include "harness/table.h"

namespace assay::cli {
namespace {

using harness::ComparedCase;
using harness::Comparison;
using harness::Style;
using harness::stats::Design;
using harness::stats::Interval;
using harness::stats::Verdict;

Style style_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::faster:
      return Style::good;
    case Verdict::slower:
      return Style::bad;
    case Verdict::same:
      return Style::dim;
    case Verdict::unsure:
      return Style::warn;
  }
  return Style::plain;
}

std::string ratio_text(double ratio) {
  if (!std::isfinite(ratio)) return "-";
  return ratio >= 10 ? fmt::format("{:.1f}x", ratio) : fmt::format("{:.3f}x", ratio);
}

std::string interval_text(const ComparedCase& row) {
  if (row.decision.design == Design::exact) return "exact";
  const Interval& interval = row.decision.interval;
  if (!interval.bounded() || interval.low <= 0) return "-";
  return fmt::format("{:.3f} .. {:.3f}", interval.low, interval.high);
}

std::string launches_text(const ComparedCase& row) {
  return fmt::format("{}+{}", row.decision.launches_a, row.decision.launches_b);
}

using Rows = std::vector<const ComparedCase*>;

std::vector<std::string> keys_of(const Rows& rows) {
  std::vector<std::string> keys;
  for (const ComparedCase* row : rows) keys.insert(keys.end(), {row->key_a, row->key_b});
  return keys;
}

std::string technique_text(const ComparedCase& row) {
  const std::string a = short_technique(row.key_a);
  const std::string b = short_technique(row.key_b);
  return a == b ? a : a + " vs " + b;
}

// What tells a row from the others, besides its technique.
std::string case_text(const ComparedCase& row) {
  if (row.name == row.key_a) return "";
  const std::string technique = technique_of(row.key_a);
  if (row.name == technique) return "";
  return row.name.starts_with(technique + " ") ? row.name.substr(technique.size() + 1) : row.name;
}

bool shown(const ComparedCase& row, const CompareView& view) {
  return view.only.empty() ||
         std::find(view.only.begin(), view.only.end(), to_string(row.decision.verdict)) != view.only.end();
}

harness::Table table_of(const Rows& rows, const CompareView& view) {
  const ComparedCase& first = *rows.front();
  const auto differs_from_first = [&](auto&& text) {
    return std::any_of(rows.begin(), rows.end(), [&](const ComparedCase* row) { return text(*row) != text(first); });
  };
  // A lone case is told by the heading and its technique.
  const bool with_case = rows.size() > 1 && differs_from_first(case_text);
  const bool with_technique = !with_case || differs_from_first(technique_text);
  const bool with_metric = differs_from_first([](const ComparedCase& row) { return row.metric; });
  harness::Table table({{.title = "verdict", .min_width = 7}});
  if (with_technique) table.add_column({.title = "technique", .min_width = 16});
  if (with_case) table.add_column({.title = "case", .min_width = 16, .cut_left = true});
  if (with_metric) table.add_column({.title = "metric", .min_width = 10});
  table.add_column({.title = "A", .right = true});
  table.add_column({.title = "B", .right = true});
  table.add_column({.title = "B/A", .right = true});
  table.add_column({.title = "95% interval", .right = true});
  table.add_column({.title = "launches", .right = true});
  if (view.explain) {
    table.add_column({.title = "p", .right = true});
    table.add_column({.title = "q", .right = true});
    table.add_column({.title = "design"});
    table.add_column({.title = "why", .min_width = 24});
  }
  for (const ComparedCase* held : rows) {
    const ComparedCase& row = *held;
    std::vector<harness::Cell> cells = {{to_string(row.decision.verdict), style_of(row.decision.verdict)}};
    if (with_technique) cells.emplace_back(technique_text(row));
    if (with_case) cells.emplace_back(case_text(row));
    if (with_metric) cells.emplace_back(row.metric);
    cells.emplace_back(datasets::format_si(row.value_a, row.unit));
    cells.emplace_back(datasets::format_si(row.value_b, row.unit));
    cells.emplace_back(ratio_text(row.decision.ratio));
    cells.emplace_back(interval_text(row));
    cells.emplace_back(launches_text(row));
    if (view.explain) {
      cells.emplace_back(std::isnan(row.decision.p) ? "-" : fmt::format("{:.2g}", row.decision.p));
      cells.emplace_back(std::isnan(row.decision.q) ? "-" : fmt::format("{:.2g}", row.decision.q));
      cells.emplace_back(to_string(row.decision.design));
      std::string why = row.decision.reason;
      for (const std::string& part : {row.note, std::string(row.same_code ? "same code" : "")})
        if (!part.empty()) why += (why.empty() ? "" : "; ") + part;
      cells.emplace_back(why);
    }
    table.add_row(std::move(cells));
  }
  return table;
}

std::string run_line(const char* side, const results_db::RunRecord& run, const harness::Selector& selector, int width) {
  std::string line = fmt::format("{}  {}  {}", side, run.id.substr(0, 8), run.suite);
  for (const std::string& tag : run.tags) line += " #" + tag;
  line += fmt::format("  on {}", run.machine.name);
  if (!run.build.commit.empty())
    line += fmt::format("  commit {}{}", run.build.commit.substr(0, 12), run.build.dirty ? " (dirty)" : "");
  if (run.status != "finished") line += "  " + run.status;
  for (const auto& [name, value] : selector.where) line += fmt::format("  {}={}", name, value);
  return harness::wrap(line, width);
}

std::string environment_text(const Comparison& comparison, const Context& context) {
  if (comparison.run_a.id == comparison.run_b.id) return "";
  if (comparison.environment.empty()) return "same machine, build and settings\n";
  harness::Table table({{.title = "differs"}, {.title = "A", .min_width = 12}, {.title = "B", .min_width = 12}});
  for (const auto& one : comparison.environment)
    table.add_row({one.what, one.a.empty() ? "-" : one.a, one.b.empty() ? "-" : one.b});
  return table.render(context.width, context.color);
}

std::string counted(std::size_t count, const char* what) {
  return count == 0 ? "" : fmt::format("; {} {}", count, what);
}

std::string named(const char* what, const std::vector<std::string>& keys) {
  if (keys.empty()) return "";
  constexpr std::size_t most = 3;
  std::string line = fmt::format("{} {}:", what, keys.size());
  for (std::size_t i = 0; i < std::min(keys.size(), most); ++i) line += (i > 0 ? "; " : " ") + keys[i];
  if (keys.size() > most) line += fmt::format("; and {} more", keys.size() - most);
  return line + "\n";
}

std::string summary_line(const Comparison& comparison, std::size_t hidden) {
  std::string line = fmt::format("{} compared:", comparison.cases.size());
  const char* separator = " ";
  for (const Verdict verdict : {Verdict::slower, Verdict::faster, Verdict::same, Verdict::unsure}) {
    line += fmt::format("{}{} {}", separator, comparison.count(verdict), to_string(verdict));
    separator = ", ";
  }
  const auto same_code = static_cast<std::size_t>(std::count_if(comparison.cases.begin(), comparison.cases.end(),
                                                                [](const ComparedCase& row) { return row.same_code; }));
  line += counted(same_code, "run the same code on both sides");
  line += counted(hidden, "rows hidden by --only");
  return line + "\n";
}

std::string unsure_lines(const Comparison& comparison) {
  std::map<std::string, int> reasons;
  for (const ComparedCase& row : comparison.cases)
    if (row.decision.verdict == Verdict::unsure) ++reasons[row.decision.reason];
  std::string lines;
  for (const auto& [reason, count] : reasons) lines += fmt::format("UNSURE ({}): {}\n", count, reason);
  return lines;
}

}  // namespace

std::string nothing_line(const Comparison& comparison) {
  if (comparison.matched == 0)
    return fmt::format("nothing matched: no case of A has a counterpart in B ({} only in A, {} only in B)\n",
                       comparison.only_a.size(), comparison.only_b.size());
  if (comparison.cases.empty())
    return fmt::format("nothing measured: {} matched, none with a value on both sides\n", comparison.matched);
  if (comparison.count(Verdict::faster) + comparison.count(Verdict::slower) == 0)
    return fmt::format("nothing significant: no difference shown among {} compared\n", comparison.cases.size());
  return "";
}

std::string comparison_as_text(const Comparison& comparison, const Context& context, const CompareView& view) {
  std::string out = run_line("A", comparison.run_a, comparison.selector_a, context.width) +
                    run_line("B", comparison.run_b, comparison.selector_b, context.width);
  out += environment_text(comparison, context) + "\n";
  // Measured and projected values never share a table: they must not be read against each other by accident.
  std::vector<std::pair<results_db::Provenance, Rows>> tables;
  std::size_t hidden = 0;
  for (const ComparedCase& row : comparison.cases) {
    if (!shown(row, view)) {
      ++hidden;
      continue;
    }
    auto at = std::find_if(tables.begin(), tables.end(), [&](const auto& one) { return one.first == row.provenance; });
    if (at == tables.end()) at = tables.insert(at, {row.provenance, {}});
    at->second.push_back(&row);
  }
  for (const auto& [provenance, rows] : tables) {
    out += harness::wrap(
        fmt::format("all: {} {}", results_db::to_string(provenance), fmt::join(shared_words(keys_of(rows)), " ")),
        context.width);
    const harness::Table table = table_of(rows, view);
    out += (view.markdown ? "\n" + table.markdown()
                          : table.render(view.explain ? std::max(context.width, 140) : context.width, context.color)) +
           "\n";
  }
  if (!comparison.cases.empty()) out += summary_line(comparison, hidden) + unsure_lines(comparison);
  out += named("only in A", comparison.only_a) + named("only in B", comparison.only_b);
  for (const auto& [name, why] : comparison.not_compared) out += fmt::format("not compared: {}: {}\n", name, why);
  return out + nothing_line(comparison);
}

std::string comparison_as_json(const Comparison& comparison, const harness::stats::DecisionRule& rule, int exit_code) {
  nlohmann::json out = {{"schema_version", 1},
                        {"a", run_json(comparison.run_a)},
                        {"b", run_json(comparison.run_b)},
                        {"rule",
                         {{"effect_floor", rule.effect_floor},
                          {"false_rate", rule.false_rate},
                          {"confidence", rule.confidence},
                          {"min_launches", rule.min_launches},
                          {"session_allowance", rule.session_allowance}}},
                        {"matched", comparison.matched},
                        {"only_a", comparison.only_a},
                        {"only_b", comparison.only_b},
                        {"exit_code", exit_code}};
  out["environment"] = nlohmann::json::array();
  for (const auto& one : comparison.environment)
    out["environment"].push_back({{"what", one.what}, {"a", one.a}, {"b", one.b}});
  out["not_compared"] = nlohmann::json::array();
  for (const auto& [name, why] : comparison.not_compared) out["not_compared"].push_back({{"name", name}, {"why", why}});
  for (const Verdict verdict : {Verdict::faster, Verdict::slower, Verdict::same, Verdict::unsure})
    out["counts"][to_string(verdict)] = comparison.count(verdict);
  out["cases"] = nlohmann::json::array();
  for (const ComparedCase& row : comparison.cases) {
    nlohmann::json item = compared_json(row);
    item["name"] = row.name;
    item["case_a"] = row.key_a;
    item["case_b"] = row.key_b;
    item["a"] = finite_or_null(row.value_a);
    item["b"] = finite_or_null(row.value_b);
    item["launches_a"] = row.decision.launches_a;
    item["launches_b"] = row.decision.launches_b;
    item["more_launches"] = row.decision.more_launches;
    item["note"] = row.note;
    out["cases"].push_back(std::move(item));
  }
  return out.dump(2) + "\n";
}

}  // namespace assay::cli
