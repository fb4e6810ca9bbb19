#include "harness/runner.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>

#include "datasets/quantity.h"
#include "datasets/user_error.h"
#include "harness/cli/commands.h"
#include "harness/cli/confirm.h"
#include "harness/cli/gate_view.h"
#include "harness/cli/run_view.h"
#include "harness/environment.h"
#include "harness/registry.h"
#include "harness/suite.h"

namespace assay::cli {
namespace {

using harness::Progress;

struct RunArguments {
  std::string target;
  std::vector<std::string> axes;
  std::vector<std::string> settings;
  std::vector<std::string> tags;
  std::vector<std::string> families;
  std::vector<std::string> only_tags;
  std::string backend;
  std::string fabric;
  std::string resume;
  std::string isolate;
  std::string launcher;
  std::string time_limit;
  std::string base;
  std::string metric;
  std::uint64_t seed = 0;
  bool has_seed = false;
  bool no_gate = false;
  bool check_only = false;
  bool kernels = false;
  bool counters = false;
  bool roofs = false;
  bool no_roofs = false;
  bool ignore_load = false;
  bool confirm = false;
  bool dry_run = false;
  bool quiet = false;
};

// A database that a refused run made and left empty goes with it.
class NewDatabase {
 public:
  explicit NewDatabase(std::string file) : file_(std::move(file)), made_(!std::filesystem::exists(file_)) {}
  NewDatabase(const NewDatabase&) = delete;
  NewDatabase& operator=(const NewDatabase&) = delete;
  ~NewDatabase() {
    if (!made_ || std::uncaught_exceptions() == 0) return;
    try {
      if (!results_db::Store::open(file_, results_db::Open::read_only).runs().empty()) return;
      for (const char* part : {"", "-wal", "-shm"}) std::filesystem::remove(file_ + part);
    } catch (const std::exception&) {  // an empty file stays, which harms nobody
    }
  }

 private:
  std::string file_;
  bool made_;
};

constexpr std::array kSettings{"launches",    "noise_target", "time_budget", "min_samples",
                               "max_samples", "order",        "max_load"};

// --set KEY=VALUE: how the cases are measured, or an axis by its name.
bool is_setting(const std::string& text) {
  return std::find(kSettings.begin(), kSettings.end(), text.substr(0, text.find('='))) != kSettings.end();
}

// A path is one value, whatever commas and dots it has; else as --axis.
harness::AxisOverride axis_setting(const std::string& text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos || text.find('/', equals) == std::string::npos)
    return harness::parse_axis_override(text);
  harness::AxisOverride given;
  given.name = text.substr(0, equals);
  given.values = {text.substr(equals + 1)};
  given.text = text;
  return given;
}

void apply_setting(harness::Suite& suite, const std::string& text) {
  const std::size_t equals = text.find('=');
  const std::string key = text.substr(0, equals);
  const std::string value = equals == std::string::npos ? "" : text.substr(equals + 1);
  const std::string where = "--set " + key;
  harness::CaseSettings& settings = suite.settings;
  using datasets::Dimension;
  const auto for_entries = [&](auto member) {
    for (auto& entry : suite.entries) (entry.*member).reset();
  };
  const auto count = [&] {
    const auto number = datasets::parse_count(value, where);
    if (number < 1) throw UserError(fmt::format("{}: found {}, expected 1 or more", where, number));
    return static_cast<int>(number);
  };
  if (key == "launches") {
    settings.launches = count();
    for_entries(&harness::SuiteEntry::launches);
  } else if (key == "noise_target") {
    settings.noise_target = datasets::parse_quantity(value, Dimension::fraction, where);
    for_entries(&harness::SuiteEntry::noise_target);
  } else if (key == "time_budget") {
    settings.time_budget_seconds = datasets::parse_quantity(value, Dimension::seconds, where);
    for_entries(&harness::SuiteEntry::time_budget_seconds);
  } else if (key == "min_samples") {
    settings.min_samples = count();
    for_entries(&harness::SuiteEntry::min_samples);
  } else if (key == "max_samples") {
    settings.max_samples = count();
    for_entries(&harness::SuiteEntry::max_samples);
  } else if (key == "order") {
    if (value != "interleaved" && value != "random" && value != "listed")
      throw UserError(fmt::format("{}: found '{}', expected interleaved, random or listed", where, value));
    suite.order = value;
  } else if (key == "max_load") {
    suite.max_load = datasets::parse_quantity(value, Dimension::fraction, where);
  }
}

// A --set that names no setting is an axis of the technique.
void require_axis(const harness::Technique& technique, const std::string& text) {
  const std::string key = text.substr(0, text.find('='));
  std::vector<std::string> known(kSettings.begin(), kSettings.end());
  for (const auto& implementation : technique.implementations)
    for (const harness::Axis& axis : implementation.axes)
      if (std::find(known.begin(), known.end(), axis.name) == known.end()) known.push_back(axis.name);
  if (std::find(known.begin(), known.end(), key) != known.end()) return;
  throw UserError(fmt::format("--set {}: neither a setting ({}) nor an axis of {}; nearest: {}", key,
                              fmt::join(kSettings, ", "), technique.id,
                              fmt::join(harness::nearest_names(key, known), ", ")));
}

harness::Suite chosen_suite(const RunArguments& given) {
  harness::Selection selection;
  for (const std::string& text : given.axes) selection.axes.push_back(harness::parse_axis_override(text));
  const bool of_suite = harness::is_suite_name(given.target);
  for (const std::string& text : given.settings) {
    if (is_setting(text)) continue;
    if (!of_suite) require_axis(harness::technique_unless_suite(given.target), text);
    selection.axes.push_back(axis_setting(text));
  }
  selection.families = given.families;
  selection.tags = given.only_tags;
  if (!given.backend.empty()) selection.backends = {given.backend};
  if (!given.fabric.empty()) selection.fabrics = {given.fabric};
  harness::Suite suite = harness::suite_named(given.target, selection);
  if (!of_suite) suite.roofs = true;
  for (const std::string& text : given.settings)
    if (is_setting(text)) apply_setting(suite, text);
  if (!given.isolate.empty()) suite.isolate = given.isolate;
  if (given.roofs) suite.roofs = true;
  if (given.no_roofs) suite.roofs = false;
  return suite;
}

std::string clock_text(double seconds) {
  const long whole = std::lround(seconds);
  return whole >= 60 ? fmt::format("{}m{:02}s", whole / 60, whole % 60) : fmt::format("{}s", whole);
}

// A line that is redrawn on a terminal; elsewhere one plain line for each finished job.
class ProgressPrinter {
 public:
  explicit ProgressPrinter(const Context& context)
      : live_(isatty(STDERR_FILENO) == 1), width_(static_cast<std::size_t>(std::max(40, context.width - 1))) {}

  void operator()(const Progress& now) {
    if (now.finished != nullptr) {
      if (!live_) print_finished(now);
      return;
    }
    if (!live_) {
      if (now.gated != nullptr && now.gated->status == results_db::Status::failed)
        fmt::print(stderr, "gate {}: {}\n", now.case_key, now.gated->reason);
      return;
    }
    std::string line = fmt::format("[{}/{}] {}", now.done + 1, now.total, clock_text(now.elapsed_seconds));
    if (now.remaining_seconds > 0) line += fmt::format(", about {} left", clock_text(now.remaining_seconds));
    line += now.phase == Progress::Phase::gate ? "  check  " : "  time  ";
    line += now.case_key;
    if (now.samples > 0) line += fmt::format("  n={} ±{:.1f}%", now.samples, 100 * now.half_width);
    if (line.size() > width_) line.resize(width_);
    fmt::print(stderr, "\r\x1b[K{}", line);
    std::fflush(stderr);
  }
  void end() const {
    if (live_) fmt::print(stderr, "\r\x1b[K");
  }

 private:
  static void print_finished(const Progress& now) {
    const results_db::LaunchRecord& launch = *now.finished;
    std::string found = to_string(launch.status);
    if (launch.status == results_db::Status::ok) {
      for (const auto& metric : launch.metrics)
        if (metric.name == "time" || metric.name == "step_time") found = datasets::format_si(metric.value, metric.unit);
    } else {
      found += ": " + launch.reason;
    }
    fmt::print(stderr, "[{}/{}] {} launch {}: {}\n", now.done, now.total, now.case_key, launch.ordinal, found);
  }

  bool live_;
  std::size_t width_;
};

void print_cases(const std::vector<harness::Case>& cases) {
  for (const auto& item : cases) fmt::print("{}\n", item.record().key);
  fmt::print("{} cases\n", cases.size());
}

// What --confirm is going to judge against, known before anything is measured: a mistyped base costs nothing.
// Nothing: this machine has no earlier run to compare with, which is no mistake.
std::optional<results_db::RunRecord> base_of(results_db::Store& store, const RunArguments& given,
                                             const harness::Suite& suite) {
  results_db::RunRecord coming;
  coming.suite = suite.id;
  coming.machine = harness::capture_machine();
  coming.started_ns = std::numeric_limits<std::int64_t>::max();
  try {
    return harness::find_base(store, given.base.empty() ? "latest~1" : given.base, coming);
  } catch (const UserError& wrong) {
    if (wrong.exit_code() != 3) throw;
    fmt::print(stderr, "note: --confirm: {}\n", wrong.what());
    return std::nullopt;
  }
}

void run(const RunArguments& given, Context& context) {
  harness::refuse_to_be_launched();
  harness::RunOptions options;
  options.command = context.command_line;
  options.launcher = given.launcher;
  if (!given.time_limit.empty())
    options.limits.timeout_seconds =
        datasets::parse_quantity(given.time_limit, datasets::Dimension::seconds, "--time-limit");
  options.tags = given.tags;
  options.gate = !given.no_gate;
  options.check_only = given.check_only;
  options.activity = given.kernels;
  options.counters = given.counters;
  if (given.counters && (given.kernels || given.check_only))
    throw UserError("run: --counters is a pass of its own: run it without --kernels and --check");
  if (given.kernels && given.check_only)
    throw UserError("run: --kernels and --check are two passes: run them one by one");
  if (given.confirm && (given.check_only || given.kernels || given.counters))
    throw UserError(fmt::format("run: --confirm judges times, and {} takes none", given.kernels    ? "--kernels"
                                                                                  : given.counters ? "--counters"
                                                                                                   : "--check"));
  if (!given.confirm && (!given.base.empty() || !given.metric.empty()))
    throw UserError("run: --base and --metric say what --confirm judges: add it");
  if (given.no_gate && given.check_only) throw UserError("run: --check and --no-gate together leave nothing to do");
  options.ignore_load = given.ignore_load;
  if (given.has_seed) options.seed = given.seed;

  harness::Suite suite;
  if (!given.resume.empty()) {
    auto store = results_db::Store::open(context.database, results_db::Open::read_only);
    const auto earlier = store.find_run(given.resume);
    suite = harness::parse_suite(earlier.suite_toml, "run " + earlier.id);
    options.resume = earlier.id;
  } else {
    if (given.target.empty())
      throw UserError("run needs a suite or a technique: assay run quick; `assay list suites` shows them");
    suite = chosen_suite(given);
  }
  const auto cases = harness::expand(suite);
  if (given.dry_run) {
    print_cases(cases);
    return;
  }

  const NewDatabase database(context.database);
  auto store = results_db::Store::open(context.database, results_db::Open::create);
  for (const std::string& note : store.notes()) fmt::print(stderr, "assay: {}\n", note);
  const std::optional<results_db::RunRecord> base =
      given.confirm ? base_of(store, given, suite) : std::optional<results_db::RunRecord>();
  ProgressPrinter printer(context);
  const auto tell = [&](const Progress& now) { printer(now); };
  const harness::RunSummary summary =
      given.quiet ? harness::run_suite(store, suite, options) : harness::run_suite(store, suite, options, tell);
  printer.end();

  const auto record = store.find_run(summary.run_id);
  std::optional<harness::GateReport> report;
  if (base && !summary.interrupted && summary.ok > 0) {
    harness::GateOptions judge;
    judge.base = base->id;
    judge.head = record.id;
    judge.metric = given.metric;
    report = gate_and_confirm(store, judge, {.ignore_load = given.ignore_load}, context);
  }
  const int judged = report ? report->exit_code(harness::UnsurePolicy::pass) : 0;
  if (context.json) {
    fmt::print("{}\n", run_as_json(store, record, {}, report ? gate_as_json(*report, judged) : ""));
  } else {
    fmt::print("{}", run_as_text(store, record, context, {}));
    if (report) fmt::print("\n{}", gate_as_text(*report, context, true, false));
  }
  std::fflush(stdout);  // the table stands before the notes, also where both streams go to one file
  for (const std::string& warning : summary.warnings) fmt::print(stderr, "note: {}\n", warning);
  if (options.resume && summary.jobs == 0 && !summary.interrupted)
    fmt::print(stderr, "nothing to resume: run {} is complete\n", summary.run_id.substr(0, 8));
  if (summary.interrupted) {
    fmt::print(stderr, "interrupted: everything measured is kept; go on with: assay run --resume {} --db {}\n",
               summary.run_id.substr(0, 8), context.database);
    if (!summary.not_reached.empty())
      fmt::print(stderr, "not reached: {} of {} cases\n  {}\n", summary.not_reached.size(), summary.cases,
                 fmt::join(summary.not_reached, "\n  "));
    context.exit_code = 130;
    return;
  }
  context.exit_code = summary.failed > 0 ? 1 : summary.ok == 0 ? 3 : judged;
}

}  // namespace

void add_run(CLI::App& app, Context& context) {
  auto* command = app.add_subcommand("run", "check and time a suite or a technique, and store every sample");
  auto given = std::make_shared<RunArguments>();
  command->add_option("target", given->target, "suite id or file, or technique id")->type_name("SUITE|TECHNIQUE");
  command->add_option("--axis", given->axes, "axis values: sequence_length=1k,4k or sequence_length=1k..16k:x2")
      ->type_name("NAME=VALUES")
      ->allow_extra_args(false);
  command
      ->add_option("--set", given->settings,
                   "launches, noise_target, time_budget, min_samples, max_samples, order, max_load; or an axis")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  command->add_option("--backend", given->backend, "cpu | cuda");
  command->add_option("--fabric", given->fabric, "of programs over ranks: threads | emulated | mpi | nccl | cluster");
  command
      ->add_option("--launcher", given->launcher,
                   "starts the ranks of fabric mpi, with its arguments (default: ASSAY_MPIRUN, else what is found)")
      ->type_name("COMMAND");
  command->add_option("--family", given->families, "only this family of the suite")->allow_extra_args(false);
  command->add_option("--only-tag", given->only_tags, "only cases of the suite with this tag")->allow_extra_args(false);
  command->add_option("--tag", given->tags, "mark the run, to find it again by name")->allow_extra_args(false);
  command->add_option("--resume", given->resume, "go on with an interrupted run")->type_name("RUN");
  command->add_option("--seed", given->seed, "of the random inputs (default: fresh)")
      ->each([given](const std::string&) { given->has_seed = true; });
  command->add_option("--isolate", given->isolate, "one process a `case`, or one a backend and round")
      ->check(CLI::IsMember({"backend", "case"}));
  command->add_option("--time-limit", given->time_limit, "of one job: a hang becomes a failed row (default 300s)")
      ->type_name("DURATION");
  command->add_flag("--no-gate", given->no_gate, "time without checking first (A/A studies of the harness)");
  command->add_flag("--check", given->check_only, "check every case and its mutants against the oracle; time nothing");
  command->add_flag("--counters", given->counters,
                    "read the GPU's hardware counters over every cuda case (CUPTI) in a run of its own; time nothing");
  command->add_flag("--kernels", given->kernels,
                    "record the kernels and copies of every cuda case (CUPTI) in a run of its own; time nothing");
  command->add_flag("--confirm", given->confirm,
                    "then compare with --base, launch again what looks slower, and say what is confirmed");
  command->add_option("--base", given->base, "what --confirm judges against (default: latest~1, the run before)")
      ->type_name("RUN");
  command->add_option("--metric", given->metric, "what --confirm judges (default: time, else step_time, else any)");
  command->add_flag("--roofs,!--no-roofs", given->roofs, "probe the machine's roofs in the same run")
      ->each([given](const std::string& value) { given->no_roofs = value == "false"; });
  command->add_flag("--ignore-load", given->ignore_load, "run on a busy machine; the run is flagged");
  command->add_flag("--dry-run", given->dry_run, "print the cases and stop");
  command->add_flag("--quiet", given->quiet, "no progress");
  command->footer(
      "Examples:\n"
      "  assay run quick\n"
      "  assay run flash-attention-2 --axis sequence_length=1k..8k:x2 --axis causal=0,1\n"
      "  assay run ring-attention --fabric cluster --axis ranks=1024\n"
      "  assay run ring-attention --fabric mpi --axis ranks=2,4 --launcher 'mpirun --hostfile hosts'\n"
      "  assay run serving-trace --set trace=requests.csv\n"
      "  assay run attention --only-tag bf16 --set launches=10 --tag before\n"
      "  assay run quick --confirm --base baseline\n"
      "  assay run --resume 1f2e3d4c\n"
      "Exit codes: 0 all cases ok, 1 a case failed or (--confirm) a regression is confirmed, 2 bad input,\n"
      "3 nothing could run or (--confirm) cases of the base are missing, 130 interrupted.");
  command->callback([given, &context] { run(*given, context); });
}

}  // namespace assay::cli
