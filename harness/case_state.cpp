#include "harness/case_state.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "datasets/content_hash.h"
#include "datasets/user_error.h"
#include "harness/registry.h"
#include "harness/stats/median.h"

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

double now_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::int64_t unix_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

class CaseState final : public State {
 public:
  CaseState(const Job& job, Reply& reply, std::function<void(std::size_t, double)> progress)
      : job_(job), reply_(reply), progress_(std::move(progress)) {}

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
  void report(results_db::Metric metric) override { reply_.launch.metrics.push_back(std::move(metric)); }
  void breakdown(results_db::BreakdownPart part) override { reply_.launch.breakdown.push_back(std::move(part)); }
  void interval(results_db::IntervalRecord interval) override {
    reply_.launch.intervals.push_back(std::move(interval));
  }
  void descriptor(std::string kind_and_id, std::string hash) override {
    descriptors_[std::move(kind_and_id)] = std::move(hash);
  }
  [[noreturn]] void skip(std::string reason) override { throw Skipped{std::move(reason)}; }

  void measure(std::function<void()> region) override {
    if (measured_) throw std::logic_error("measure() was called twice");
    measured_ = true;
    switch (job_.kind) {
      case JobKind::describe:
        return;
      case JobKind::gate:
        return gate(region);
      case JobKind::time:
        return time(region);
    }
  }

  bool measured() const { return measured_; }
  std::string descriptors_json() const { return descriptors_.dump(); }

 private:
  void draw(std::uint64_t seed) const {
    if (draw_) draw_(seed);
  }

  // 0xFF bytes: NaN in every floating-point format, so that an element nobody wrote cannot pass by luck.
  void poison() const {
    for (const Output& output : outputs_) std::memset(output.bytes.data(), 0xFF, output.bytes.size());
  }

  void run_once(const std::function<void()>& region) const {
    poison();
    if (prepare_) prepare_();
    region();
  }

  void time(const std::function<void()>& region) {
    draw(job_.seed);
    TimingResult timed = time_region(prepare_, region, job_.plan, progress_);
    results_db::LaunchRecord& launch = reply_.launch;
    const std::span<const double> kept(timed.samples.data() + timed.warmup,
                                       timed.samples.size() - static_cast<std::size_t>(timed.warmup));
    const double median = stats::median(kept);
    const stats::Interval interval = stats::median_interval(kept);
    const auto measured = [&](const char* name, double value, const char* unit, double low, double high) {
      results_db::Metric metric{name, value, unit, Provenance::measured, {}, {}};
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
  }

  // The null mutant runs nothing, the stale one leaves the answer to an earlier input; the technique adds its own.
  void gate(const std::function<void()>& region) {
    if (!compare_) throw GateFailure{"the technique has no oracle"};
    results_db::GateRecord& gate = reply_.gate;
    draw(job_.seed);
    run_once(region);
    const double began = now_seconds();
    const Check check = compare_();
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
        const bool caught = !(compare_().error <= 1);
        ++gate.mutants_total;
        gate.mutants_caught += caught ? 1 : 0;
        detail["mutants"][name] = caught;
        if (!caught) missed += (missed.empty() ? "" : ", ") + name;
      };
      poison();
      must_fail("null");
      run_once(region);
      if (draw_) {  // what takes no input has no stale answer
        draw(job_.seed + 1);
        must_fail("stale");
      }
      for (const auto& [name, mutant] : mutants_) {
        run_once(mutant);
        must_fail(name);
      }
      run_once(region);
      const Check again = compare_();
      if (!(again.error <= 1))
        throw GateFailure{
            fmt::format("second input differs from the oracle: error {:.3g} ({})", again.error, again.detail)};
      if (!missed.empty()) throw GateFailure{"the check does not reject the mutant: " + missed};
    }
    gate.detail_json = detail.dump();
  }

  const Job& job_;
  Reply& reply_;
  std::function<void(std::size_t, double)> progress_;
  std::function<void(std::uint64_t)> draw_;
  std::function<void()> prepare_;
  std::function<Check()> compare_;
  std::vector<Output> outputs_;
  std::vector<std::pair<std::string, std::function<void()>>> mutants_;
  nlohmann::json descriptors_ = nlohmann::json::object();
  bool measured_ = false;
};

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

Reply run_job(const Job& job, const std::function<void(std::size_t, double)>& progress) {
  Reply reply;
  results_db::LaunchRecord& launch = reply.launch;
  launch.pid = getpid();
  launch.started_ns = unix_ns();
  const double began = now_seconds();
  CaseState state(job, reply, progress);
  const auto end_as = [&](Status status, std::string reason) {
    reply.status = status;
    reply.reason = std::move(reason);
  };
  try {
    const Technique& technique = resolve_technique(job.technique);
    const Implementation& implementation = find_implementation(technique, job);
    implementation.run(state);
    reply.projected = !state.measured();
    if (reply.projected && launch.metrics.empty())
      throw std::logic_error("neither measure() nor report() was called: no result is an error");
  } catch (const Skipped& skipped) {
    end_as(Status::skipped, skipped.reason);
  } catch (const GateFailure& failure) {
    end_as(Status::failed, "gate: " + failure.reason);
  } catch (const UserError& wrong) {
    end_as(Status::failed, wrong.what());
    reply.user_error = true;
  } catch (const std::bad_alloc&) {
    end_as(Status::failed, "out of memory");
  } catch (const std::exception& failure) {
    end_as(Status::failed, failure.what());
  }
  launch.wall_seconds = now_seconds() - began;
  reply.gate.wall_seconds = launch.wall_seconds;
  launch.descriptors_json = state.descriptors_json();
  launch.status = reply.status;
  launch.reason = reply.reason;
  return reply;
}

}  // namespace assay::harness
