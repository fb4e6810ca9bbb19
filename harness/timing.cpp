#include "harness/timing.h"

#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <optional>
#include <span>
#include <utility>

#include "harness/stats/shape.h"
#include "harness/stats/stop_rule.h"

namespace assay::harness {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// Google Benchmark reports through this; the samples are taken inside the loop instead, one by one.
class SilentReporter final : public benchmark::BenchmarkReporter {
 public:
  bool ReportContext(const Context&) override { return true; }
  void ReportRuns(const std::vector<Run>&) override {}
};

void initialise_google_benchmark() {
  static const bool once = [] {
    int argc = 1;
    char name[] = "assay";
    char* argv[] = {name, nullptr};
    benchmark::Initialize(&argc, argv);
    return true;
  }();
  (void)once;
}

// The current frequency of the core this thread is on, through cpufreq; many virtual machines have none.
class ClockReader {
 public:
  ClockReader() {
    const int cpu = sched_getcpu();
    const std::string path = "/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/cpufreq/scaling_cur_freq";
    file_ = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  }
  ~ClockReader() {
    if (file_ >= 0) close(file_);
  }
  ClockReader(const ClockReader&) = delete;
  ClockReader& operator=(const ClockReader&) = delete;

  bool readable() const { return file_ >= 0; }
  float read_hz() const {
    char text[32] = {};
    const ssize_t got = pread(file_, text, sizeof text - 1, 0);
    return got > 0 ? std::strtof(text, nullptr) * 1e3F : 0.0F;
  }

 private:
  int file_ = -1;
};

using Prelude = std::function<void(std::int64_t iterations)>;

// `single`: a sample is one iteration whatever it takes (a cache is cold only once).
TimingResult sample_loop(const Sampler& sampler, const Prelude& before, bool single, const TimingPlan& plan,
                         const SampleHooks& hooks) {
  initialise_google_benchmark();
  TimingResult result;
  const Clock::time_point began = Clock::now();

  // A step of the wall clock must not reorder samples, so it is read once and carried on by the steady one.
  const auto wall_began = std::chrono::system_clock::now().time_since_epoch();
  const auto unix_ns = [&] {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(wall_began + (Clock::now() - began)).count();
  };
  const auto take = [&](benchmark::State& state) {
    const std::int64_t batch = result.batch;
    before(batch);
    result.at_ns.push_back(unix_ns());
    const double elapsed = sampler.take(batch);
    state.SetIterationTime(elapsed);
    result.samples.push_back(elapsed / static_cast<double>(batch));
    if (sampler.clock_hz) result.clock_hz.push_back(sampler.clock_hz());
  };
  const auto run_batch = [&](std::int64_t iterations) {
    SilentReporter reporter;
    benchmark::ClearRegisteredBenchmarks();
    benchmark::RegisterBenchmark("region",
                                 [&](benchmark::State& state) {
                                   for (auto _ : state) take(state);
                                 })
        ->Iterations(iterations)
        ->UseManualTime();
    benchmark::RunSpecifiedBenchmarks(&reporter);
    benchmark::ClearRegisteredBenchmarks();
  };
  const auto timed_seconds = [&](std::size_t from) {
    double total = 0;
    for (std::size_t i = from; i < result.samples.size(); ++i) total += result.samples[i];
    return total * static_cast<double>(result.batch);
  };

  // The fastest sample so far says how many iterations make a sample: one that was cold or preempted must not.
  const auto grow_batch = [&] {
    const double fastest = std::max(*std::min_element(result.samples.begin(), result.samples.end()), 1e-10);
    if (single || fastest * static_cast<double>(result.batch) >= plan.min_sample_seconds) return false;
    const double wanted = std::min(std::ceil(1.2 * plan.min_sample_seconds / fastest), 1e9);
    const auto before = std::exchange(result.batch, std::max(result.batch, static_cast<std::int64_t>(wanted)));
    return result.batch >= 2 * before;
  };

  // Warm-up: until the time is spent and at least one sample taken.
  double warm = 0;
  do {
    run_batch(1);
    warm += result.samples.back() * static_cast<double>(result.batch);
    grow_batch();
  } while (warm < plan.warmup_seconds && warm < 0.2 * plan.budget_seconds && result.samples.size() < 1000);
  std::size_t warmup = result.samples.size();

  // Batches grow as the looks of the stop rule do: by an eighth of what was taken.
  stats::Stopper stopper({.noise_target = plan.noise_target,
                          .budget_seconds = plan.budget_seconds,
                          .min_samples = plan.min_samples,
                          .max_samples = plan.max_samples});
  stats::Stop stop = stats::Stop::go_on;
  while (stop == stats::Stop::go_on) {
    const std::size_t taken = result.samples.size() - warmup;
    const double spent = timed_seconds(warmup);
    std::int64_t next = taken == 0 ? plan.min_samples : static_cast<std::int64_t>(taken / 8) + 1;
    const double each =
        taken > 0 ? spent / static_cast<double>(taken) : result.samples.back() * static_cast<double>(result.batch);
    const double room = (plan.budget_seconds - spent) / std::max(each, 1e-12);
    next = std::clamp<std::int64_t>(next, 1, std::max<std::int64_t>(1, static_cast<std::int64_t>(room) + 1));
    next = std::clamp<std::int64_t>(next, 1,
                                    std::max<std::int64_t>(1, plan.max_samples - static_cast<std::int64_t>(taken)));
    run_batch(next);
    // Where the whole warm-up was slow, the first samples are too short to time: they become part of it.
    if (taken == 0 && grow_batch()) {
      warmup = result.samples.size();
      continue;
    }
    const double now_spent = timed_seconds(warmup);
    for (std::size_t at = warmup + taken; at < result.samples.size() && stop == stats::Stop::go_on; ++at)
      stop = stopper.add(result.samples[at], at + 1 == result.samples.size() ? now_spent : spent);
    if (hooks.progress) hooks.progress(result.samples.size() - warmup, stopper.half_width());
  }
  result.stop_reason = stats::to_string(stop);
  // What has not settled by then is flagged too.
  result.warmup = static_cast<int>(warmup + stats::warmup_length(std::span(result.samples).subspan(warmup)));
  result.wall_seconds = seconds_since(began);
  return result;
}

}  // namespace

CacheFlush::CacheFlush() {
  long size = std::max(sysconf(_SC_LEVEL3_CACHE_SIZE), sysconf(_SC_LEVEL2_CACHE_SIZE));
  if (size <= 0) size = 64L << 20;
  buffer_.resize(static_cast<std::size_t>(size) * 2);
}

void CacheFlush::operator()() {
  for (std::size_t at = 0; at < buffer_.size(); at += 64) ++buffer_[at];
  benchmark::ClobberMemory();
}

TimingResult time_region(const std::function<void()>& region, const TimingPlan& plan, const SampleHooks& hooks) {
  std::optional<CacheFlush> flush;
  if (plan.cold_cache) flush.emplace();
  const ClockReader clock;
  const Prelude before = [&](std::int64_t batch) {
    if (hooks.prepare) hooks.prepare(batch);
    if (flush) (*flush)();
  };
  // The clock is read as near to the region as can be; everything else happens outside of it.
  Sampler sampler;
  sampler.take = [&](std::int64_t batch) {
    if (hooks.start) hooks.start();
    const Clock::time_point start = Clock::now();
    for (std::int64_t i = 0; i < batch; ++i) {
      region();
      benchmark::ClobberMemory();
    }
    return seconds_since(start);
  };
  if (clock.readable()) sampler.clock_hz = [&] { return clock.read_hz(); };
  return sample_loop(sampler, before, plan.cold_cache, plan, hooks);
}

TimingResult time_samples(const Sampler& sampler, const TimingPlan& plan, const SampleHooks& hooks) {
  const Prelude before = [&](std::int64_t batch) {
    if (hooks.prepare) hooks.prepare(batch);
    if (hooks.start) hooks.start();
  };
  return sample_loop(sampler, before, false, plan, hooks);
}

}  // namespace assay::harness
