// What the harness costs: one kernel under plain Google Benchmark and under assay's timing loop, in turns in one
// process, so that both see the same machine. Prints the ratio of the medians; the goal is less than 2% either way.
//
//   bench_overhead [rounds, 20]
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <cmath>
#include <cstdlib>
#include <vector>

#include "harness/stats/decide.h"
#include "harness/table.h"
#include "harness/timing.h"

namespace {

using namespace assay;

// x <- a x + b over `n` floats, and an exponential now and then: sizes from below a microsecond to a millisecond.
class Kernel {
 public:
  explicit Kernel(std::size_t n) : x_(n, 1.0F) {}
  void operator()() {
    for (float& x : x_) x = 0.999F * x + 0.001F;
    x_[0] = std::exp(-x_[0]);
    benchmark::DoNotOptimize(x_.data());
    benchmark::ClobberMemory();
  }

 private:
  std::vector<float> x_;
};

// Keeps the time of one iteration of every repetition.
class Keeper final : public benchmark::BenchmarkReporter {
 public:
  bool ReportContext(const Context&) override { return true; }
  void ReportRuns(const std::vector<Run>& runs) override {
    for (const Run& run : runs)
      if (run.run_type == Run::RT_Iteration)
        seconds.push_back(run.real_accumulated_time / static_cast<double>(run.iterations));
  }
  std::vector<double> seconds;
};

// The median over repetitions of about 0.2 ms: the mean of one long run would also hold what others took of the core.
double plain(Kernel& kernel, double per_iteration, double seconds) {
  constexpr double repetition_seconds = 2e-4;
  Keeper keeper;
  benchmark::ClearRegisteredBenchmarks();
  benchmark::RegisterBenchmark("plain",
                               [&](benchmark::State& state) {
                                 for (auto _ : state) kernel();
                               })
      ->Iterations(static_cast<benchmark::IterationCount>(std::ceil(repetition_seconds / per_iteration)))
      ->Repetitions(static_cast<int>(std::ceil(seconds / std::max(repetition_seconds, per_iteration))))
      ->UseRealTime();
  benchmark::RunSpecifiedBenchmarks(&keeper);
  benchmark::ClearRegisteredBenchmarks();
  return harness::stats::median(keeper.seconds);
}

double under_assay(Kernel& kernel, double seconds) {
  const harness::TimingResult result = harness::time_region(
      [&] { kernel(); }, {.noise_target = 0, .budget_seconds = seconds, .min_samples = 5, .max_samples = 1'000'000});
  const std::span<const double> steady = std::span(result.samples).subspan(static_cast<std::size_t>(result.warmup));
  return harness::stats::median(steady);
}

}  // namespace

int main(int argc, char** argv) {
  const int rounds = argc > 1 ? std::atoi(argv[1]) : 20;
  int count = 1;
  benchmark::Initialize(&count, argv);
  constexpr double seconds = 0.05;
  harness::Table table(
      {{"floats", true}, {"plain", true}, {"assay", true}, {"assay/plain", true}, {"95% interval", true}});
  for (const std::size_t n : {std::size_t{1} << 10, std::size_t{1} << 14, std::size_t{1} << 18, std::size_t{1} << 21}) {
    Kernel kernel(n);
    harness::stats::Contest contest;
    const double per_iteration = under_assay(kernel, seconds);
    for (int at = 0; at < 2 * rounds; ++at) {
      const bool is_assay = (at % 4 == 1 || at % 4 == 2) != (at / 4 % 2 == 1);
      const double value = is_assay ? under_assay(kernel, seconds) : plain(kernel, per_iteration, seconds);
      (is_assay ? contest.b : contest.a).push_back({value, at + 1});
    }
    const harness::stats::Decision decision = harness::stats::decide(contest);
    const auto middle = [](const std::vector<harness::stats::Launch>& side) {
      std::vector<double> values;
      for (const auto& one : side) values.push_back(one.value);
      return harness::stats::median(values);
    };
    table.add_row({std::to_string(n), fmt::format("{:.3f} us", 1e6 * middle(contest.a)),
                   fmt::format("{:.3f} us", 1e6 * middle(contest.b)), fmt::format("{:.4f}", decision.ratio),
                   fmt::format("{:.4f} .. {:.4f}", decision.interval.low, decision.interval.high)});
  }
  fmt::print("{}", table.render());
  return 0;
}
