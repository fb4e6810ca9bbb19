// assay calibrate: how often is the verdict wrong here, and which slow-down does it see?
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "datasets/content_hash.h"
#include "datasets/quantity.h"
#include "datasets/user_error.h"
#include "harness/calibration.h"
#include "harness/cli/commands.h"
#include "harness/runner.h"
#include "harness/suite.h"
#include "harness/table.h"

namespace assay::cli {
namespace {

struct CalibrateArguments {
  std::string target;
  std::string run;
  std::vector<std::string> axes;
  int launches = 60;
  int comparisons = 500;
  std::string time_budget = "50ms";
  std::string min_effect = "2%";
  bool ignore_load = false;
};

struct Calibrated {
  std::string key;
  harness::Calibration found;
  std::size_t launches = 0;
};

constexpr double planted[] = {0.02, 0.05, 0.10};

nlohmann::json as_json(const Calibrated& one) {
  nlohmann::json out = {
      {"case", one.key},
      {"launches", one.launches},
      {"launches_a_side", one.found.launches},
      {"half_width", one.found.half_width},
      {"false_alarms", one.found.false_alarms()},
      {"detectable", one.found.detectable > 0 ? nlohmann::json(one.found.detectable) : nlohmann::json()}};
  for (const auto& effect : one.found.effects)
    out["effects"].push_back({{"effect", effect.effect},
                              {"comparisons", effect.comparisons},
                              {"slower", effect.slower},
                              {"faster", effect.faster},
                              {"same", effect.same},
                              {"unsure", effect.unsure},
                              {"mann_whitney_medians", effect.mann_whitney_medians}});
  return out;
}

std::string launch_all(results_db::Store& store, const CalibrateArguments& given, const Context& context) {
  harness::Selection selection;
  for (const std::string& text : given.axes) selection.axes.push_back(harness::parse_axis_override(text));
  harness::Suite suite = harness::suite_named(given.target, selection);
  for (harness::SuiteEntry& entry : suite.entries) {
    entry.launches.reset();
    entry.time_budget_seconds.reset();
  }
  suite.settings.launches = given.launches;
  suite.settings.time_budget_seconds =
      datasets::parse_quantity(given.time_budget, datasets::Dimension::seconds, "--time-budget");
  suite.roofs = false;
  harness::RunOptions options;
  options.command = context.command_line;
  options.tags = {"calibrate"};
  options.ignore_load = given.ignore_load;
  const bool terminal = isatty(STDERR_FILENO) == 1;
  const harness::RunSummary summary = harness::run_suite(store, suite, options, [&](const harness::Progress& now) {
    if (terminal) fmt::print(stderr, "\r\x1b[K[{}/{}] {}", now.done, now.total, now.case_key);
  });
  if (terminal) fmt::print(stderr, "\r\x1b[K");
  if (summary.interrupted) throw UserError("calibrate: interrupted; what was launched is kept", 130);
  return summary.run_id;
}

void run_calibrate(const CalibrateArguments& given, Context& context) {
  harness::stats::DecisionRule rule;
  rule.effect_floor = datasets::parse_quantity(given.min_effect, datasets::Dimension::fraction, "--min-effect");
  if (rule.effect_floor < 1e-4 || rule.effect_floor >= 1)
    throw UserError(fmt::format("calibrate: --min-effect: found {}, expected more than 0.01% and less than 100%",
                                given.min_effect));
  if (given.target.empty() == given.run.empty())
    throw UserError("calibrate: expected a suite or a technique to launch, or --run of one that has launches");
  auto store = results_db::Store::open(context.database,
                                       given.run.empty() ? results_db::Open::create : results_db::Open::read_write);
  const results_db::RunRecord run = store.find_run(given.run.empty() ? launch_all(store, given, context) : given.run);
  const auto needed = static_cast<std::size_t>(2 * rule.min_launches);
  std::vector<Calibrated> found;
  std::vector<std::string> left_out;
  for (const auto& row : store.cases_of(run.id)) {
    std::vector<double> medians;
    for (const auto& launch : store.launches(run.id, row.id))
      if (launch.distribution && launch.status == results_db::Status::ok && launch.distribution->median > 0)
        medians.push_back(launch.distribution->median);
    if (medians.size() < needed) {
      left_out.push_back(
          fmt::format("{}: {} launches with samples, it takes {}", row.record.key, medians.size(), needed));
      continue;
    }
    found.push_back(
        {row.record.key, harness::calibrate(medians, planted, given.comparisons, rule, 20260401), medians.size()});
  }
  nlohmann::json out = {{"schema_version", 1},
                        {"run", run.id},
                        {"machine", run.machine.id},
                        {"effect_floor", rule.effect_floor},
                        {"cases", nlohmann::json::array()},
                        {"left_out", left_out}};
  for (const Calibrated& one : found) out["cases"].push_back(as_json(one));
  if (!found.empty()) {
    const std::string text = out.dump(2);
    store.put_artifact({run.id, "calibration.json", "calibration", datasets::content_hash(text), text, ""});
  }
  context.exit_code = found.empty() ? 3 : 0;
  if (context.json) {
    fmt::print("{}\n", out.dump(2));
    return;
  }
  harness::Table table({{.title = "case", .min_width = 24, .cut_left = true},
                        {.title = "launches", .right = true},
                        {.title = "interval", .right = true},
                        {.title = "false alarms", .right = true},
                        {.title = "+2% seen", .right = true},
                        {.title = "+5%", .right = true},
                        {.title = "+10%", .right = true},
                        {.title = "seen in 80%", .right = true},
                        {.title = "rank test cries", .right = true}});
  for (const Calibrated& one : found) {
    const auto share = [&](int part) { return fmt::format("{:.1f}%", 100.0 * part / given.comparisons); };
    const auto& effects = one.found.effects;
    table.add_row({one.key, std::to_string(one.launches), fmt::format("±{:.1f}%", 100 * one.found.half_width),
                   share(one.found.false_alarms()), share(effects[1].slower), share(effects[2].slower),
                   share(effects[3].slower),
                   one.found.detectable > 0 ? fmt::format("+{:.1f}%", 100 * one.found.detectable) : "none",
                   share(effects[0].mann_whitney_medians)});
  }
  if (!found.empty())
    fmt::print(
        "{}\n{} comparisons a case, {} launches a side, floor {:.2g}%, of run {} on {}\n"
        "rank test: Mann-Whitney on the same launch medians at 5%, nothing planted\n",
        table.render(std::max(context.width, 110), context.color), given.comparisons, found.front().found.launches,
        100 * rule.effect_floor, run.id.substr(0, 8), run.machine.name);
  for (const std::string& line : left_out) fmt::print("left out: {}\n", line);
  if (found.empty()) fmt::print(stderr, "nothing calibrated: no case has {} launches\n", needed);
}

}  // namespace

void add_calibrate(CLI::App& app, Context& context) {
  auto given = std::make_shared<CalibrateArguments>();
  CLI::App* command = app.add_subcommand("calibrate", "how often is the verdict wrong here, and what does it see?");
  command->add_option("TARGET", given->target, "suite or technique to launch against itself")
      ->type_name("SUITE|TECHNIQUE");
  command->add_option("--run", given->run, "take the launches of a stored run instead")->type_name("RUN");
  command->add_option("--axis", given->axes, "axis values, as of assay run")
      ->type_name("NAME=VALUES")
      ->allow_extra_args(false);
  command->add_option("--launches", given->launches, "launches a case")
      ->check(CLI::Range(20, 10000))
      ->capture_default_str();
  command->add_option("--comparisons", given->comparisons, "comparisons made of them")
      ->check(CLI::Range(10, 100000))
      ->capture_default_str();
  command->add_option("--time-budget", given->time_budget, "sampling time of one launch")->capture_default_str();
  command->add_option("--min-effect", given->min_effect, "the floor of the verdicts")->capture_default_str();
  command->add_flag("--ignore-load", given->ignore_load, "launch on a busy machine");
  command->footer(
      "Launches of one code are dealt to two sides in turns: every FASTER or SLOWER is a false alarm. Then side B is\n"
      "multiplied by 1.02, 1.05 and 1.10. The result is kept with the run as calibration.json.\n"
      "Exit code: 0 done, 2 usage, 3 no case has enough launches.\n"
      "Examples:\n"
      "  assay calibrate naive-attention --axis sequence_length=256\n"
      "  assay calibrate quick --launches 100\n"
      "  assay calibrate --run calibrate --comparisons 2000");
  command->callback([given, &context] { run_calibrate(*given, context); });
}

}  // namespace assay::cli
