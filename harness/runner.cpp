#include "harness/runner.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <tuple>

#include "datasets/user_error.h"
#include "harness/clock.h"
#include "harness/code_hash.h"
#include "harness/environment.h"
#include "harness/machine_lock.h"
#include "harness/signals.h"
#include "results_db/metrics.h"

namespace assay::harness {
namespace {

using results_db::GateRecord;
using results_db::LaunchRecord;
using results_db::Provenance;
using results_db::Status;

// The technique that probes the roofs of a backend.
std::string roofs_of(const std::string& backend) {
  return backend == "cuda" ? "hardware/gpu-roofs" : "hardware/cpu-roofs";
}
constexpr double default_busy_limit = 0.25;  // share of all cores used by others above which a run is flagged

std::uint64_t fresh_seed() {
  std::random_device device;
  return (static_cast<std::uint64_t>(device()) << 31) ^ device();  // fits a signed 64-bit column
}

std::vector<int> cpus_for(const Case& item) {
  if (item.settings.pin.mode == Pin::Mode::listed) return item.settings.pin.cpus;
  // Automatic: a single-threaded case gets the last CPU, away from CPU 0 where interrupts tend to land.
  const long cpus = sysconf(_SC_NPROCESSORS_ONLN);
  const bool single = item.fabric.empty() && item.params.has("threads") && item.params.integer("threads") == 1;
  if (item.settings.pin.mode == Pin::Mode::automatic && single && cpus > 1) return {static_cast<int>(cpus) - 1};
  return {};
}

// What a roof is asked for: the probe, how many threads (none on a GPU), and for memory the working set in powers of
// two.
struct RoofKey {
  std::string backend;
  std::string probe;
  std::int64_t threads = 1;
  std::int64_t working_set = 0;
  auto operator<=>(const RoofKey&) const = default;
};

std::int64_t threads_of(const Case& item) {
  if (item.backend == "cuda") return 0;
  return item.params.has("threads") ? item.params.integer("threads") : 1;
}
RoofKey compute_roof(const std::string& probe, const Case& item) { return {item.backend, probe, threads_of(item), 0}; }
RoofKey memory_roof(const Work& work, const Case& item) {
  const auto bytes = static_cast<std::uint64_t>(std::max(work.working_set, work.bytes));
  return {item.backend, item.backend == "cuda" ? "copy" : "memory-read", threads_of(item),
          static_cast<std::int64_t>(std::bit_ceil(std::max<std::uint64_t>(bytes, 1U << 16)))};
}

std::string program_of(const RunOptions& options) { return options.program.empty() ? own_program() : options.program; }
std::string ranks_program(const RunOptions& options) {
  return options.rank_program.empty() ? rank_program_of(program_of(options)) : options.rank_program;
}

int ranks_of(const Case& item) { return static_cast<int>(item.params.integer("ranks")); }

class Run {
 public:
  Run(results_db::Store& store, const Suite& suite, const RunOptions& options,
      const std::function<void(const Progress&)>& progress)
      : store_(store), suite_(suite), options_(options), progress_(progress), limits_(options.limits) {
    program_ = program_of(options);
    rank_program_ = ranks_program(options);
    if (limits_.memory_bytes == 0)
      limits_.memory_bytes = static_cast<std::int64_t>(0.9 * static_cast<double>(sysconf(_SC_PHYS_PAGES)) *
                                                       static_cast<double>(sysconf(_SC_PAGESIZE)));
  }

  RunSummary operator()() {
    cases_ = expand(suite_);
    find_jobs_launcher();
    MachineLock lock = MachineLock::acquire(options_.command);
    check_load();
    describe();
    if (!profiles()) add_roofs();
    const SignalScope signals;
    begin();
    skip_what_cannot_start();
    total_ = jobs_done_ + count_jobs();
    if (gates()) gate();
    if (!options_.check_only) launch_all();
    return finish();
  }

 private:
  static bool stopped() { return stop_requested(); }

  // Without a launcher a suite runs what needs none; where nothing would be left it is refused.
  void find_jobs_launcher() {
    const auto launched = [](const Case& item) { return is_launched(item.fabric); };
    if (std::none_of(cases_.begin(), cases_.end(), launched)) return;
    launcher_ = find_launcher(options_.launcher, rank_program_);
    if (!launcher_.problem.empty() && std::all_of(cases_.begin(), cases_.end(), launched))
      throw UserError(launcher_.problem);
  }

  // No launcher for its ranks, no GPU: one row with the reason, and nothing is started for it.
  void skip_what_cannot_start() {
    for (std::size_t i = 0; i < cases_.size(); ++i) {
      const std::string& reason = is_launched(cases_[i].fabric) ? launcher_.problem : absent_[i];
      if (reason.empty() || skipped_[i] || failed_[i]) continue;
      Reply reply;
      reply.status = reply.launch.status = Status::skipped;
      reply.reason = reply.launch.reason = reason;
      gated_.insert(keys_[i]);
      store_row_without_time(i, reply);
    }
  }

  void check_load() {
    const double busy = load_per_core();
    const double limit = suite_.max_load > 0 ? suite_.max_load : default_busy_limit;
    if (busy <= limit) return;
    const std::string line =
        fmt::format("other processes use {:.0f}% of the CPUs, the limit is {:.0f}%", 100 * busy, 100 * limit);
    if (suite_.max_load > 0 && !options_.ignore_load)
      throw UserError(line + "; wait, or pass --ignore-load to run all the same and have the run flagged");
    summary_.warnings.push_back(line);
  }

  // Every case declares itself before anything is recorded, so that a wrong parameter refuses the run and costs
  // nothing.
  void describe() {
    works_.resize(cases_.size());
    absent_.resize(cases_.size());
    WorkerProcess* worker = fresh_worker();
    for (std::size_t i = 0; i < cases_.size(); ++i) {
      if (!worker->alive()) worker = fresh_worker();
      const auto reply = worker->run(job_of(cases_[i], JobKind::describe, 1), limits_, {}, [] { return false; });
      if (reply->user_error) throw UserError(fmt::format("{}: {}", cases_[i].record().key, reply->reason));
      works_[i] = reply->work;
      if (cases_[i].backend == "cuda" && reply->status == Status::skipped) absent_[i] = reply->reason;
    }
  }

  // The roofs that the declared work is held against, probed in the same run, first in every round of launches.
  void add_roofs() {
    if (!suite_.roofs) return;
    std::set<RoofKey> wanted;
    for (std::size_t i = 0; i < cases_.size(); ++i) {
      if (cases_[i].timer == "virtual" || is_roof(cases_[i]) || !absent_[i].empty()) continue;
      if (!works_[i].roof.empty()) wanted.insert(compute_roof(works_[i].roof, cases_[i]));
      if (!works_[i].second_roof.empty()) wanted.insert(compute_roof(works_[i].second_roof, cases_[i]));
      if (works_[i].bytes > 0) wanted.insert(memory_roof(works_[i], cases_[i]));
    }
    std::vector<Case> roofs;
    for (const RoofKey& key : wanted) {
      const Technique* technique = find_technique(roofs_of(key.backend));
      if (technique == nullptr) {
        summary_.warnings.push_back(fmt::format("no roofs: {} is not in this build", roofs_of(key.backend)));
        break;
      }
      std::vector<AxisOverride> overrides = {parse_axis_override("probe=" + key.probe)};
      if (key.threads > 0) overrides.push_back(parse_axis_override(fmt::format("threads={}", key.threads)));
      if (key.working_set > 0) overrides.push_back(parse_axis_override(fmt::format("working_set={}", key.working_set)));
      std::vector<Case> made;
      try {
        made = expand(suite_of_technique(*technique, overrides, key.backend));
      } catch (const UserError& wrong) {
        summary_.warnings.push_back(fmt::format("no roof for {}: {}", key.probe, wrong.what()));
        continue;
      }
      for (Case& item : made) {
        item.settings = suite_.settings;
        item.settings.time_budget_seconds = std::min(item.settings.time_budget_seconds, 0.1);
        const std::string record_key = item.record().key;
        if (std::any_of(cases_.begin(), cases_.end(),
                        [&](const Case& held) { return held.record().key == record_key; }))
          continue;
        roofs.push_back(std::move(item));
      }
    }
    roofs_ = roofs.size();
    cases_.insert(cases_.begin(), roofs.begin(), roofs.end());
    works_.insert(works_.begin(), roofs_, Work{});
    absent_.insert(absent_.begin(), roofs_, "");
  }

  void begin() {
    if (options_.resume) {
      const results_db::RunRecord earlier = store_.find_run(*options_.resume);
      summary_.run_id = earlier.id;
      was_finished_ = earlier.status == "finished";
      seed_ = static_cast<std::uint64_t>(earlier.seed);
      for (const auto& row : store_.cases_of(earlier.id)) {
        for (const LaunchRecord& launch : store_.launches(earlier.id, row.id)) {
          done_.insert({row.record.key, launch.ordinal});
          if (launch.status != Status::ok) ended_.try_emplace(row.record.key, launch.status);
        }
        const auto gate = store_.gate(earlier.id, row.id);
        if (gate && (gate->status == Status::ok || ended_.contains(row.record.key))) gated_.insert(row.record.key);
      }
    } else {
      seed_ = options_.seed.value_or(fresh_seed());
      summary_.run_id = fresh_run_id();
      results_db::RunRecord run;
      run.id = summary_.run_id;
      run.suite = suite_.id;
      run.suite_toml = to_toml(suite_);
      run.command = options_.command;
      run.machine = capture_machine();
      run.build = capture_build();
      run.started_ns = unix_ns();
      run.status = "running";
      run.seed = static_cast<std::int64_t>(seed_);
      run.expected_cases = static_cast<int>(cases_.size());
      run.tags = suite_.settings.tags;
      run.tags.insert(run.tags.end(), options_.tags.begin(), options_.tags.end());
      if (options_.activity) run.tags.emplace_back("kernel-activity");
      if (options_.counters) run.tags.emplace_back("counters");
      run.environment_json = capture_environment_json();
      store_.begin_run(run);
    }
    for (const Case& item : cases_) {
      store_.put_technique(item.technique->id, item.technique->title, item.technique->paper);
      case_ids_.push_back(store_.put_case(item.record()));
      keys_.push_back(item.record().key);
    }
    failed_.resize(cases_.size());
    skipped_.resize(cases_.size());
    succeeded_.resize(cases_.size());
    for (std::size_t i = 0; i < cases_.size(); ++i) {
      const auto ended = ended_.find(keys_[i]);
      if (ended == ended_.end()) continue;
      (ended->second == Status::skipped ? skipped_ : failed_)[i] = true;
      for (int k = 0; k < launches_of(cases_[i]); ++k) done_.insert({keys_[i], k});
    }
    began_ = now_seconds();
  }

  static bool is_roof(const Case& item) { return item.technique->id == roofs_of(item.backend); }
  static bool gateable(const Case& item) { return item.timer != "virtual" || item.implementation->projects; }
  bool profiles() const { return options_.activity || options_.counters; }
  bool gates() const { return options_.gate && !profiles(); }
  int launches_of(const Case& item) const { return item.timer == "virtual" || profiles() ? 1 : item.settings.launches; }

  std::size_t count_jobs() const {
    std::size_t jobs = 0;
    for (std::size_t i = 0; i < cases_.size(); ++i) {
      if (gates() && gateable(cases_[i]) && !gated_.contains(keys_[i])) ++jobs;
      for (int k = 0; k < launches_of(cases_[i]) && !options_.check_only; ++k)
        jobs += done_.contains({keys_[i], k}) ? 0 : 1;
    }
    return jobs;
  }

  WorkerProcess* fresh_worker() {
    worker_.reset();  // two at a time would disturb each other
    worker_ = std::make_unique<WorkerProcess>(program_);
    worker_is_job_ = false;
    timed_here_.clear();
    return worker_.get();
  }

  // The worker at hand unless it has to be `fresh`; a launched case gets a job of its own.
  WorkerProcess* worker_for(const Case& item, bool fresh) {
    if (!is_launched(item.fabric)) {
      if (fresh || !worker_ || !worker_->alive() || worker_is_job_) return fresh_worker();
      return worker_.get();
    }
    worker_.reset();
    worker_ = std::make_unique<WorkerProcess>(job_command(launcher_, rank_program_, ranks_of(item)));
    worker_is_job_ = true;
    return worker_.get();
  }

  void tell(Progress::Phase phase, std::size_t index, std::size_t samples, double half_width,
            const LaunchRecord* finished = nullptr, const GateRecord* gated = nullptr) const {
    if (!progress_) return;
    const double elapsed = now_seconds() - began_;
    progress_(
        {.phase = phase,
         .done = jobs_done_,
         .total = total_,
         .case_key = keys_[index],
         .elapsed_seconds = elapsed,
         .remaining_seconds =
             jobs_done_ == 0 ? 0 : elapsed / static_cast<double>(jobs_done_) * static_cast<double>(total_ - jobs_done_),
         .samples = samples,
         .half_width = half_width,
         .finished = finished,
         .gated = gated});
  }

  void gate() {
    worker_.reset();
    for (std::size_t i = 0; i < cases_.size() && !stopped(); ++i) {
      if (!gateable(cases_[i]) || gated_.contains(keys_[i])) continue;
      WorkerProcess* worker = worker_for(cases_[i], false);
      tell(Progress::Phase::gate, i, 0, 0);
      Job job = job_of(cases_[i], JobKind::gate, seed_);
      job.mutant_budget_seconds = options_.mutant_budget_seconds;
      const auto reply = worker->run(job, limits_, {}, stopped);
      if (!reply) return;
      GateRecord record = reply->gate;
      record.run = summary_.run_id;
      record.case_id = case_ids_[i];
      store_.put_gate(record);
      ++jobs_done_;
      tell(Progress::Phase::gate, i, 0, 0, nullptr, &record);
      if (reply->status == Status::ok) {
        if (options_.check_only) succeeded_[i] = true;
        continue;
      }
      store_row_without_time(i, *reply);
    }
  }

  // A case that failed its gate or cannot run here: one row with the reason, no time.
  void store_row_without_time(std::size_t index, const Reply& reply) {
    (reply.status == Status::skipped ? skipped_ : failed_)[index] = true;
    LaunchRecord record = reply.launch;
    record.run = summary_.run_id;
    record.case_id = case_ids_[index];
    record.ordinal = 0;
    record.metrics.clear();
    record.samples.clear();
    record.warmup = 0;
    finish_record(index, record);
    if (!done_.contains({keys_[index], 0})) store_.append_launch(record);
    for (int k = 0; k < launches_of(cases_[index]); ++k)
      if (done_.insert({keys_[index], k}).second && !options_.check_only) ++jobs_done_;
  }

  void finish_record(std::size_t index, LaunchRecord& record) const {
    record.code_hash = code_hash(cases_[index].implementation->source_file);
    if (record.descriptors_json.empty()) record.descriptors_json = "{}";
    if (record.environment_json.empty()) record.environment_json = "{}";
    if (record.started_ns == 0) record.started_ns = unix_ns();
  }

  void launch_all() {
    std::vector<LaunchSlot> order = launch_order(cases_, suite_.order, seed_);
    // Roofs come first in every round whatever the order, so that each launch is held against the roof of its own
    // round.
    std::stable_sort(order.begin(), order.end(), [&](const LaunchSlot& a, const LaunchSlot& b) {
      if (suite_.order == "listed") return (a.case_index < roofs_) > (b.case_index < roofs_);
      return std::tuple(a.ordinal, a.case_index >= roofs_) < std::tuple(b.ordinal, b.case_index >= roofs_);
    });
    for (const LaunchSlot& slot : order) {
      if (stopped()) return;
      if (slot.ordinal >= launches_of(cases_[slot.case_index])) continue;
      if (done_.contains({keys_[slot.case_index], slot.ordinal})) continue;
      if (failed_[slot.case_index] || skipped_[slot.case_index]) continue;
      launch(slot);
    }
  }

  void launch(const LaunchSlot& slot) {
    const std::size_t i = slot.case_index;
    // A process times a case once: launches are the unit of replication.
    const bool again = timed_here_.contains(i);
    worker_for(cases_[i], again || suite_.isolate == "case" || slot.ordinal != round_);
    round_ = slot.ordinal;
    timed_here_.insert(i);
    tell(Progress::Phase::launch, i, 0, 0);
    Job job = job_of(cases_[i],
                     options_.activity   ? JobKind::activity
                     : options_.counters ? JobKind::counters
                                         : JobKind::time,
                     seed_);
    job.report_progress = static_cast<bool>(progress_);
    job.trace = slot.ordinal == 0;  // one timeline of a case is enough
    const auto reply = worker_->run(
        job, limits_, [&](std::size_t samples, double half) { tell(Progress::Phase::launch, i, samples, half); },
        stopped);
    if (!reply) return;
    if (reply->status != Status::ok) {
      store_row_without_time_at(slot, *reply);
      return;
    }
    LaunchRecord record = reply->launch;
    record.run = summary_.run_id;
    record.case_id = case_ids_[i];
    record.ordinal = slot.ordinal;
    finish_record(i, record);
    add_roof_shares(i, reply->work, record);
    for (const auto& metric : record.metrics)
      if (results_db::find_metric(metric.name) == nullptr)
        throw std::logic_error(
            fmt::format("{} reports '{}', which is not in the registry of metrics", keys_[i], metric.name));
    store_.append_launch(record);
    succeeded_[i] = true;
    ++jobs_done_;
    tell(Progress::Phase::launch, i, record.samples.size(), 0, &record);
  }

  void store_row_without_time_at(const LaunchSlot& slot, const Reply& reply) {
    const std::size_t i = slot.case_index;
    LaunchRecord record = reply.launch;
    record.run = summary_.run_id;
    record.case_id = case_ids_[i];
    record.ordinal = slot.ordinal;
    record.metrics.clear();
    record.samples.clear();
    record.warmup = 0;
    finish_record(i, record);
    store_.append_launch(record);
    (reply.status == Status::skipped ? skipped_ : failed_)[i] = true;
    ++jobs_done_;
    tell(Progress::Phase::launch, i, 0, 0, &record);
  }

  static double metric_value(const LaunchRecord& record, const std::string& name) {
    for (const auto& metric : record.metrics)
      if (metric.name == name) return metric.value;
    return 0;
  }

  // A roof's own launch sets the rate; later launches of the round are held against it.
  void add_roof_shares(std::size_t index, const Work& work, LaunchRecord& record) {
    const Case& item = cases_[index];
    if (is_roof(item)) {
      RoofKey key = compute_roof(item.params.text("probe"), item);
      const bool memory = key.probe.rfind("memory", 0) == 0 || key.probe == "copy";
      if (memory) key.working_set = item.params.integer("working_set");
      roof_rates_[key] = metric_value(record, memory ? "bandwidth" : "flops_rate");
      return;
    }
    const auto share = [&](const char* name, const char* rate_name, const RoofKey& key) {
      const auto roof = roof_rates_.find(key);
      const double rate = metric_value(record, rate_name);
      if (roof != roof_rates_.end() && roof->second > 0 && rate > 0)
        record.metrics.push_back({name, rate / roof->second, "1", Provenance::measured, {}, {}});
    };
    if (!work.roof.empty()) share("roof_share", "flops_rate", compute_roof(work.roof, item));
    if (!work.second_roof.empty()) share("second_roof_share", "flops_rate", compute_roof(work.second_roof, item));
    if (work.bytes > 0) share("memory_roof_share", "bandwidth", memory_roof(work, item));
  }

  RunSummary finish() {
    worker_.reset();
    summary_.interrupted = stopped();
    summary_.cases = cases_.size();
    for (std::size_t i = 0; i < cases_.size(); ++i) {
      if (failed_[i])
        ++summary_.failed;
      else if (skipped_[i])
        ++summary_.skipped;
      else if (succeeded_[i] || done_.contains({keys_[i], 0}))
        ++summary_.ok;
      else if (summary_.interrupted)
        summary_.not_reached.push_back(keys_[i]);
    }
    summary_.jobs = jobs_done_;
    if (was_finished_ && jobs_done_ == 0) return summary_;
    store_.finish_run(summary_.run_id, summary_.interrupted ? "interrupted" : "finished", unix_ns());
    return summary_;
  }

  results_db::Store& store_;
  const Suite& suite_;
  const RunOptions& options_;
  const std::function<void(const Progress&)>& progress_;
  WorkerLimits limits_;
  std::string program_, rank_program_;
  Launcher launcher_;  // of cases whose ranks are processes
  std::vector<Case> cases_;
  std::size_t roofs_ = 0;  // leading cases_ that are roofs
  std::vector<Work> works_;
  std::vector<std::string> absent_;  // why a case on a GPU cannot run here
  std::vector<std::int64_t> case_ids_;
  std::vector<std::string> keys_;
  std::vector<bool> failed_, skipped_, succeeded_;
  std::set<std::pair<std::string, int>> done_;
  std::set<std::string> gated_;
  std::map<std::string, Status> ended_;  // of a resumed run: cases that failed or were skipped before
  bool was_finished_ = false;            // of a resumed run
  std::map<RoofKey, double> roof_rates_;
  std::unique_ptr<WorkerProcess> worker_;
  bool worker_is_job_ = false;
  std::set<std::size_t> timed_here_;
  int round_ = -1;
  std::uint64_t seed_ = 0;
  std::size_t jobs_done_ = 0;
  std::size_t total_ = 0;
  double began_ = 0;
  RunSummary summary_;
};

}  // namespace

std::string fresh_run_id() {
  std::random_device device;
  std::array<std::uint32_t, 4> words{};
  for (auto& word : words) word = device();
  words[1] = (words[1] & 0xffff0fffU) | 0x00004000U;
  words[2] = (words[2] & 0x3fffffffU) | 0x80000000U;
  return fmt::format("{:08x}-{:04x}-{:04x}-{:04x}-{:04x}{:08x}", words[0], words[1] >> 16, words[1] & 0xffffU,
                     words[2] >> 16, words[2] & 0xffffU, words[3]);
}

Job job_of(const Case& item, JobKind kind, std::uint64_t seed) {
  Job job;
  job.kind = kind;
  job.technique = item.technique->id;
  job.backend = item.backend;
  job.fabric = item.fabric;
  job.timer = item.timer;
  job.cache = item.cache;
  job.params = item.params;
  job.seed = seed;
  job.plan.noise_target = item.settings.noise_target;
  job.plan.budget_seconds = item.settings.time_budget_seconds;
  job.plan.min_samples = item.settings.min_samples;
  job.plan.max_samples = item.settings.max_samples;
  job.plan.cold_cache = item.cache == "cold";
  job.pin = cpus_for(item);
  return job;
}

RunSummary run_suite(results_db::Store& store, const Suite& suite, const RunOptions& options,
                     const std::function<void(const Progress&)>& progress) {
  return Run(store, suite, options, progress)();
}

WorkerCommand worker_command(const Case& item, const RunOptions& options) {
  if (!is_launched(item.fabric)) return {.arguments = {program_of(options), "worker"}, .environment = {}};
  const Launcher launcher = find_launcher(options.launcher, ranks_program(options));
  if (!launcher.problem.empty()) throw UserError(launcher.problem);
  return job_command(launcher, ranks_program(options), ranks_of(item));
}

std::optional<LaunchRecord> launch_once(const Case& item, int ordinal, std::uint64_t seed, const RunOptions& options) {
  WorkerProcess worker(worker_command(item, options));
  const auto reply = worker.run(job_of(item, JobKind::time, seed), options.limits, {}, stop_requested);
  if (!reply) return std::nullopt;
  if (reply->user_error) throw UserError(fmt::format("{}: {}", item.record().key, reply->reason));
  LaunchRecord record = reply->launch;
  record.ordinal = ordinal;
  return record;
}

}  // namespace assay::harness
