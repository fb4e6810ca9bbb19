// Runs a stored row again, here or elsewhere, and says whether it comes out the same.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>

#include "datasets/quantity.h"
#include "datasets/user_error.h"
#include "harness/cli/commands.h"
#include "harness/environment.h"
#include "harness/runner.h"
#include "harness/stats/decide.h"
#include "harness/stats/median.h"
#include "harness/suite.h"

namespace assay::cli {
namespace {

using nlohmann::json;
using results_db::LaunchRecord;
using results_db::Metric;

constexpr const char* capsule_kind = "assay-capsule";

struct RerunArguments {
  std::string what;
  std::string run = "latest";
  std::string capsule;
  int launches = 0;
};

// Everything needed to run one row again and to judge the outcome.
struct Capsule {
  std::string key;
  std::string suite_toml;  // of the one case
  std::int64_t seed = 0;
  std::string run_id;
  std::string machine_id;
  std::string machine_cpu;
  std::string build_id;
  std::string commit;
  std::string code_hash;
  json descriptors = json::object();
  json environment = json::object();
  bool projected = false;
  std::vector<double> values;   // launch medians, or the one projected value
  std::vector<Metric> metrics;  // of the first launch: counts must come out equal
};

bool is_count(const std::string& name) {
  return name == "comm_bytes" || name == "comm_messages" || name == "memory_peak";
}

std::vector<double> headline_values(const std::vector<LaunchRecord>& launches) {
  std::vector<double> values;
  for (const LaunchRecord& launch : launches)
    for (const Metric& metric : launch.metrics)
      if (metric.name == "time" || metric.name == "step_time") values.push_back(metric.value);
  return values;
}

Capsule capsule_from_store(const Context& context, const RerunArguments& given) {
  auto store = results_db::Store::open(context.database, results_db::Open::read_only);
  const auto run = store.find_run(given.run);
  std::vector<results_db::CaseRow> matches;
  for (const auto& item : store.cases_of(run.id)) {
    if (item.record.key == given.what) {
      matches = {item};
      break;
    }
    if (item.record.key.find(given.what) != std::string::npos) matches.push_back(item);
  }
  if (matches.empty())
    throw UserError(fmt::format("no row of run {} contains '{}'; `assay show {} --json` lists the keys",
                                run.id.substr(0, 8), given.what, given.run));
  if (matches.size() > 1)
    throw UserError(fmt::format("'{}' names {} rows of run {}, the first are: {} | {}", given.what, matches.size(),
                                run.id.substr(0, 8), matches[0].record.key, matches[1].record.key));
  const auto launches = store.launches(run.id, matches.front().id);
  Capsule capsule;
  capsule.key = matches.front().record.key;
  harness::Suite suite = harness::suite_of_record(matches.front().record);
  capsule.values = headline_values(launches);
  if (capsule.values.empty())
    throw UserError(fmt::format("{} has no time in run {}: it {}", capsule.key, run.id.substr(0, 8),
                                launches.empty() ? "was not run" : launches.front().reason));
  suite.settings.launches = static_cast<int>(capsule.values.size());
  capsule.suite_toml = harness::to_toml(suite);
  capsule.seed = run.seed;
  capsule.run_id = run.id;
  capsule.machine_id = run.machine.id;
  capsule.machine_cpu = run.machine.cpu;
  capsule.build_id = run.build.id;
  capsule.commit = run.build.commit;
  capsule.code_hash = launches.front().code_hash;
  capsule.descriptors =
      json::parse(launches.front().descriptors_json.empty() ? "{}" : launches.front().descriptors_json);
  capsule.environment = json::parse(run.environment_json.empty() ? "{}" : run.environment_json);
  capsule.projected = matches.front().record.timer == "virtual";
  capsule.metrics = launches.front().metrics;
  return capsule;
}

json to_json(const Capsule& capsule) {
  json metrics = json::array();
  for (const Metric& metric : capsule.metrics)
    metrics.push_back({{"name", metric.name},
                       {"value", metric.value},
                       {"unit", metric.unit},
                       {"provenance", to_string(metric.provenance)}});
  return {{"schema_version", 1},
          {"kind", capsule_kind},
          {"key", capsule.key},
          {"suite", capsule.suite_toml},
          {"seed", capsule.seed},
          {"run", capsule.run_id},
          {"machine", {{"id", capsule.machine_id}, {"cpu", capsule.machine_cpu}}},
          {"build", {{"id", capsule.build_id}, {"commit", capsule.commit}, {"code_hash", capsule.code_hash}}},
          {"descriptors", capsule.descriptors},
          {"environment", capsule.environment},
          {"projected", capsule.projected},
          {"values", capsule.values},
          {"metrics", std::move(metrics)}};
}

Capsule capsule_from_file(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw UserError(fmt::format("{}: cannot be read", path));
  try {
    const json object = json::parse(file);
    if (object.at("kind") != capsule_kind) throw UserError(fmt::format("{}: kind: expected {}", path, capsule_kind));
    if (object.at("schema_version") != 1)
      throw UserError(
          fmt::format("{}: schema_version: found {}, expected 1", path, object.at("schema_version").dump()));
    Capsule capsule;
    capsule.key = object.at("key");
    capsule.suite_toml = object.at("suite");
    capsule.seed = object.at("seed");
    capsule.run_id = object.at("run");
    capsule.machine_id = object.at("machine").at("id");
    capsule.machine_cpu = object.at("machine").at("cpu");
    capsule.build_id = object.at("build").at("id");
    capsule.commit = object.at("build").at("commit");
    capsule.code_hash = object.at("build").at("code_hash");
    capsule.descriptors = object.at("descriptors");
    capsule.environment = object.at("environment");
    capsule.projected = object.at("projected");
    capsule.values = object.at("values").get<std::vector<double>>();
    for (const json& metric : object.at("metrics"))
      capsule.metrics.push_back({.name = metric.at("name"),
                                 .value = metric.at("value"),
                                 .unit = metric.at("unit"),
                                 .provenance = results_db::provenance_from(metric.at("provenance")),
                                 .low = {},
                                 .high = {}});
    return capsule;
  } catch (const json::exception& wrong) {
    throw UserError(fmt::format("{}: not a capsule: {}", path, wrong.what()));
  }
}

struct Outcome {
  std::string word;  // SAME | DIFFERENT | UNSURE | OTHER MACHINE
  std::vector<std::string> remarks;
};

// Counts must be equal; a projection must be equal to the bit; a time is decided as any comparison is.
Outcome judge(const Capsule& capsule, const std::vector<LaunchRecord>& launches,
              const results_db::MachineRecord& here) {
  Outcome outcome;
  const std::vector<double> values = headline_values(launches);
  bool counts_differ = false;
  for (const Metric& before : capsule.metrics) {
    if (!is_count(before.name)) continue;
    for (const Metric& now : launches.front().metrics)
      if (now.name == before.name && now.value != before.value) {
        counts_differ = true;
        outcome.remarks.push_back(fmt::format("{}: {:.0f} then, {:.0f} now", before.name, before.value, now.value));
      }
  }
  if (launches.front().code_hash != capsule.code_hash)
    outcome.remarks.emplace_back("the implementation's code has changed");
  if (json::parse(launches.front().descriptors_json.empty() ? "{}" : launches.front().descriptors_json) !=
      capsule.descriptors)
    outcome.remarks.emplace_back("the machine descriptors have changed");
  if (counts_differ) {
    outcome.word = "DIFFERENT";
    return outcome;
  }
  if (capsule.projected) {
    outcome.word = values.front() == capsule.values.front() ? "SAME" : "DIFFERENT";
    return outcome;
  }
  if (here.id != capsule.machine_id) {
    outcome.word = "OTHER MACHINE";
    outcome.remarks.push_back(fmt::format("then {}, now {}: times are not compared", capsule.machine_cpu, here.cpu));
    return outcome;
  }
  // The two sides were taken at separate times; the rule knows how far two sessions of one binary may differ.
  harness::stats::Contest contest;
  for (const double value : capsule.values) contest.a.push_back({.value = value, .started_ns = 0});
  for (const double value : values) contest.b.push_back({.value = value, .started_ns = 0});
  const harness::stats::Decision decision = harness::stats::decide(contest);
  switch (decision.verdict) {
    case harness::stats::Verdict::same:
      outcome.word = "SAME";
      break;
    case harness::stats::Verdict::unsure:
      outcome.word = "UNSURE";
      break;
    case harness::stats::Verdict::faster:
    case harness::stats::Verdict::slower:
      outcome.word = "DIFFERENT";
      break;
  }
  outcome.remarks.push_back(
      fmt::format("ratio {:.3f}{}{}", decision.ratio, decision.reason.empty() ? "" : ": ", decision.reason));
  return outcome;
}

void rerun(const RerunArguments& given, Context& context) {
  const bool from_file = std::filesystem::is_regular_file(given.what) && given.what.find(".json") != std::string::npos;
  const Capsule capsule = from_file ? capsule_from_file(given.what) : capsule_from_store(context, given);
  if (!given.capsule.empty()) {
    std::ofstream file(given.capsule);
    file << to_json(capsule).dump(2) << "\n";
    if (!file) throw UserError(fmt::format("{}: cannot be written", given.capsule));
    fmt::print("capsule of {} written to {}; run it with: assay rerun {}\n", capsule.key, given.capsule, given.capsule);
    return;
  }
  harness::Suite suite = harness::parse_suite(capsule.suite_toml, from_file ? given.what : "run " + capsule.run_id);
  if (given.launches > 0) suite.settings.launches = given.launches;
  harness::RunOptions options;
  options.command = context.command_line;
  options.seed = static_cast<std::uint64_t>(capsule.seed);
  options.tags = {"rerun"};
  auto store = results_db::Store::open(context.database, results_db::Open::create);
  const auto summary = harness::run_suite(store, suite, options);
  std::vector<LaunchRecord> launches;
  for (const auto& item : store.cases_of(summary.run_id))
    if (item.record.key == capsule.key) launches = store.launches(summary.run_id, item.id);
  if (launches.empty() || headline_values(launches).empty()) {
    const std::string reason = launches.empty() ? "interrupted" : launches.front().reason;
    throw UserError(fmt::format("{} did not run: {}", capsule.key, reason), summary.skipped > 0 ? 3 : 1);
  }
  const Outcome outcome = judge(capsule, launches, harness::capture_machine());
  const double then = harness::stats::median(capsule.values);
  const double now = harness::stats::median(headline_values(launches));
  if (context.json) {
    fmt::print("{}\n", json{{"schema_version", 1},
                            {"key", capsule.key},
                            {"outcome", outcome.word},
                            {"then", then},
                            {"now", now},
                            {"run", summary.run_id},
                            {"remarks", outcome.remarks}}
                           .dump(2));
  } else {
    fmt::print("{}: {}\n  then {}  now {}  (run {})\n", outcome.word, capsule.key, datasets::format_si(then, "s"),
               datasets::format_si(now, "s"), summary.run_id.substr(0, 8));
    for (const std::string& remark : outcome.remarks) fmt::print("  {}\n", remark);
  }
  context.exit_code = outcome.word == "DIFFERENT" ? 1 : 0;
}

}  // namespace

void add_rerun(CLI::App& app, Context& context) {
  auto* command = app.add_subcommand("rerun", "run a stored row again: SAME, DIFFERENT, UNSURE or OTHER MACHINE");
  auto given = std::make_shared<RerunArguments>();
  command->add_option("what", given->what, "a row's key or part of it, or a capsule file")
      ->required()
      ->type_name("ROW|CAPSULE.json");
  command->add_option("--run", given->run, "the run the row is of (default latest)");
  command->add_option("--capsule", given->capsule, "write the row as one file to run elsewhere, and stop")
      ->type_name("OUT.json");
  command->add_option("--launches", given->launches, "launches to take (default: as many as the row has)");
  command->footer(
      "Examples:\n"
      "  assay rerun 'flash-attention-2 cpu batch=1 causal=1' --launches 10\n"
      "  assay rerun ring-attention --run before --capsule ring.json\n"
      "  assay rerun ring.json\n"
      "Counts and projections must come out equal; a time is decided on 10 or more launches a side.");
  command->callback([given, &context] { rerun(*given, context); });
}

}  // namespace assay::cli
