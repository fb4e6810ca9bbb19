// assay gate: did this run get slower than a base of the same machine?
#include "harness/gate.h"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>

#include "datasets/quantity.h"
#include "datasets/user_error.h"
#include "harness/cli/commands.h"
#include "harness/cli/confirm.h"
#include "harness/cli/gate_view.h"
#include "harness/gate_self_test.h"
#include "harness/runner.h"
#include "harness/suite.h"
#include "harness/table.h"
#include "reports/gate_files.h"

namespace assay::cli {
namespace {

using harness::GateReport;
using harness::UnsurePolicy;

struct GateArguments {
  std::string base = "latest~1";
  std::string head = "latest";
  std::string min_effect = "3%";
  std::string session_noise = "5%";
  std::string metric;
  std::string unsure = "pass";
  std::string junit, markdown;
  std::string base_binary;
  std::string self_test_case;
  bool explain = false;
  bool all = false;
  bool confirm = false;
  bool self_test = false;
  bool record = false;
  bool ignore_load = false;
  bool no_launches = false;
};

double fraction(const std::string& text, const char* option, double least) {
  const double value = datasets::parse_quantity(text, datasets::Dimension::fraction, option);
  if (value < least || value >= 1)
    throw UserError(fmt::format("gate: {}: found {}, expected {} and less than 100%", option, text,
                                least > 0 ? "more than 0.01%" : "0"));
  return value;
}

void write_file(const std::string& path, const std::string& text, const char* option) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  if (!file) throw UserError(fmt::format("gate: {} {}: cannot be written", option, path));
}

// Launch medians of a small real kernel, here and now.
std::vector<double> launch_small_kernel(const std::string& technique, int launches) {
  const harness::Suite suite = harness::suite_of_technique(harness::resolve_technique(technique),
                                                           {harness::parse_axis_override("sequence_length=128")});
  harness::Case item = harness::expand(suite).at(0);
  item.settings.time_budget_seconds = 0.05;
  std::vector<double> medians;
  for (int ordinal = 0; ordinal < launches; ++ordinal) {
    const auto launch = harness::launch_once(item, ordinal, 1, {});
    if (!launch) throw UserError("gate: interrupted", 130);
    if (launch->status != results_db::Status::ok)
      throw UserError(fmt::format("gate: --self-test: {}: {}", item.record().key, launch->reason), 3);
    for (const auto& metric : launch->metrics)
      if (metric.name == "time") medians.push_back(metric.value);
  }
  return medians;
}

void run_self_test(const GateArguments& given, const harness::stats::DecisionRule& rule, Context& context) {
  const std::string scratch =
      (std::filesystem::temp_directory_path() / fmt::format("assay-self-test-{}.db", getpid())).string();
  std::vector<harness::SelfTestRow> rows = harness::self_test_of_nights(scratch, rule);
  const auto add = [&](std::vector<harness::SelfTestRow> more) { rows.insert(rows.end(), more.begin(), more.end()); };
  // Launches that this machine really made, if there are any: each case's own noise.
  if (std::filesystem::exists(context.database)) {
    auto store = results_db::Store::open(context.database, results_db::Open::read_only);
    const auto runs = store.runs();
    constexpr std::size_t most = 12;
    for (const auto& row : runs.empty() ? std::vector<results_db::CaseRow>{} : store.cases_of(runs.front().id)) {
      std::vector<double> medians;
      for (const auto& launch : store.launches(runs.front().id, row.id))
        if (launch.distribution && launch.status == results_db::Status::ok)
          medians.push_back(launch.distribution->median);
      if (medians.size() < 20) continue;
      medians.resize(medians.size() / 4 * 4);
      add(harness::self_test_of_launches("stored launches: " + row.record.key, medians, rule));
      if (rows.size() > 4 + 2 * most) break;
    }
  }
  if (!given.no_launches)
    add(harness::self_test_of_launches(fmt::format("launched now: {} sequence_length=128", given.self_test_case),
                                       launch_small_kernel(given.self_test_case, 40), rule));
  const bool right = std::all_of(rows.begin(), rows.end(), [](const auto& row) { return row.right; });
  context.exit_code = right ? 0 : 1;
  if (context.json) {
    nlohmann::json out = {{"schema_version", 1}, {"right", right}, {"exit_code", context.exit_code}};
    for (const auto& row : rows)
      out["tests"].push_back({{"data", row.what},
                              {"planted", row.effect},
                              {"expected", row.expected},
                              {"found", row.found},
                              {"right", row.right}});
    fmt::print("{}\n", out.dump(2));
    return;
  }
  harness::Table table({{.title = "judged"},
                        {.title = "data", .min_width = 24, .cut_left = true},
                        {.title = "planted", .right = true},
                        {.title = "expected", .min_width = 16},
                        {.title = "found", .min_width = 24}});
  for (const auto& row : rows)
    table.add_row({{row.right ? "right" : "WRONG", row.right ? harness::Style::good : harness::Style::bad},
                   row.what,
                   row.effect > 0 ? fmt::format("{:+.1f}%", 100 * row.effect) : "nothing",
                   row.expected,
                   row.found});
  fmt::print("{}\n", table.render(std::max(context.width, 120), context.color));
  for (const auto& row : rows)
    if (row.effect > 1.5 * rule.effect_floor)
      fmt::print("its noise hides the floor of {:.3g}%: {} needs {:+.1f}%\n", 100 * rule.effect_floor, row.what,
                 100 * row.effect);
  fmt::print("{}\n",
             right ? "the gate judged everything right" : "the gate judged something WRONG: do not rely on it here");
}

void run_gate(const GateArguments& given, Context& context) {
  harness::GateOptions options;
  options.base = given.base;
  options.head = given.head;
  options.metric = given.metric;
  options.rule.effect_floor = fraction(given.min_effect, "--min-effect", 1e-4);
  options.rule.session_allowance = fraction(given.session_noise, "--session-noise", 0);
  if (given.self_test) return run_self_test(given, options.rule, context);
  const bool confirm = given.confirm || given.unsure == "rerun";
  if (!given.base_binary.empty() && !confirm)
    throw UserError("gate: --base-binary launches the base's build: it needs --confirm");
  const bool writes = given.record || confirm;
  auto store =
      results_db::Store::open(context.database, writes ? results_db::Open::read_write : results_db::Open::read_only);
  const GateReport report =
      confirm
          ? gate_and_confirm(store, options, {given.unsure == "rerun", given.base_binary, given.ignore_load}, context)
          : harness::gate(store, options);
  context.exit_code = report.exit_code(given.unsure == "fail" ? UnsurePolicy::fail : UnsurePolicy::pass);
  if (given.record) {
    const int added = harness::record_alerts(store, report);
    if (added > 0) fmt::print(stderr, "{} new alert{} recorded\n", added, added == 1 ? "" : "s");
  }
  if (!given.junit.empty())
    write_file(given.junit,
               reports::gate_junit(report, given.unsure == "fail" ? UnsurePolicy::fail : UnsurePolicy::pass),
               "--junit");
  if (!given.markdown.empty()) write_file(given.markdown, reports::gate_markdown(report), "--markdown");
  fmt::print("{}", context.json ? gate_as_json(report, context.exit_code)
                                : gate_as_text(report, context, given.explain, given.all));
}

}  // namespace

void add_gate(CLI::App& app, Context& context) {
  auto given = std::make_shared<GateArguments>();
  given->self_test_case = "attention/naive-attention";
  CLI::App* command = app.add_subcommand("gate", "did this run get slower? Exit 1 when it really did");
  command->add_option("RUN", given->head, "the run to judge")->type_name("RUN")->capture_default_str();
  command
      ->add_option("--base", given->base, "a run of the same machine: id, tag, commit=ID; latest~1 is the run before")
      ->capture_default_str();
  command->add_option("--min-effect", given->min_effect, "effects smaller than this do not matter")
      ->capture_default_str();
  command
      ->add_option("--session-noise", given->session_noise,
                   "what two sessions may differ by, for cases whose own past is too short to know")
      ->capture_default_str();
  command->add_option("--metric", given->metric, "default: time, else step_time, else what both have");
  command
      ->add_option("--unsure", given->unsure, "what UNSURE means: pass, fail, or rerun (launch all UNSURE ones again)")
      ->check(CLI::IsMember({"pass", "fail", "rerun"}))
      ->capture_default_str();
  command->add_flag("--confirm", given->confirm, "launch suspects again before judging them");
  command
      ->add_option("--base-binary", given->base_binary, "with --confirm: the base's build, launched in turns with this")
      ->type_name("PROGRAM");
  command->add_flag("--explain", given->explain, "why each finding is one, in words");
  command->add_flag("--all", given->all, "also the cases without a finding");
  command->add_flag("--record", given->record, "store findings as alerts");
  command->add_flag("--ignore-load", given->ignore_load, "launch suspects on a busy machine too");
  command->add_option("--junit", given->junit, "write JUnit XML")->type_name("FILE");
  command->add_option("--markdown", given->markdown, "write a summary for a pull request")->type_name("FILE");
  command->add_flag("--self-test", given->self_test, "plant slow-downs and A/A pairs, and judge them");
  command->add_flag("--no-launches", given->no_launches, "with --self-test: synthetic and stored data only");
  command->footer(
      "SLOWER is a confirmed regression: at least 10 launches a side, beyond the floor, and beyond what sessions of "
      "the\n"
      "case differ by in its own past. A suspect is beyond both but has too few launches; --confirm gives it more.\n"
      "docs/tracking.md has the method.\n"
      "Exit code: 0 no confirmed regression, 1 a confirmed one (or UNSURE with --unsure=fail), 2 usage, 3 nothing\n"
      "compared, expected cases missing, or no base on this machine.\n"
      "Examples:\n"
      "  assay gate --base baseline\n"
      "  assay gate --base latest~1 --min-effect 5% --confirm --explain\n"
      "  assay gate --base commit=3f2a91c --junit gate.xml --markdown gate.md --unsure=fail\n"
      "  assay gate --confirm --base-binary ../old/bin/assay\n"
      "  assay gate --self-test");
  command->callback([given, &context] { run_gate(*given, context); });
}

}  // namespace assay::cli
