// assay report: a run as a file that others can read.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>

#include "datasets/quantity.h"
#include "datasets/user_error.h"
#include "harness/cli/commands.h"
#include "harness/comparison.h"
#include "reports/page_parts.h"
#include "reports/run_report.h"
#include "results_db/export.h"

namespace assay::cli {
namespace {

struct ReportArguments {
  std::string run = "latest";
  std::string base;
  std::string output;
  std::string format;
  std::string min_effect = "3%";
};

std::string format_of(const ReportArguments& given) {
  if (!given.format.empty()) return given.format;
  const std::size_t dot = given.output.rfind('.');
  const std::string ending = dot == std::string::npos ? "" : given.output.substr(dot + 1);
  if (ending == "html" || ending == "htm") return "html";
  if (ending == "md") return "markdown";
  if (ending == "xml") return "junit";
  if (ending == "csv") return "csv";
  if (ending == "json") return "trace";
  throw UserError(
      fmt::format("report: -o {}: found ending '{}', expected .html, .md, .xml (JUnit), .csv or .json (Chrome "
                  "trace); or name it with --format",
                  given.output, ending));
}

std::string written(results_db::Store& store, const results_db::RunRecord& run, const std::string& format,
                    const ReportArguments& given) {
  std::ostringstream text;
  if (format == "csv") {
    results_db::export_csv(store, {run}, text);
    return text.str();
  }
  if (format == "trace") {
    results_db::export_trace(store, {run}, text);
    return text.str();
  }
  harness::stats::DecisionRule rule;
  rule.effect_floor = datasets::parse_quantity(given.min_effect, datasets::Dimension::fraction, "--min-effect");
  if (rule.effect_floor < 1e-4 || rule.effect_floor >= 1)
    throw UserError(
        fmt::format("report: --min-effect: found {}, expected more than 0.01% and less than 100%", given.min_effect));
  const reports::RunReport report = reports::collect(store, run, given.base, rule);
  if (format == "markdown") return reports::report_markdown(report);
  if (format == "junit") return reports::report_junit(report);
  if (reports::chart_js().empty())
    fmt::print(stderr, "assay: no charts: this assay was built without Chart.js (Debian: libjs-chart.js)\n");
  return reports::report_html(report);
}

void write_report(const ReportArguments& given, Context& context) {
  if (given.output.empty() && given.format.empty())
    throw UserError("report: expected -o FILE (.html, .md, .xml, .csv, .json) or --format");
  const std::string format = format_of(given);
  auto store = results_db::Store::open(context.database, results_db::Open::read_only);
  const results_db::RunRecord run = harness::find_run(store, harness::parse_selector(given.run));
  const std::string text = written(store, run, format, given);
  if (given.output.empty()) {
    fmt::print("{}", text);
  } else {
    std::ofstream file(given.output, std::ios::binary);
    file << text;
    file.close();
    if (!file) throw UserError(fmt::format("report: -o {}: cannot be written", given.output));
    if (context.json)
      fmt::print("{}\n", nlohmann::json{{"schema_version", 1},
                                        {"run", run.id},
                                        {"format", format},
                                        {"file", given.output},
                                        {"bytes", text.size()}}
                             .dump(2));
    else
      fmt::print("{}: {} of run {}\n", given.output, format, run.id.substr(0, 8));
  }
  if (store.cases_of(run.id).empty()) {
    fmt::print(stderr, "nothing measured: run {} has no case\n", run.id.substr(0, 8));
    context.exit_code = 3;
  }
}

}  // namespace

void add_report(CLI::App& app, Context& context) {
  auto given = std::make_shared<ReportArguments>();
  CLI::App* command = app.add_subcommand("report", "a run as one file: HTML, Markdown, JUnit, CSV, Chrome trace");
  command->add_option("RUN", given->run, "run id or the start of one, a tag, latest, latest~1")->capture_default_str();
  command->add_option("-o,--output", given->output, "the file; its ending says the form")->type_name("FILE");
  command
      ->add_option("--format", given->format, "the form, where the ending does not say it; without -o to the terminal")
      ->check(CLI::IsMember({"html", "markdown", "junit", "csv", "trace"}));
  command->add_option("--base", given->base,
                      "what to compare with (default: the run before of the same suite and machine)");
  command->add_option("--min-effect", given->min_effect, "effects smaller than this do not matter")
      ->capture_default_str();
  command->footer(
      "The HTML file needs nothing else: style, numbers and charts are inside, tables are readable without "
      "JavaScript,\n"
      "and it prints. Verdicts are those of assay gate.\n"
      "Examples:\n"
      "  assay report -o night.html\n"
      "  assay report latest --base baseline --format markdown\n"
      "  assay report 5a3b1e08 -o cases.xml");
  command->callback([given, &context] { write_report(*given, context); });
}

}  // namespace assay::cli
