#include "harness/cli/compare_live.h"

#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <random>

#include "datasets/content_hash.h"
#include "datasets/quantity.h"
#include "datasets/user_error.h"
#include "harness/code_hash.h"
#include "harness/environment.h"
#include "harness/live_comparison.h"
#include "harness/machine_lock.h"
#include "harness/runner.h"
#include "harness/signals.h"

namespace assay::cli {
namespace {

using harness::Case;
using harness::LiveSide;
using harness::Selector;

std::string term(const Selector& selector, const std::string& name) {
  for (const auto& [key, value] : selector.where)
    if (key == name) return value;
  return "";
}

std::vector<results_db::CaseRow> cases_named(const Selector& selector, const std::string& database) {
  std::vector<results_db::CaseRow> rows;
  const std::string technique = term(selector, "technique");
  if (selector.names_run || !selector.of_run.empty() || technique.empty()) {
    results_db::Store store = results_db::Store::open(database, results_db::Open::read_only);
    return store.cases_of(harness::find_run(store, selector).id);
  }
  std::vector<harness::AxisOverride> axes;
  for (const auto& [name, value] : selector.where)
    if (name != "technique" && name != "backend" && name != "fabric" && name != "timer" && name != "cache" &&
        name != "family")
      axes.push_back(harness::parse_axis_override(name + "=" + value));
  const harness::Suite suite = harness::suite_of_technique(harness::resolve_technique(technique), axes,
                                                           term(selector, "backend"), term(selector, "fabric"));
  for (const Case& item : harness::expand(suite))
    rows.push_back({static_cast<std::int64_t>(rows.size()), item.record()});
  return rows;
}

Case case_of(const results_db::CaseRow& row, double budget_seconds) {
  std::vector<Case> cases = harness::expand(harness::suite_of_record(row.record));
  Case item = std::move(cases.at(0));
  item.settings.time_budget_seconds = budget_seconds;
  return item;
}

// Another build is known by its contents; what it was built from only it could say.
results_db::BuildRecord build_of(const std::string& program) {
  if (program.empty()) return harness::capture_build();
  std::ifstream file(program, std::ios::binary);
  if (!file) throw UserError(fmt::format("compare: {}: cannot be read; expected an assay executable", program));
  const std::string bytes{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  results_db::BuildRecord build;
  build.id = datasets::content_hash(bytes);
  build.facts_json = nlohmann::json{{"program", std::filesystem::absolute(program).string()}}.dump();
  return build;
}

LiveSide side_of(const Selector& selector, const std::string& program, std::uint64_t seed, bool gate) {
  if (!program.empty() && access(program.c_str(), X_OK) != 0)
    throw UserError(fmt::format("compare: {}: no such executable", program));
  harness::RunOptions options;
  options.program = program;
  LiveSide side;
  side.selector = selector;
  side.build = build_of(program);
  side.launch = [options, seed, own = program.empty()](const Case& item, int ordinal) {
    auto record = harness::launch_once(item, ordinal, seed, options);
    if (own && record) record->code_hash = harness::code_hash(item.implementation->source_file);
    return record;
  };
  if (gate)
    side.gate = [options, seed](const Case& item) -> std::optional<results_db::GateRecord> {
      harness::WorkerProcess worker(harness::worker_command(item, options));
      const auto reply =
          worker.run(harness::job_of(item, harness::JobKind::gate, seed), options.limits, {}, harness::stop_requested);
      if (!reply) return std::nullopt;
      results_db::GateRecord record = reply->gate;
      record.status = reply->status;
      if (record.reason.empty()) record.reason = reply->reason;
      return record;
    };
  return side;
}

}  // namespace

harness::Comparison run_live(const Selector& a, const Selector& b, const LiveArguments& given,
                             const harness::stats::DecisionRule& rule, const std::string& metric, bool rerun_unsure,
                             const Context& context) {
  const double budget = datasets::parse_quantity(given.time_budget, datasets::Dimension::seconds, "--time-budget");
  const std::vector<results_db::CaseRow> rows_a = cases_named(a, context.database);
  const std::vector<results_db::CaseRow> rows_b = cases_named(b, context.database);
  const harness::Join joined = harness::join(a, rows_a, b, rows_b);
  if (joined.cases.empty())
    throw UserError(fmt::format("nothing matched: '{}' and '{}' have no case in common to launch", a.text, b.text), 3);
  std::vector<harness::LivePair> pairs;
  for (const auto& item : joined.cases) pairs.push_back({case_of(item.a, budget), case_of(item.b, budget)});

  std::random_device device;
  const std::uint64_t seed = static_cast<std::uint64_t>(device()) << 31 ^ device();
  const LiveSide side_a = side_of(a, given.program_a, seed, !given.no_gate);
  const LiveSide side_b = side_of(b, given.program_b, seed, !given.no_gate);
  harness::LiveOptions options;
  options.launches = given.launches;
  options.max_launches = given.max_launches;
  options.rerun_unsure = rerun_unsure;
  options.rule = rule;
  options.command = context.command_line;
  options.metric = metric;

  const harness::MachineLock lock = harness::MachineLock::acquire(context.command_line);
  results_db::Store store = results_db::Store::open(context.database, results_db::Open::create);
  const bool terminal = isatty(STDERR_FILENO) == 1;
  harness::Comparison comparison =
      harness::compare_live(store, pairs, side_a, side_b, options, [&](const harness::LiveProgress& progress) {
        if (terminal) fmt::print(stderr, "\r\x1b[K[{}/{}] {}", progress.done, progress.total, progress.case_key);
      });
  if (terminal) fmt::print(stderr, "\r\x1b[K");
  return comparison;
}

}  // namespace assay::cli
