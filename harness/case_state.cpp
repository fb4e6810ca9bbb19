#include "harness/case_state.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "datasets/content_hash.h"
#include "datasets/user_error.h"
#include "harness/clock.h"
#include "harness/gpu/device_log.h"
#include "harness/gpu/device_sampler.h"
#include "harness/profile/nvtx.h"
#include "harness/registry.h"
#include "harness/stats/median.h"
#include "harness/timeline_keeper.h"
#include "harness/timing.h"

namespace assay::harness {
namespace {

using results_db::Provenance;
using results_db::Status;

struct Skipped {
  std::string reason;
};
struct GateFailure {
  std::string reason;
};
// Of a case that is only to be described, enough is known.
struct Described {};

// What the conductor of an ensemble has all processes do, itself included.
struct Step {
  enum class What { draw, poison, run, mutant, compare, sample, trace, end };
  What what = What::end;
  std::uint64_t number = 0;  // seed, index of the mutant, iterations of the sample
};
constexpr const char* step_names[] = {"draw", "poison", "run", "mutant", "compare", "sample", "trace", "end"};

void announce(Ensemble& ensemble, const Step& step) {
  std::string text = fmt::format("{} {}", step_names[static_cast<int>(step.what)], step.number);
  ensemble.broadcast(text);
}
Step hear(Ensemble& ensemble) {
  std::string text;
  ensemble.broadcast(text);
  const std::size_t space = text.find(' ');
  for (int i = 0; i <= static_cast<int>(Step::What::end); ++i)
    if (space != std::string::npos && text.compare(0, space, step_names[i]) == 0)
      return {static_cast<Step::What>(i), std::stoull(text.substr(space + 1))};
  throw OutOfStep("heard '" + text + "', expected a step of the case");
}

class CaseState final : public State, public TimelineKeeper {
 public:
  CaseState(const Job& job, Reply& reply, std::function<void(std::size_t, double)> progress, Ensemble* ensemble,
            const GpuAccess& gpu)
      : gpu_(gpu), job_(job), reply_(reply), progress_(std::move(progress)), ensemble_(ensemble) {}

  const Params& params() const override { return job_.params; }
  const std::string& backend() const override { return job_.backend; }
  const std::string& fabric() const override { return job_.fabric; }
  std::uint64_t seed() const override { return job_.seed; }
  bool gating() const override { return job_.kind == JobKind::gate; }

  void declare(const Work& work) override { reply_.work = work; }
  void inputs(std::function<void(std::uint64_t)> draw) override { draw_ = std::move(draw); }
  void output(Output output) override { outputs_.push_back(std::move(output)); }
  void oracle(std::function<Check()> compare) override { compare_ = std::move(compare); }
  void mutant(std::string name, std::function<void()> run) override {
    mutants_.emplace_back(std::move(name), std::move(run));
  }
  void prepare(std::function<void()> set_up) override { prepare_ = std::move(set_up); }
  void trace(const std::function<void()>& run) override { trace_ = run; }
  void report(results_db::Metric metric) override { reply_.launch.metrics.push_back(std::move(metric)); }
  void breakdown(results_db::BreakdownPart part) override { reply_.launch.breakdown.push_back(std::move(part)); }
  void interval(results_db::IntervalRecord interval) override {
    reply_.launch.intervals.push_back(std::move(interval));
  }
  void descriptor(std::string kind_and_id, std::string hash) override {
    descriptors_[std::move(kind_and_id)] = std::move(hash);
  }
  Ensemble* ensemble() const override { return ensemble_; }
  gpu::Device& device() override {
    if (job_.backend != "cuda") return State::device();
    // What comes after this takes device memory, makes the libraries' plans and draws inputs: seconds for a large case.
    if (job_.kind == JobKind::describe) {
      gpu_.find_device();
      throw Described{};
    }
    if (!device_) device_ = gpu_.open_device();
    return *device_;
  }
  void device_output(std::string name, void* memory, std::size_t bytes) override {
    device_outputs_.push_back({std::move(name), memory, bytes});
    device();
  }
  [[noreturn]] void skip(std::string reason) override { throw Skipped{std::move(reason)}; }

  void measure(std::function<void()> region) override {
    if (measured_) throw std::logic_error("measure() was called twice");
    measured_ = true;
    region_ = std::move(region);
    if (follows()) return follow();
    switch (job_.kind) {
      case JobKind::describe:
        return;
      case JobKind::gate:
        return gate();
      case JobKind::time:
        return time();
      case JobKind::activity:
        return record_activity();
      case JobKind::counters:
        return read_counters();
    }
  }

  void project(const std::function<void()>& region, const std::function<void()>& report) override {
    if (job_.kind != JobKind::time) return measure(region);
    if (measured_) throw std::logic_error("project() was called after measure()");
    region();
    report();
  }

  bool measured() const { return measured_; }
  bool follows() const { return ensemble_ != nullptr && ensemble_->rank() > 0; }
  // Conductor: no more steps. Others: the conductor must have none left either.
  void end() {
    if (ensemble_ == nullptr || ended_) return;
    if (!follows()) {
      announce(*ensemble_, {});
    } else if (hear(*ensemble_).what != Step::What::end) {
      throw OutOfStep(reply_.reason.empty() ? "ended before the others" : reply_.reason);
    }
    ended_ = true;
  }
  std::string descriptors_json() const { return descriptors_.dump(); }

 private:
  // One step, with all processes of the ensemble. The error counts on the conductor only.
  Check take(const Step& step) {
    if (ensemble_ != nullptr) announce(*ensemble_, step);
    return perform(step);
  }

  Check perform(const Step& step) {
    const profile::NvtxRange range(phase_name(step));
    switch (step.what) {
      case Step::What::draw:
        if (draw_) draw_(step.number);
        if (device_) device_->synchronize("drawing the inputs");
        break;
      case Step::What::poison:
        poison();
        break;
      case Step::What::run:
        run_once(region_);
        break;
      case Step::What::mutant:
        run_once(mutants_.at(step.number).second);
        break;
      case Step::What::compare:
        return compare_();
      case Step::What::sample:
        if (prepare_) prepare_();
        if (job_.plan.cold_cache) flush();
        ensemble_->barrier();
        for (std::uint64_t i = 0; i < step.number; ++i) region_();
        break;
      case Step::What::trace:
        if (prepare_) prepare_();
        trace_();
        break;
      case Step::What::end:
        ended_ = true;
        break;
    }
    return {};
  }

  std::string phase_name(const Step& step) const {
    if (step.what == Step::What::mutant) return "mutant " + mutants_.at(step.number).first;
    return step_names[static_cast<int>(step.what)];
  }

  void follow() {
    while (!ended_) {
      const Step step = hear(*ensemble_);
      try {
        perform(step);
      } catch (const std::exception& failure) {
        if (!ensemble_->failed_together()) throw OutOfStep(failure.what());
      }
    }
  }

  void draw(std::uint64_t seed) { take({Step::What::draw, seed}); }
  Check compare() { return take({Step::What::compare}); }
  void flush() {
    if (!cache_flush_) cache_flush_.emplace();
    (*cache_flush_)();
  }

  // 0xFF bytes: NaN in every floating-point format, so that an element nobody wrote cannot pass by luck.
  void poison() const {
    for (const Output& output : outputs_) std::memset(output.bytes.data(), 0xFF, output.bytes.size());
    for (const DeviceOutput& output : device_outputs_) device_->fill(output.memory, 0xFF, output.bytes);
    if (device_) device_->synchronize("poisoning the outputs");
  }

  void run_once(const std::function<void()>& region) const {
    poison();
    if (prepare_) prepare_();
    region();
    if (device_) device_->synchronize("in the region");
  }

  void time() {
    draw(job_.seed);
    SampleHooks hooks{.prepare = {}, .start = {}, .progress = progress_};
    if (ensemble_ != nullptr) {
      hooks.prepare = [this](std::int64_t iterations) {
        announce(*ensemble_, {Step::What::sample, static_cast<std::uint64_t>(iterations)});
        if (prepare_) prepare_();
      };
      hooks.start = [this] { ensemble_->barrier(); };
    } else if (prepare_) {
      hooks.prepare = [this](std::int64_t) { prepare_(); };
    }
    results_db::LaunchRecord& launch = reply_.launch;
    TimingResult timed = job_.backend == "cuda" ? time_on_device(hooks) : time_region(region_, job_.plan, hooks);
    const std::span<const double> kept(timed.samples.data() + timed.warmup,
                                       timed.samples.size() - static_cast<std::size_t>(timed.warmup));
    const double median = stats::median(kept);
    const stats::Interval interval = stats::median_interval(kept);
    const auto measured = [&](const char* name, double value, const char* unit, double low, double high) {
      const bool emulated = job_.fabric == "emulated";
      results_db::Metric metric{name, value, unit, emulated ? Provenance::emulated : Provenance::measured, {}, {}};
      if (interval.bounded()) {
        metric.low = low;
        metric.high = high;
      }
      launch.metrics.push_back(std::move(metric));
    };
    measured("time", median, "s", interval.low, interval.high);
    const auto rate = [&](const char* name, double work, const char* unit) {
      if (work > 0) measured(name, work / median, unit, work / interval.high, work / interval.low);
    };
    rate("flops_rate", reply_.work.flops, "FLOP/s");
    rate("flops_rate_issued", reply_.work.flops_issued, "FLOP/s");
    rate("bandwidth", reply_.work.bytes, "B/s");
    rate("exps_rate", reply_.work.exps, "1/s");
    if (reply_.work.flops > 0 && reply_.work.bytes > 0)
      launch.metrics.push_back(
          {"intensity", reply_.work.flops / reply_.work.bytes, "FLOP/B", Provenance::derived, {}, {}});
    launch.samples = std::move(timed.samples);
    launch.sample_at_ns = std::move(timed.at_ns);
    launch.sample_clock_hz = std::move(timed.clock_hz);
    launch.batch = timed.batch;
    launch.warmup = timed.warmup;
    launch.stop_reason = timed.stop_reason;
    if (job_.trace && trace_) take({Step::What::trace});
  }

  // Once to warm up, once recorded; through a graph where the case is timed so.
  void record_activity() {
    if (job_.backend != "cuda") skip("kernel activity is recorded on GPUs only");
    std::unique_ptr<profile::KernelActivity> activity;
    try {
      activity = gpu_.open_activity();
      gpu::Device& on = device();
      draw(job_.seed);
      run_once(region_);
      gpu::Device::Graph graph;
      if (job_.timer == "graph") graph = on.capture(region_);
      if (prepare_) prepare_();
      on.synchronize("before the recorded region");
      activity->start();
      if (graph)
        on.launch(graph);
      else
        region_();
      on.synchronize("in the recorded region");
      reply_.launch.kernels = activity->stop();
    } catch (const profile::ActivityUnavailable& absent) {
      skip(absent.what());
    }
    if (reply_.launch.kernels.empty()) throw std::runtime_error("CUPTI recorded nothing although the region ran");
    reply_.launch.stop_reason = "fixed";
    reply_.launch.environment_json =
        nlohmann::json{{"pass", "activity"},
                       {"gpu", {{"name", device().facts().name}, {"uuid", device().facts().uuid}}}}
            .dump();
  }

  // Once to warm up, then as often as the counters need passes.
  void read_counters() {
    if (job_.backend != "cuda") skip("hardware counters are read on GPUs only");
    // Kernels of several ranks wait for each other: none of them may be held back or repeated alone.
    if (!job_.fabric.empty()) skip("hardware counters are not read of programs over ranks");
    try {
      gpu::Device& on = device();
      const auto counters = gpu_.open_counters();
      draw(job_.seed);
      run_once(region_);
      const profile::CounterValues values = counters->count([&] {
        if (prepare_) prepare_();
        region_();
        on.synchronize("in the counted region");
      });
      auto& metrics = reply_.launch.metrics;
      metrics.clear();
      metrics.push_back({"tensor_active", values.tensor_active, "1", Provenance::measured, {}, {}});
      metrics.push_back({"dram_bytes", values.dram_bytes, "B", Provenance::measured, {}, {}});
      metrics.push_back({"l2_hit_rate", values.l2_hit_rate, "1", Provenance::measured, {}, {}});
      reply_.launch.environment_json = nlohmann::json{{"pass", "counters"},
                                                      {"passes", values.passes},
                                                      {"gpu", {{"name", on.facts().name}, {"uuid", on.facts().uuid}}}}
                                           .dump();
    } catch (const profile::CountersUnavailable& absent) {
      skip(absent.what());
    }
    reply_.launch.stop_reason = "fixed";
  }

  // What CUPTI says the kernels, copies and fills of the region took, without what lies between them.
  TimingResult time_by_activity(const SampleHooks& hooks) {
    std::unique_ptr<profile::KernelActivity> activity;
    try {
      activity = gpu_.open_activity();
    } catch (const profile::ActivityUnavailable& absent) {
      skip(absent.what());
    }
    gpu::Device& on = device();
    take({Step::What::run});
    gpu::DeviceLog log(on.facts(), NvidiaMonitor::of(on.facts().uuid));
    const auto recorded = [&](std::int64_t iterations) {
      on.synchronize("before the recorded region");
      activity->start();
      for (std::int64_t i = 0; i < iterations; ++i) region_();
      on.synchronize("in the recorded region");
      std::int64_t nanoseconds = 0;
      const auto records = activity->stop();
      if (records.empty()) throw std::runtime_error("CUPTI recorded nothing although the region ran");
      for (const results_db::KernelRecord& each : records) nanoseconds += each.duration_ns;
      return 1e-9 * static_cast<double>(nanoseconds);
    };
    TimingResult timed = time_samples({.take =
                                           [&](std::int64_t iterations) {
                                             double seconds = 0;
                                             if (job_.plan.cold_cache) {
                                               for (std::int64_t i = 0; i < iterations; ++i) {
                                                 on.flush_cache();
                                                 seconds += recorded(1);
                                               }
                                             } else {
                                               seconds = recorded(iterations);
                                             }
                                             log.after_sample();
                                             return seconds;
                                           },
                                       .clock_hz = {}},
                                      job_.plan, hooks);
    if (log.has_clocks()) timed.clock_hz = log.clocks_hz();
    reply_.launch.environment_json = log.to_json();
    return timed;
  }

  TimingResult time_on_device(const SampleHooks& hooks) {
    if (job_.timer == "cupti") return time_by_activity(hooks);
    const gpu::Timer timer = gpu::timer_named(job_.timer);
    // The first run loads the code and lets libraries choose, and both may wait for the device: not behind a gate.
    device();
    take({Step::What::run});
    gpu::DeviceSampler sampler(device(), region_, {.timer = timer, .cold = job_.plan.cold_cache});
    gpu::DeviceLog log(device().facts(), NvidiaMonitor::of(device().facts().uuid));
    TimingPlan plan = job_.plan;
    plan.min_sample_seconds = std::max(plan.min_sample_seconds, gpu::min_device_sample_seconds);
    TimingResult timed = time_samples({.take =
                                           [&](std::int64_t iterations) {
                                             const profile::NvtxRange range("sample");
                                             const double seconds = sampler.take(iterations);
                                             log.after_sample();
                                             return seconds;
                                           },
                                       .clock_hz = {}},
                                      plan, hooks);
    if (log.has_clocks()) timed.clock_hz = log.clocks_hz();
    reply_.launch.environment_json = log.to_json();
    return timed;
  }

  // The null mutant runs nothing, the stale one leaves the answer to an earlier input; the technique adds its own.
  void gate() {
    if (!compare_) throw GateFailure{"the technique has no oracle"};
    results_db::GateRecord& gate = reply_.gate;
    draw(job_.seed);
    take({Step::What::run});
    const double began = now_seconds();
    const Check check = compare();
    const double cost = now_seconds() - began;
    gate.error = check.error;
    gate.coverage = check.coverage;
    nlohmann::json detail = {{"check", check.detail}};
    if (!(check.error <= 1))
      throw GateFailure{
          fmt::format("differs from the oracle: error {:.3g} of its tolerance ({})", check.error, check.detail)};

    const auto count = static_cast<double>(mutants_.size() + 3);
    if (count * cost > job_.mutant_budget_seconds) {
      detail["mutants"] =
          fmt::format("left out: {:.0f} checks of {:.2g} s exceed {:g} s", count, cost, job_.mutant_budget_seconds);
    } else {
      std::string missed;
      const auto must_fail = [&](const std::string& name) {
        const bool caught = !(compare().error <= 1);
        ++gate.mutants_total;
        gate.mutants_caught += caught ? 1 : 0;
        detail["mutants"][name] = caught;
        if (!caught) missed += (missed.empty() ? "" : ", ") + name;
      };
      take({Step::What::poison});
      must_fail("null");
      take({Step::What::run});
      if (draw_) {  // what takes no input has no stale answer
        draw(job_.seed + 1);
        must_fail("stale");
      }
      for (std::size_t i = 0; i < mutants_.size(); ++i) {
        take({Step::What::mutant, i});
        must_fail(mutants_[i].first);
      }
      take({Step::What::run});
      const Check again = compare();
      if (!(again.error <= 1))
        throw GateFailure{
            fmt::format("second input differs from the oracle: error {:.3g} ({})", again.error, again.detail)};
      if (!missed.empty()) throw GateFailure{"the check does not reject the mutant: " + missed};
    }
    gate.detail_json = detail.dump();
  }

  // Outlives everything a technique keeps on it, which the functions below hold.
  const GpuAccess& gpu_;
  std::unique_ptr<gpu::Device> device_;
  struct DeviceOutput {
    std::string name;
    void* memory;
    std::size_t bytes;
  };
  std::vector<DeviceOutput> device_outputs_;
  const Job& job_;
  Reply& reply_;
  std::function<void(std::size_t, double)> progress_;
  std::function<void(std::uint64_t)> draw_;
  std::function<void()> prepare_;
  std::function<void()> trace_;
  std::function<Check()> compare_;
  std::vector<Output> outputs_;
  std::vector<std::pair<std::string, std::function<void()>>> mutants_;
  std::function<void()> region_;
  Ensemble* ensemble_;
  bool ended_ = false;  // the steps of the ensemble
  std::optional<CacheFlush> cache_flush_;
  nlohmann::json descriptors_ = nlohmann::json::object();
  bool measured_ = false;
};

// As profilers show it: "attention/flash-attention-2 cuda causal=1 head_dim=128 ...".
std::string case_name(const Job& job) {
  return fmt::format("{} {}{}{} {}", job.technique, job.backend, job.fabric.empty() ? "" : "/", job.fabric,
                     job.params.to_line());
}

const Implementation& find_implementation(const Technique& technique, const Job& job) {
  for (const Implementation& held : technique.implementations) {
    const bool fabric_fits =
        job.fabric.empty() ? held.fabrics.empty()
                           : std::find(held.fabrics.begin(), held.fabrics.end(), job.fabric) != held.fabrics.end();
    if (held.backend == job.backend && fabric_fits) return held;
  }
  throw UserError(fmt::format("{} has no implementation for backend {}{}", technique.id, job.backend,
                              job.fabric.empty() ? "" : " on fabric " + job.fabric));
}

}  // namespace

Reply run_job(const Job& job, const std::function<void(std::size_t, double)>& progress, Ensemble* ensemble,
              const GpuAccess& gpu) {
  Reply reply;
  results_db::LaunchRecord& launch = reply.launch;
  launch.pid = getpid();
  launch.started_ns = unix_ns();
  const double began = now_seconds();
  const profile::NvtxRange range(case_name(job));
  CaseState state(job, reply, progress, ensemble, gpu);
  const auto end_as = [&](Status status, std::string reason) {
    reply.status = status;
    reply.reason = std::move(reason);
  };
  try {
    const Technique& technique = resolve_technique(job.technique);
    const Implementation& implementation = find_implementation(technique, job);
    implementation.run(state);
    reply.projected = !state.measured();
    if (reply.projected && launch.metrics.empty() && job.kind != JobKind::activity && job.kind != JobKind::counters)
      throw std::logic_error("neither measure() nor report() was called: no result is an error");
  } catch (const Described&) {
  } catch (const Skipped& skipped) {
    end_as(Status::skipped, skipped.reason);
  } catch (const gpu::NoDevice& absent) {
    end_as(Status::skipped, absent.what());
  } catch (const gpu::DeviceError& fault) {
    end_as(Status::failed, fault.what());
    reply.retire = true;
  } catch (const GateFailure& failure) {
    end_as(Status::failed, "gate: " + failure.reason);
  } catch (const UserError& wrong) {
    end_as(Status::failed, wrong.what());
    reply.user_error = true;
  } catch (const OutOfStep&) {
    throw;
  } catch (const std::bad_alloc&) {
    end_as(Status::failed, "out of memory");
  } catch (const std::exception& failure) {
    end_as(Status::failed, failure.what());
    reply.retire = job.backend == "cuda";  // whatever it was, the device may have been left in the middle of it
  }
  state.end();
  launch.wall_seconds = now_seconds() - began;
  reply.gate.wall_seconds = launch.wall_seconds;
  launch.descriptors_json = state.descriptors_json();
  launch.status = reply.status;
  launch.reason = reply.reason;
  return reply;
}

}  // namespace assay::harness
