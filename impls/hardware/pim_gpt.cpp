// PIM-GPT: a hybrid process-in-memory accelerator for autoregressive transformers (arXiv 2310.09385).
//
//   GDDR6 with a MAC unit in every bank keeps the weights, keys and values and multiplies them where they lie; a small
//   arithmetic chip does the rest with adders and multipliers. One token, batch 1:
//
//     x = embedding[token] + position
//     for each layer:
//       q, k, v = W_qkv LayerNorm(x)                 banks; partial sums of chunks on the chip
//       K[t] = k (one row of one bank);  V[:, t] = v (one element into every row)
//       s = K q / sqrt(d);  p = softmax(s);  o = V p banks, chip, banks
//       x += W_o o;  x += W_2 GELU(W_1 LayerNorm(x)) banks, chip
//     next token = argmax W_e LayerNorm(x)
//
//   Fast because all 128 banks stream rows at 32 bytes a nanosecond (4.1 TB/s; a T4 has 0.32): a batch of one is bound
//   by reading weights. What is lost: opening and closing a row for every 64 columns, refresh, results that wait for
//   the pins, the chip's own time, in which the banks stand still.
//
// The model is the command-level one of impls/hardware/pim: commands issue when DRAM timing allows, tokens are
// generated one after the other. See docs/pim.md.
#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "datasets/machine.h"
#include "harness/claims/residuals.h"
#include "harness/registry.h"
#include "harness/state.h"
#include "impls/hardware/pim/decode_baseline.h"
#include "impls/hardware/pim/pim_claims.h"
#include "impls/hardware/pim/pim_run.h"

namespace assay::hardware {
namespace {

using harness::State;
using harness::claims::Reach;
using results_db::Provenance;

datasets::Device device_of(State& state) {
  const datasets::Device device = datasets::load_device(state.text("device"), datasets::data_root());
  state.descriptor("device:" + device.id, device.hash);
  return changed(device, {.channels = state.real("channels"),
                          .pin_rate = state.real("pin_rate"),
                          .asic_clock = state.real("asic_clock"),
                          .activation = state.text("activation")});
}

// How far the residuals of the descriptor's constants move the time and the energy of a token, as factors of them, one
// constant at either end after the other. Both are close to linear in the position, so that a few tokens in the middle
// stand for all.
struct Moved {
  std::string cause;
  double seconds = 1, joules = 1;
};
std::vector<Moved> moves_of(const datasets::Device& descriptor, const GptShape& gpt, const DecodePlan& plan) {
  constexpr std::int64_t kTokens = 4;
  DecodePlan middle = plan;
  middle.from = std::max<std::int64_t>(0, (plan.steps() - kTokens) / 2);
  middle.prompt = 0;
  middle.generated = std::min(plan.steps(), middle.from + kTokens);
  const auto of = [&](const std::string& cause, const datasets::Device& device) {
    const PimDevice pim = pim_device(device);
    const PimRun run = decode(Mapping(gpt, pim), middle);
    return Moved{cause, substrate::to_seconds(run.total), energy_of(run, pim).total()};
  };
  const Moved nominal = of("", descriptor);
  std::vector<Moved> moves;
  harness::claims::move_constants(descriptor, [&](const std::string& key, const datasets::Device& moved) {
    moves.push_back(of(key, moved));
    moves.back().seconds /= nominal.seconds;
    moves.back().joules /= nominal.joules;
  });
  return moves;
}

void report(State& state, const Mapping& mapping, const DecodePlan& plan, const PimRun& run,
            const std::vector<Moved>& moves) {
  const PimDevice& device = mapping.device();
  const ChannelCounts counts = run.counts();
  const EnergyParts energy = energy_of(run, device);
  const double total = substrate::to_seconds(run.total);
  const double first = substrate::to_seconds(run.first_token);
  const auto tokens = static_cast<double>(plan.generated);
  const auto metric = [&](const char* name, double value, const char* unit) {
    state.report({name, value, unit, Provenance::projected, {}, {}});
  };
  // `by` says what a move of time and energy does to the value, as a factor.
  const auto within = [&](const std::string& name, double value, const char* unit, auto by) {
    Reach reach(value);
    for (const Moved& moved : moves) reach.add(moved.cause, value * by(moved));
    state.report({name, value, unit, Provenance::projected, std::max(0.0, reach.low()), reach.high()});
  };
  const auto longer = [](const Moved& moved) { return moved.seconds; };
  const auto dearer = [](const Moved& moved) { return moved.joules; };
  within("step_time", total / static_cast<double>(plan.steps()), "s", longer);
  within("e2e_latency", total, "s", longer);
  within("ttft", first, "s", longer);
  if (plan.generated > 1) within("tpot", (total - first) / (tokens - 1), "s", longer);
  within("throughput", tokens / total, "token/s", [](const Moved& moved) { return 1 / moved.seconds; });
  within("energy", energy.total(), "J", dearer);
  within("energy_per_token", energy.total() / tokens, "J/token", dearer);
  within("power", energy.total() / total, "W", [](const Moved& moved) { return moved.joules / moved.seconds; });
  const double columns = static_cast<double>(counts.bank_columns(device.banks));
  metric("hit_rate", 1 - static_cast<double>(counts.activations) / columns, "1");
  metric("utilization", substrate::to_seconds(counts.macs * device.time.ccd) / (total * device.channels), "1");
  metric("dram_bytes", static_cast<double>(counts.pin_columns()) * device.column_bytes, "B");
  metric("cycles", static_cast<double>(run.total) / static_cast<double>(device.time.clock), "cycle");
  metric("overhead", substrate::to_seconds(run.outside_multiplication()) / total, "1");

  const datasets::Device gpu = datasets::load_device("t4", datasets::data_root());
  state.descriptor("device:" + gpu.id, gpu.hash);
  for (const Software& software : {roofline_software(), framework_software(gpu)}) {
    const BaselineRun baseline = decode_on(gpu, "fp16", mapping.shape(), plan, software);
    // Either machine may be off.
    Reach faster(baseline.seconds / total), leaner(baseline.joules / energy.total());
    const double speed = baseline.seconds / total, gain = baseline.joules / energy.total();
    for (const Moved& moved : moves) {
      faster.add(moved.cause, speed / moved.seconds);
      leaner.add(moved.cause, gain / moved.joules);
    }
    for (const auto& [cause, other] : moved_baselines(gpu, "fp16", mapping.shape(), plan, software)) {
      faster.add("gpu " + cause, other.seconds / total);
      leaner.add("gpu " + cause, other.joules / energy.total());
    }
    state.report({"speedup_over_gpu_" + software.name, speed, "1", Provenance::projected, faster.low(), faster.high()});
    state.report(
        {"energy_gain_over_gpu_" + software.name, gain, "1", Provenance::projected, leaner.low(), leaner.high()});
    if (software.name == "roofline")
      metric("traffic_reduction", baseline.bytes / (static_cast<double>(counts.pin_columns()) * device.column_bytes),
             "1");
  }

  for (const InstructionTime& each : run.last_token)
    state.interval({each.step < Step::norm ? "channels" : "chip",
                    fmt::format("{} {}", to_string(each.step), each.layer), each.start - run.last_token.front().start,
                    each.end - run.last_token.front().start});
  for (std::size_t i = 0; i < kSteps; ++i)
    state.breakdown({std::string(to_string(static_cast<Step>(i))), "time", substrate::to_seconds(run.time[i]),
                     Provenance::projected});
  const std::pair<const char*, double> parts[] = {{"activate", energy.activate}, {"mac", energy.mac},
                                                  {"pins", energy.pins},         {"refresh", energy.refresh},
                                                  {"standby", energy.standby},   {"asic", energy.asic}};
  for (const auto& [name, joules] : parts) state.breakdown({name, "energy", joules, Provenance::projected});
  const std::pair<const char*, std::int64_t> traffic[] = {
      {"vectors", counts.vectors}, {"results", counts.results}, {"reads", counts.reads}, {"writes", counts.writes}};
  for (const auto& [name, pin_columns] : traffic)
    state.breakdown({name, "bytes", static_cast<double>(pin_columns) * device.column_bytes, Provenance::projected});
}

void run(State& state) {
  const datasets::Model model = datasets::load_model(state.text("model"), datasets::data_root());
  state.descriptor("model:" + model.id, model.hash);
  const datasets::Device descriptor = device_of(state);
  const Mapping mapping(gpt_shape(model), pim_device(descriptor));
  // Nobody has measured such a package.
  state.descriptor("domain:calibrated", "outside: no measurement of a PIM package");
  const DecodePlan plan{.prompt = state.integer("prompt"), .generated = state.integer("generated")};
  PimRun decoded;
  state.project([&] { decoded = decode(mapping, plan); },
                [&] { report(state, mapping, plan, decoded, moves_of(descriptor, mapping.shape(), plan)); });
}

harness::Value word(const char* text) { return harness::Value(std::string(text)); }
harness::Value whole(std::int64_t value) { return harness::Value(value); }

harness::Axis multiple(const char* name, const char* help) {
  return {.name = name,
          .defaults = {harness::Value(1.0)},
          .help = help,
          .minimum = 1e-3,
          .dimension = datasets::Dimension::fraction};
}

const harness::Registration registration({
    .id = "hardware/pim-gpt",
    .title = "PIM-GPT: A Hybrid Process-in-Memory Accelerator for Autoregressive Transformers",
    .paper = "arXiv 2310.09385",
    .summary = "GPT decoding on GDDR6 with a MAC unit in every bank, command-level model",
    .implementations =
        {{.fabrics = {"cluster"},
          .axes = {{.name = "model", .defaults = {word("gpt2-xl")}, .help = "model descriptor"},
                   {.name = "prompt",
                    .defaults = {whole(0)},
                    .help = "tokens read before the first is generated",
                    .minimum = 0},
                   {.name = "generated", .defaults = {whole(1024)}, .help = "tokens generated"},
                   {.name = "device", .defaults = {word("pim-gpt")}, .help = "device descriptor"},
                   multiple("channels", "GDDR6 channels, as a multiple of the descriptor's"),
                   multiple("pin_rate", "rate of a data pin, as a multiple of the descriptor's"),
                   multiple("asic_clock", "clock of the arithmetic chip, likewise: 10% is 100 MHz"),
                   {.name = "activation",
                    .defaults = {word("descriptor")},
                    .help = "how a row is opened in all banks: ganged and single keep tFAW for each bank",
                    .allowed = {word("descriptor"), word("ganged"), word("single")}}},
          .run = run,
          .source_file = __FILE__}},
    .project = project_pim_gpt,
});

}  // namespace
}  // namespace assay::hardware
