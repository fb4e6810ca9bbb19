// How fast launches become durable: samples a second appended with synchronous=FULL, one transaction a launch, as the
// runner does it. Goal: 3,000,000 a second. The time of a short launch is the disk's time for one sync.
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <random>

#include "results_db/store.h"

namespace {

using assay::results_db::LaunchRecord;
using assay::results_db::Open;
using assay::results_db::Store;

struct Figures {
  double samples_per_second;
  double seconds_per_launch;
};

Figures append(const std::string& path, std::size_t samples, int launches, int group) {
  std::filesystem::remove(path);
  Store store = Store::open(path, Open::create);
  assay::results_db::RunRecord run;
  run.id = "bench";
  run.suite = "bench_store";
  run.machine.id = run.build.id = "bench";
  store.begin_run(run);
  assay::results_db::CaseRecord which;
  which.technique = "bench/store";
  which.backend = "cpu";
  which.key = "bench/store cpu";
  LaunchRecord launch;
  launch.run = run.id;
  launch.case_id = store.put_case(which);
  launch.stop_reason = "noise";
  launch.metrics = {{"flops_rate", 1e12, "FLOP/s", assay::results_db::Provenance::derived, {}, {}},
                    {"roof_share", 0.5, "1", assay::results_db::Provenance::derived, {}, {}}};
  launch.warmup = static_cast<int>(samples / 100);
  // Timings as they are: a floor, a bulk and a tail, in no order.
  std::mt19937_64 random(1);
  std::lognormal_distribution<double> spread(-3, 0.5);
  for (std::size_t i = 0; i < samples; ++i) launch.samples.push_back(1e-3 * (1 + spread(random)));

  const auto start = std::chrono::steady_clock::now();
  std::vector<LaunchRecord> pending;
  for (int i = 0; i < launches; ++i) {
    launch.ordinal = i;
    launch.samples[static_cast<std::size_t>(i) % samples] += 1e-9;
    if (group == 1) {
      store.append_launch(launch);
      continue;
    }
    pending.push_back(launch);
    if (static_cast<int>(pending.size()) == group) {
      store.append_launches(pending);
      pending.clear();
    }
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return {static_cast<double>(samples) * launches / seconds, seconds / launches};
}

}  // namespace

int main(int argc, char** argv) {
  // A folder may be named, so that the file lies on the disk in question.
  const std::filesystem::path folder =
      argc > 1 ? std::filesystem::path(argv[1]) : std::filesystem::temp_directory_path();
  const std::string path = (folder / fmt::format("assay-bench-store-{}.assay.db", getpid())).string();
  struct Setting {
    std::size_t samples;
    int launches, group;
  };
  fmt::print("{:>8}  {:>8}  {:>11}  {:>14}  {:>12}  {:>12}\n", "samples", "launches", "transaction", "samples/s",
             "us/launch", "of the goal");
  for (const Setting& setting :
       {Setting{1'000, 4'000, 1}, Setting{1'000, 4'000, 10}, Setting{10'000, 1'000, 1}, Setting{100'000, 100, 1}}) {
    const Figures figures = append(path, setting.samples, setting.launches, setting.group);
    fmt::print("{:>8}  {:>8}  {:>11}  {:>14.0f}  {:>12.1f}  {:>11.2f}x\n", setting.samples, setting.launches,
               setting.group == 1 ? "1 launch" : fmt::format("{} launches", setting.group), figures.samples_per_second,
               1e6 * figures.seconds_per_launch, figures.samples_per_second / 3e6);
  }
  std::filesystem::remove(path);
  return 0;
}
