// A run as one HTML file that needs nothing else: every number is in a table, charts are drawn from the same numbers.
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "datasets/quantity.h"
#include "reports/escape.h"
#include "reports/page_parts.h"
#include "reports/run_report.h"
#include "reports/sections.h"
#include "results_db/export.h"

namespace assay::reports {
namespace {

using harness::GatedCase;
using harness::stats::Verdict;
using nlohmann::json;
using results_db::Status;

std::string technique_name(const ReportRow& row) {
  const std::string& id = row.item.record.technique;
  return id.substr(id.rfind('/') + 1);
}
std::string family_of(const ReportRow& row) {
  const std::string& id = row.item.record.technique;
  const std::size_t slash = id.rfind('/');
  return slash == std::string::npos ? id : id.substr(0, slash);
}
// The key without its technique.
std::string rest_of_key(const ReportRow& row) {
  const std::string& key = row.item.record.key;
  const std::size_t space = key.find(' ');
  return space == std::string::npos ? "" : key.substr(space + 1);
}

std::vector<std::string> words_of(const std::string& text) {
  std::vector<std::string> words;
  std::istringstream stream(text);
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

// What the keys of all rows have in common is said once.
std::vector<std::string> shared_words(const std::vector<const ReportRow*>& rows) {
  std::vector<std::string> shared;
  if (rows.size() < 2) return shared;
  shared = words_of(rest_of_key(*rows.front()));
  for (const ReportRow* row : rows) {
    const std::vector<std::string> own = words_of(rest_of_key(*row));
    std::erase_if(shared,
                  [&](const std::string& word) { return std::find(own.begin(), own.end(), word) == own.end(); });
  }
  return shared;
}

std::string without(const std::string& text, const std::vector<std::string>& shared) {
  std::string out;
  for (const std::string& word : words_of(text))
    if (std::find(shared.begin(), shared.end(), word) == shared.end()) out += (out.empty() ? "" : " ") + word;
  return out;
}

std::string time_text(std::int64_t ns) {
  if (ns == 0) return "not finished";
  return fmt::format("{:%Y-%m-%d %H:%M:%S} UTC", fmt::gmtime(static_cast<std::time_t>(ns / 1'000'000'000)));
}

std::string number_cell(double value, const std::string& unit) {
  if (!std::isfinite(value)) return "<td class=\"number\">-</td>";
  return fmt::format("<td class=\"number\" data-value=\"{}\">{}</td>", value, xml(datasets::format_si(value, unit)));
}

std::string provenance_cell(results_db::Provenance provenance) {
  const char* word = results_db::to_string(provenance);
  return fmt::format("<td><span class=\"from {0}\">{0}</span></td>", word);
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  return text;
}

std::string pill(const std::string& word) {
  return fmt::format("<span class=\"pill {}\">{}</span>", lower(word), word);
}

// The runs up to this one as a line without axes: the shape, not the numbers.
std::string past_svg(const std::vector<double>& all) {
  if (all.size() < 3) return "";
  constexpr std::size_t most = 60;
  const std::size_t first = all.size() > most ? all.size() - most : 0;
  const std::vector<double> past(all.begin() + static_cast<std::ptrdiff_t>(first), all.end());
  const auto [low, high] = std::minmax_element(past.begin(), past.end());
  // A flat past lies in the middle instead of filling the picture with its noise.
  const double middle = (*low + *high) / 2;
  const double span = std::max(*high - *low, 0.05 * middle);
  constexpr double width = 96, height = 22;
  std::string points;
  double x = 0, y = 0;
  for (std::size_t i = 0; i < past.size(); ++i) {
    x = 3 + (width - 6) * static_cast<double>(i) / static_cast<double>(past.size() - 1);
    y = height / 2 - (height - 6) * (past[i] - middle) / span;
    points += fmt::format("{:.1f},{:.1f} ", x, y);
  }
  return fmt::format(
      "<svg class=\"past\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} {1}\" role=\"img\" aria-label=\"{2} "
      "runs\"><title>{2} "
      "runs, oldest left</title><polyline points=\"{3}\"/><circle cx=\"{4:.1f}\" cy=\"{5:.1f}\" r=\"2.6\"/></svg>",
      width, height, past.size(), points, x, y);
}

std::string check_text(const ReportRow& row) {
  if (!row.check) return "-";
  if (row.check->status == Status::skipped) return "skipped";
  std::string text = std::isfinite(row.check->error) ? fmt::format("{:.2g}", row.check->error) : "not a number";
  if (row.check->mutants_total > 0)
    text += fmt::format(", {}/{} mutants", row.check->mutants_caught, row.check->mutants_total);
  return text;
}

std::string results_table(const std::vector<const ReportRow*>& rows) {
  const bool with_past =
      std::any_of(rows.begin(), rows.end(), [](const ReportRow* row) { return row->past.size() >= 3; });
  const std::vector<std::string> shared = shared_words(rows);
  std::string out;
  if (!shared.empty())
    out = fmt::format("<p class=\"quiet\">all: {}</p>\n", xml(fmt::format("{}", fmt::join(shared, " "))));
  out +=
      "<div class=\"scroll\"><table class=\"results\"><thead><tr><th>case</th><th>metric</th><th "
      "class=\"number\">value</th>"
      "<th class=\"number\">interval</th><th class=\"number\">launches</th><th class=\"number\">samples</th>"
      "<th>provenance</th><th>check</th>";
  out += with_past ? "<th>past runs</th></tr></thead><tbody>\n" : "</tr></thead><tbody>\n";
  for (const ReportRow* row : rows) {
    out += fmt::format("<tr data-case=\"{}\"><td class=\"case\"><b>{}</b><span>{}</span></td>",
                       xml(row->item.record.key), xml(technique_name(*row)), xml(without(rest_of_key(*row), shared)));
    if (row->values.empty()) {
      out += fmt::format("<td colspan=\"{}\">{} {}</td></tr>\n", with_past ? 8 : 7,
                         pill(results_db::to_string(row->status)), xml(row->reason));
      continue;
    }
    out += fmt::format("<td>{}</td>", xml(row->metric)) + number_cell(row->value, row->unit);
    out += row->low && row->high
               ? fmt::format("<td class=\"number\">{} .. {}</td>", xml(datasets::format_si(*row->low, row->unit)),
                             xml(datasets::format_si(*row->high, row->unit)))
               : "<td class=\"number\">-</td>";
    out += fmt::format("<td class=\"number\">{}</td><td class=\"number\">{}</td>", row->values.size(),
                       row->samples > 0 ? std::to_string(row->samples) : "-");
    out += provenance_cell(row->provenance);
    out += fmt::format(
        "<td>{}{}</td>", xml(check_text(*row)),
        row->status == Status::ok ? "" : " " + pill(results_db::to_string(row->status)) + " " + xml(row->reason));
    if (with_past) out += "<td>" + past_svg(row->past) + "</td>";
    out += "</tr>\n";
  }
  return out + "</tbody></table></div>\n";
}

std::string changes_section(const RunReport& report) {
  std::string out = "<h2 id=\"changes\">What changed</h2>\n";
  if (!report.gate) return out + "<p class=\"quiet\">Not compared: " + xml(report.no_gate) + "</p>\n";
  const harness::GateReport& gate = *report.gate;
  out += fmt::format(
      "<p class=\"quiet\">Against run <code>{}</code> of {}{}. Verdicts are made from launch medians, with what "
      "sessions of each "
      "case differ by in its own past; the method is in docs/tracking.md and docs/methodology.md.</p>\n",
      gate.base.id.substr(0, 8), time_text(gate.base.started_ns),
      gate.base.build.commit.empty() ? "" : ", commit <code>" + xml(gate.base.build.commit.substr(0, 12)) + "</code>");
  std::string rows, quiet_rows, words;
  for (const GatedCase& item : gate.cases) {
    const auto& row = item.compared;
    const auto& decision = row.decision;
    const bool suspect = item.suspect && decision.verdict == Verdict::unsure;
    const bool found = item.suspect || decision.verdict == Verdict::faster;
    const bool bounded = decision.interval.bounded() && decision.interval.low > 0;
    std::string line =
        fmt::format("<tr data-gated=\"{}\" data-verdict=\"{}\"><td>{}</td>", xml(row.key_b),
                    to_string(decision.verdict), pill(suspect ? "SUSPECT" : to_string(decision.verdict)));
    const std::size_t space = row.key_b.find(' ');
    line += fmt::format("<td class=\"case\"><b>{}</b><span>{}</span></td>", xml(row.key_b.substr(0, space)),
                        space == std::string::npos ? "" : xml(row.key_b.substr(space + 1)));
    line += number_cell(row.value_a, row.unit) + number_cell(row.value_b, row.unit);
    line += std::isfinite(decision.ratio) ? fmt::format("<td class=\"number\" data-value=\"{}\">{:+.1f}%</td>",
                                                        decision.ratio, 100 * (decision.ratio - 1))
                                          : "<td class=\"number\">-</td>";
    line += bounded ? fmt::format("<td class=\"number\">{:+.1f} .. {:+.1f}%</td>", 100 * (decision.interval.low - 1),
                                  100 * (decision.interval.high - 1))
                    : "<td class=\"number\">-</td>";
    line += fmt::format("<td class=\"number\">{}+{}</td>", decision.launches_a, decision.launches_b);
    line += provenance_cell(row.provenance);
    line += fmt::format("<td>{}</td></tr>\n",
                        item.since ? "<code>" + item.since->run.substr(0, 8) + "</code> " + xml(item.since->found)
                                   : xml(decision.reason));
    (found ? rows : quiet_rows) += line;
    if (item.suspect) words += harness::explain(gate, item) + "\n";
  }
  const std::string head =
      "<div class=\"scroll\"><table class=\"changes\"><thead><tr><th>verdict</th><th>case</th><th "
      "class=\"number\">base</th><th "
      "class=\"number\">this run</th><th class=\"number\">change</th><th class=\"number\">95% interval</th><th "
      "class=\"number\">launches</th><th>provenance</th><th>since, why</th></tr></thead><tbody>\n";
  if (!rows.empty()) out += head + rows + "</tbody></table></div>\n";
  for (const auto& [key, why] : gate.missing)
    out += fmt::format("<p>{} <code>{}</code>: {}</p>\n", pill("MISSING"), xml(key), xml(why));
  while (words.ends_with('\n')) words.pop_back();
  if (!words.empty()) out += "<details open><summary>Why</summary><pre>" + xml(words) + "</pre></details>\n";
  if (!quiet_rows.empty())
    out += fmt::format("<details{}><summary>{} without a finding</summary>", rows.empty() ? " open" : "",
                       std::count(quiet_rows.begin(), quiet_rows.end(), '\n')) +
           head + quiet_rows + "</tbody></table></div></details>\n";
  if (!gate.environment.empty()) {
    out +=
        "<details><summary>What differs in the environment</summary><div "
        "class=\"scroll\"><table><thead><tr><th>what</th>"
        "<th>base</th><th>this run</th></tr></thead><tbody>\n";
    for (const auto& one : gate.environment)
      out += fmt::format("<tr><td>{}</td><td class=\"mono\">{}</td><td class=\"mono\">{}</td></tr>\n", xml(one.what),
                         xml(one.a), xml(one.b));
    out += "</tbody></table></div></details>\n";
  }
  return out;
}

json parameters_of(const ReportRow& row) {
  const json parsed = json::parse(row.item.record.parameters_json, nullptr, false);
  return parsed.is_object() ? parsed : json::object();
}

// As tables of the program head their columns: seq=4k, bf16.
std::string short_words(const std::string& parameter, const json& value) {
  static const std::map<std::string, std::string> shorter = {
      {"sequence_length", "seq"}, {"head_dim", "d"}, {"working_set", "bytes"}, {"message_bytes", "bytes"}};
  const std::string text = value.is_string()           ? value.get<std::string>()
                           : value.is_number_integer() ? datasets::format_count(value.get<std::int64_t>())
                                                       : value.dump();
  if (parameter == "dtype" || parameter == "model" || parameter == "device") return text;
  const auto found = shorter.find(parameter);
  return (found == shorter.end() ? parameter : found->second) + "=" + text;
}

// One chart for rows of one family, metric and unit: lines over the number that varies most, else bars.
json chart_of(const std::vector<const ReportRow*>& rows, const std::string& id) {
  std::map<std::string, std::set<std::string>> varying;
  for (const ReportRow* row : rows) {
    const json parameters = parameters_of(*row);
    for (const auto& [name, value] : parameters.items()) varying[name].insert(value.dump());
  }
  std::string axis;
  std::size_t most = 2;
  for (const auto& [name, values] : varying) {
    const bool numeric = std::all_of(rows.begin(), rows.end(), [&](const ReportRow* row) {
      const json parameters = parameters_of(*row);
      return parameters.contains(name) && parameters[name].is_number() && parameters[name].get<double>() > 0;
    });
    if (numeric && values.size() > most) {
      most = values.size();
      axis = name;
    }
  }
  const bool one_technique = std::all_of(rows.begin(), rows.end(), [&](const ReportRow* row) {
    return technique_name(*row) == technique_name(*rows.front());
  });
  const auto name_of = [&](const ReportRow& row) {
    std::string name = one_technique ? "" : technique_name(row);
    const json parameters = parameters_of(row);
    for (const auto& [parameter, value] : parameters.items())
      if (parameter != axis && varying[parameter].size() > 1) name += " " + short_words(parameter, value);
    std::set<std::string> where;
    for (const ReportRow* other : rows) where.insert(other->item.record.backend + "/" + other->item.record.fabric);
    if (where.size() > 1)
      name += " " + row.item.record.backend + (row.item.record.fabric.empty() ? "" : "/" + row.item.record.fabric);
    if (!name.empty() && name.front() == ' ') name.erase(0, 1);
    return name.empty() ? technique_name(row) : name;
  };
  double low = rows.front()->value, high = low;
  for (const ReportRow* row : rows) {
    low = std::min(low, row->value);
    high = std::max(high, row->value);
  }
  json chart = {{"id", id},
                {"metric", rows.front()->metric},
                {"unit", rows.front()->unit},
                {"better", rows.front()->better},
                {"log", low > 0 && high / low > 10},
                {"labels", json::array()},
                {"series", json::array()}};
  if (axis.empty()) {
    json points = json::array();
    for (const ReportRow* row : rows) {
      chart["labels"].push_back(name_of(*row));
      points.push_back(row->value);
    }
    chart["kind"] = "bar";
    chart["series"].push_back({{"name", rows.front()->metric},
                               {"provenance", results_db::to_string(rows.front()->provenance)},
                               {"points", points}});
    return chart;
  }
  std::map<std::string, std::map<double, double>> lines;
  std::vector<std::string> order;
  std::map<std::string, std::string> provenance;
  std::set<double> xs;
  for (const ReportRow* row : rows) {
    const std::string from = results_db::to_string(row->provenance);
    const std::string name = name_of(*row);
    if (!lines.contains(name)) order.push_back(name);
    provenance[name] = from;
    const double x = parameters_of(*row)[axis].get<double>();
    lines[name][x] = row->value;
    xs.insert(x);
  }
  chart["kind"] = "line";
  chart["axis"] = axis;
  chart["x"] = xs;
  chart["log_x"] = *xs.rbegin() / *xs.begin() >= 8;
  for (const std::string& name : order) {
    json points = json::array();
    for (const auto& [x, y] : lines[name]) points.push_back({{"x", x}, {"y", y}});
    chart["series"].push_back({{"name", name}, {"provenance", provenance[name]}, {"points", points}});
  }
  return chart;
}

// Rows that may share axes: measured beside projected only as lines that say which they are.
std::vector<std::vector<const ReportRow*>> chart_groups(const RunReport& report) {
  std::map<std::string, std::vector<const ReportRow*>> groups;
  for (const ReportRow& row : report.rows)
    if (!row.values.empty() && std::isfinite(row.value) && !is_roof(row))
      groups[family_of(row) + "\n" + row.metric + "\n" + row.unit + "\n" + results_db::to_string(row.provenance)]
          .push_back(&row);
  std::vector<std::vector<const ReportRow*>> out;
  constexpr std::size_t readable = 48;
  for (auto& [key, rows] : groups)
    if (rows.size() >= 2 && rows.size() <= readable) out.push_back(std::move(rows));
  return out;
}

std::string headline_html(const RunReport& report) {
  if (report.gate) {
    const auto& gate = *report.gate;
    const char* look = gate.count(Verdict::slower) > 0                                      ? "bad"
                       : gate.suspects() > 0 || !gate.missing.empty() || gate.cases.empty() ? "warn"
                                                                                            : "good";
    return fmt::format("<p class=\"headline {}\">{}</p>\n", look, xml(harness::headline(gate)));
  }
  return "";
}

}  // namespace

std::string report_html(const RunReport& report) {
  const auto& run = report.run;
  std::string out =
      "<!DOCTYPE html>\n<html lang=\"en\" class=\"no-script\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta name=\"color-scheme\" content=\"light dark\">\n";
  const std::string name =
      run.suite.substr(run.suite.rfind('/') + 1);  // of a technique run by itself, without its family
  out += fmt::format("<title>{} on {}: assay</title>\n<style>\n", xml(name), xml(run.machine.name));
  out += std::string(page_css()) + "</style>\n</head>\n<body>\n<main>\n";
  out += fmt::format("<h1>{}</h1>\n<p class=\"quiet\">Run <code>{}</code> on {}, {}</p>\n", xml(name), xml(run.id),
                     xml(run.machine.name), time_text(run.started_ns));
  out += headline_html(report);
  const auto fact = [&](const char* what, const std::string& value, bool text) {
    out += fmt::format("<div class=\"fact\"><dt>{}</dt><dd{}>{}</dd></div>\n", what, text ? " class=\"text\"" : "",
                       xml(value));
  };
  out += "<dl class=\"facts\">\n";
  fact("cases", std::to_string(report.rows.size()), false);
  fact("ok", std::to_string(report.count(Status::ok)), false);
  fact("failed", std::to_string(report.count(Status::failed)), false);
  fact("skipped", std::to_string(report.count(Status::skipped)), false);
  fact("processor", run.machine.cpu.empty() ? "unknown" : run.machine.cpu, true);
  fact("commit",
       run.build.commit.empty() ? "unknown" : run.build.commit.substr(0, 12) + (run.build.dirty ? " (dirty)" : ""),
       true);
  fact("compiler", run.build.compiler.empty() ? "unknown" : run.build.compiler, true);
  out += "</dl>\n";

  out += changes_section(report);

  const auto groups = chart_groups(report);
  json charts = json::array();
  if (!groups.empty()) {
    out += "<h2 id=\"charts\">Charts</h2>\n";
    if (chart_js().empty()) {
      out +=
          "<p class=\"quiet\">This assay was built without Chart.js (Debian: libjs-chart.js), so there are none; the "
          "tables "
          "below have every number.</p>\n";
    } else {
      out +=
          "<noscript><p class=\"quiet\">Charts need JavaScript; the tables below have every "
          "number.</p></noscript>\n<div "
          "class=\"charts\">\n";
      for (const auto& rows : groups) {
        const std::string id = fmt::format("chart-{}", charts.size());
        charts.push_back(chart_of(rows, id));
        // A row a case wants its height; names that take half of a column want both columns.
        const auto& labels = charts.back()["labels"];
        const bool wide = std::any_of(labels.begin(), labels.end(), [](const json& label) {
          return label.get_ref<const std::string&>().size() > 34;
        });
        out += fmt::format(
            "<section class=\"chart{}\"><h3>{}</h3><p class=\"quiet\">{}, {} cases</p><div class=\"box\" "
            "style=\"height: {}px\"><canvas id=\"{}\" role=\"img\" "
            "aria-label=\"{} of {}; the table has the numbers\"></canvas></div><ul class=\"legend\"></ul></section>\n",
            wide ? " wide" : "", xml(family_of(*rows.front())), results_db::to_string(rows.front()->provenance),
            rows.size(), std::max<std::size_t>(320, 80 + 22 * labels.size()), id, xml(rows.front()->metric),
            xml(family_of(*rows.front())));
      }
      out += "</div>\n";
    }
  }

  out += roofline_section(report);
  out +=
      "<h2 id=\"results\">Results</h2>\n<p class=\"quiet\">The value is the median of the launch medians, the interval "
      "that of "
      "the median at 95% (from six launches on), or what the residuals of the model leave open about a projection. "
      "Check is the largest error in units of its tolerance, and the wrong versions that were rejected.</p>\n";
  std::map<std::string, std::vector<const ReportRow*>> families;
  for (const ReportRow& row : report.rows) families[family_of(row)].push_back(&row);
  for (const auto& [family, rows] : families) out += fmt::format("<h3>{}</h3>\n", xml(family)) + results_table(rows);

  out += claims_section(report);

  out +=
      "<h2 id=\"values\">All values</h2>\n<details><summary>Every metric of every case</summary><div "
      "class=\"scroll\"><table "
      "class=\"values\"><thead><tr><th>case</th><th>metric</th><th class=\"number\">median over "
      "launches</th><th>provenance</th>"
      "</tr></thead><tbody>\n";
  for (const ReportRow& row : report.rows)
    for (const auto& metric : row.others)
      out += fmt::format("<tr data-case=\"{0}\" data-metric=\"{1}\"><td class=\"mono\">{0}</td><td>{1}</td>",
                         xml(row.item.record.key), xml(metric.name)) +
             number_cell(metric.value, metric.unit) + provenance_cell(metric.provenance) + "</tr>\n";
  out += "</tbody></table></div></details>\n";

  out += "<h2 id=\"again\">How to run this again</h2>\n";
  out += fmt::format("<pre>{}</pre>\n<details><summary>The suite as it was run</summary><pre>{}</pre></details>\n",
                     xml(run.command), xml(run.suite_toml));
  const auto pretty = [](const std::string& text) {
    const json parsed = json::parse(text.empty() ? "{}" : text, nullptr, false);
    return parsed.is_discarded() ? text : parsed.dump(2);
  };
  out += fmt::format("<details><summary>Environment</summary><pre>{}</pre><pre>{}</pre></details>\n",
                     xml(pretty(run.environment_json)), xml(pretty(run.machine.facts_json)));
  out +=
      "<footer>Made by assay report. measured: a clock around real work; emulated: real work, injected link delays; "
      "projected: a "
      "model of a machine; derived: a formula over other rows; claimed: printed in a paper. Never mixed in one "
      "series.</footer>\n"
      "</main>\n";
  if (!charts.empty()) {
    std::string data = charts.dump();
    for (std::size_t at = data.find("</"); at != std::string::npos; at = data.find("</", at + 3))
      data.replace(at, 2, "<\\/");
    out += "<script type=\"application/json\" id=\"chart-data\">" + data + "</script>\n<script>" +
           std::string(chart_js()) + "</script>\n<script>" + std::string(page_js()) + "</script>\n";
  }
  return out + "</body>\n</html>\n";
}

}  // namespace assay::reports
