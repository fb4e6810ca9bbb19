// How fast the serving engine simulates. Prints, for each scheduler, the seconds a rate takes on one core for a whole
// request trace, requests a second of wall time, and how many times slower the plain simulator and the engine without
// its shortcut are.
//   bench_serving [TRACE]      default: the conversation trace, generated where its file is absent
#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <string>

#include "datasets/user_error.h"
#include "datasets/workloads/generator.h"
#include "impls/serving/oracle.h"
#include "impls/serving/schedulers.h"
#include "impls/serving/summary.h"

namespace {

using namespace assay;

double seconds_of(const auto& body) {
  const auto began = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
}

struct System {
  const char* name;
  serving::Policy policy;
  serving::Plan (*schedule)(serving::Engine&);
  bool chunks, reserves;
};

}  // namespace

int main(int argc, char** argv) try {
  using serving::Engine;
  using serving::IterationTime;
  const auto trace = datasets::load_trace(argc > 1 ? argv[1] : "azure-conv", 0, 1);
  std::int64_t longest = 0;
  for (const auto& request : trace.requests)
    longest = std::max<std::int64_t>(longest, request.input_tokens + request.output_tokens);
  const std::string root = datasets::data_root();
  const serving::Deployment deployment{.model = datasets::load_model("llama2-7b", root),
                                       .device = datasets::load_device("a100-80g-sxm", root)};
  fmt::print("{} requests of {} ({})\n", trace.requests.size(), trace.name, trace.origin);
  fmt::print("{:12} {:>8} {:>10} {:>12} {:>14} {:>16} {:>14}\n", "scheduler", "rate", "s a rate", "requests/s",
             "iterations/s", "without shortcut", "plain / engine");
  const System systems[] = {
      {"vllm-paged", serving::Policy::vllm, serving::schedule_vllm, false, false},
      {"sarathi", serving::Policy::sarathi, serving::schedule_sarathi, true, false},
      {"orca", serving::Policy::orca, serving::schedule_orca, false, true},
  };
  for (const System& system : systems) {
    serving::EngineOptions options{.schedule = system.schedule};
    options.max_tokens = system.chunks ? 512 : longest;
    options.reserved_tokens = system.reserves ? longest : 0;
    options.blocks = serving::kv_blocks(deployment, 0.9, 16, options.max_tokens, options.max_sequences);
    for (const double rate : {1.0, 2.0, 4.0, 5.53}) {
      const auto scaled = datasets::at_rate(trace, datasets::ArrivalLaw::trace, rate, 1);
      // Whole cost of one rate: operator times computed anew, requests simulated, percentiles taken.
      serving::EngineRun run;
      const double took = seconds_of([&] {
        IterationTime time(deployment);
        run = Engine(scaled, time, options).run();
        serving::summarize(run, scaled, {});
      });
      serving::EngineOptions stepwise = options;
      stepwise.fuse = false;
      const double plain_steps = seconds_of([&] {
        IterationTime time(deployment);
        serving::summarize(Engine(scaled, time, stepwise).run(), scaled, {});
      });
      datasets::RequestTrace few = scaled;
      few.requests.resize(std::min<std::size_t>(few.requests.size(), 400));
      const double engine_few = seconds_of([&] {
        IterationTime time(deployment);
        Engine(few, time, options).run();
      });
      const double plain_few = seconds_of([&] {
        const IterationTime time(deployment);
        serving::simulate_plainly(system.policy, few, time, options);
      });
      fmt::print("{:12} {:8.2f} {:10.3f} {:12.0f} {:14.3g} {:15.1f}x {:13.0f}x\n", system.name, rate, took,
                 static_cast<double>(trace.requests.size()) / took, static_cast<double>(run.iterations) / took,
                 plain_steps / took, plain_few / engine_few);
      std::fflush(stdout);
    }
  }
  return 0;
} catch (const assay::UserError& wrong) {
  fmt::print(stderr, "bench_serving: {}\n", wrong.what());
  return wrong.exit_code();
}
