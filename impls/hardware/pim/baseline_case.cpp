#include "impls/hardware/pim/baseline_case.h"

#include <fmt/format.h>

#include <algorithm>

#include "datasets/user_error.h"
#include "harness/claims/residuals.h"
#include "impls/hardware/pim/decode_baseline.h"

namespace assay::hardware {

namespace {

using results_db::Provenance;

harness::Value word(const char* text) { return harness::Value(std::string(text)); }

void report_baseline(harness::State& state, const DecodePlan& plan, const BaselineRun& run,
                     const std::vector<std::pair<std::string, BaselineRun>>& moved) {
  const auto tokens = static_cast<double>(plan.generated);
  const auto metric = [&](const char* name, const char* unit, auto of) {
    harness::claims::Reach reach(of(run));
    for (const auto& [cause, other] : moved) reach.add(cause, of(other));
    state.report({name, of(run), unit, Provenance::projected, std::max(0.0, reach.low()), reach.high()});
  };
  const auto steps = static_cast<double>(plan.steps());
  metric("step_time", "s", [&](const BaselineRun& of) { return of.seconds / steps; });
  metric("e2e_latency", "s", [](const BaselineRun& of) { return of.seconds; });
  metric("ttft", "s", [](const BaselineRun& of) { return of.first_token; });
  if (plan.generated > 1)
    metric("tpot", "s", [&](const BaselineRun& of) { return (of.seconds - of.first_token) / (tokens - 1); });
  metric("throughput", "token/s", [&](const BaselineRun& of) { return tokens / of.seconds; });
  if (run.joules > 0) {  // a probed machine has no power
    metric("energy", "J", [](const BaselineRun& of) { return of.joules; });
    metric("energy_per_token", "J/token", [&](const BaselineRun& of) { return of.joules / tokens; });
    metric("power", "W", [](const BaselineRun& of) { return of.joules / of.seconds; });
  }
  metric("dram_bytes", "B", [](const BaselineRun& of) { return of.bytes; });
  state.breakdown({"memory", "time", run.memory_seconds, Provenance::projected});
  state.breakdown({"compute", "time", run.compute_seconds, Provenance::projected});
  state.breakdown({"launches", "time", run.launch_seconds, Provenance::projected});
}

}  // namespace

std::vector<harness::Axis> baseline_axes(const char* device, const char* dtype) {
  return {{.name = "model", .defaults = {word("gpt2-xl")}, .help = "model descriptor"},
          {.name = "prompt",
           .defaults = {harness::Value(std::int64_t{0})},
           .help = "tokens read before the first is generated",
           .minimum = 0},
          {.name = "generated", .defaults = {harness::Value(std::int64_t{1024})}, .help = "tokens generated"},
          {.name = "device", .defaults = {word(device)}, .help = "device descriptor"},
          {.name = "dtype",
           .defaults = {word(dtype)},
           .help = "element type of weights and cache",
           .allowed = {word("fp16"), word("bf16"), word("fp32")}},
          {.name = "software",
           .defaults = {word("framework"), word("roofline")},
           .help = "what runs the kernels",
           .allowed = {word("framework"), word("roofline")}},
          {.name = "launch",
           .defaults = {harness::Value(kEagerLaunchSeconds)},
           .help = "time to issue one kernel of the framework",
           .minimum = 0,
           .dimension = datasets::Dimension::seconds}};
}

void run_baseline(harness::State& state) {
  const datasets::Model model = datasets::load_model(state.text("model"), datasets::data_root());
  const datasets::Device device = datasets::load_device(state.text("device"), datasets::data_root());
  state.descriptor("model:" + model.id, model.hash);
  state.descriptor("device:" + device.id, device.hash);
  if (!device.calibration.empty()) state.descriptor("carried:" + device.id, device.calibration);
  const DecodePlan plan{.prompt = state.integer("prompt"), .generated = state.integer("generated")};
  Software software = roofline_software();
  if (state.text("software") == "framework") {
    software = framework_software(device);
    software.launch_seconds = state.real("launch");
  }
  const std::string dtype = state.text("dtype");
  const GptShape shape = gpt_shape(model);
  const BaselineRun run = decode_on(device, dtype, shape, plan, software);
  state.project([] {},
                [&] { report_baseline(state, plan, run, moved_baselines(device, dtype, shape, plan, software)); });
}

}  // namespace assay::hardware
