#include "impls/parallelism/sequence/sequence_claims.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "impls/substrate/models/operator_time.h"
#include "impls/substrate/models/sequence_ledger.h"
#include "impls/substrate/models/training_step.h"

namespace assay::parallelism {

using harness::claims::Projection;
using harness::claims::Setting;

std::optional<SequenceProblem> layer_shape(const Setting& setting, bool backward, std::int64_t open_length) {
  const auto number = [&](const char* name) -> std::int64_t {
    if (setting.axes.has(name)) return setting.axes.integer(name);
    return setting.model && setting.model->numbers.contains(name)
               ? static_cast<std::int64_t>(setting.model->numbers.at(name))
               : 0;
  };
  SequenceProblem p{
      .length = setting.axes.has("sequence_length") ? setting.axes.integer("sequence_length") : open_length,
      .heads = static_cast<int>(number("heads")),
      .kv_heads = static_cast<int>(number("kv_heads")),
      .head_dim = static_cast<int>(number("head_dim")),
      .causal = !setting.axes.has("causal") || setting.axes.flag("causal"),
      .backward = backward};
  if (p.length == 0 || p.heads == 0 || p.head_dim == 0 || setting.dtype != "bf16") return std::nullopt;
  if (p.kv_heads == 0) p.kv_heads = p.heads;
  if (setting.axes.has("batch")) p.batch = static_cast<int>(setting.axes.integer("batch"));
  p.ranks = setting.axes.has("sequence_parallel") ? static_cast<int>(setting.axes.integer("sequence_parallel"))
                                                  : std::min(setting.ranks, p.heads);
  return p;
}

bool model_has(const Setting& setting, std::initializer_list<const char*> numbers) {
  if (!setting.model) return false;
  return std::ranges::all_of(numbers, [&](const char* needed) { return setting.model->numbers.contains(needed); });
}

Projection sent_by_a_rank(const substrate::RunReport& counts) {
  Projection projection;
  projection.value = static_cast<double>(counts.ranks.front().bytes_sent());
  projection.parts = {{"bytes sent by a rank, counted in the program", "none", projection.value}};
  projection.note = "counted, with the factor (P-1)/P: a rank's part for itself is not sent";
  return projection;
}

bool has_step_model(const Setting& setting) {
  return model_has(setting, {"layers", "hidden", "heads", "kv_heads", "head_dim", "ffn", "vocab", "parameters"});
}

double held_states(const Setting& setting) { return substrate::state_bytes(*setting.model, true) / setting.ranks; }
double held_by_token(const datasets::Model& model) {
  return substrate::activation_bytes(model, {.layout = substrate::ActivationLayout::mem_efficient, .training = true},
                                     1);
}

double ring_bandwidth(const datasets::Cluster& cluster, int ranks) {
  if (ranks <= cluster.devices_per_node) return cluster.intra.bandwidth;
  return std::min(cluster.intra.bandwidth, cluster.inter.bandwidth * cluster.nics_per_node);
}

std::string name_of(const SequenceProblem& p) {
  return fmt::format("{} {} {} {} {} {} {} {} {} {} {}", p.length, p.ranks, p.batch, p.heads, p.kv_heads, p.head_dim,
                     static_cast<int>(p.dtype), p.causal, p.backward, static_cast<int>(p.layout), p.node_ranks);
}

LayerRun run_layer(const Setting& setting, const RankProgram& program, int ranks) {
  return run_on_cluster(
      *setting.device, *setting.cluster, ranks,
      [&](const substrate::OpWork& work) { return substrate::operator_time(*setting.device, work); }, program);
}

LayerRun run_layer(const Setting& setting, const std::string& name, int ranks,
                   const std::function<RankProgram()>& make) {
  return run_or_remember(
      name, *setting.device, *setting.cluster, ranks,
      [&](const substrate::OpWork& work) { return substrate::operator_time(*setting.device, work); }, make);
}

std::optional<bool> counts_whole_square(const Setting& setting, bool unsaid) {
  if (!setting.axes.has("flop_convention")) return unsaid;
  const std::string convention = setting.axes.text("flop_convention");
  if (convention == "full") return true;
  if (convention == "causal-halved") return false;
  return std::nullopt;
}

double flops_of_token(const datasets::Model& model, std::int64_t length, bool whole_square) {
  return 6 * model.at("parameters") + (whole_square ? 12 : 6) * model.at("layers") * model.at("heads") *
                                          model.at("head_dim") * static_cast<double>(length);
}

std::optional<double> step_quantity(const Setting& setting, const std::string& quantity, std::int64_t length,
                                    double rate, double seconds) {
  const auto whole_square = counts_whole_square(setting, false);
  if (!whole_square) return std::nullopt;
  const double flops_rate = flops_of_token(*setting.model, length, *whole_square) * rate;
  if (quantity == "throughput") return rate * setting.ranks;
  if (quantity == "device_flops") return flops_rate;
  if (quantity == "mfu") return flops_rate / substrate::peak(*setting.device, substrate::OpDtype::bf16);
  if (quantity == "step_time") return seconds;
  return std::nullopt;
}

namespace {

struct Step {
  SequenceProblem problem;
  double tokens = 0;  // of a rank
  double seconds = 0;
  std::vector<harness::claims::ProjectionPart> parts;
  bool inside_domain = true;
  double rate() const { return tokens / seconds; }
};

Step step_of(const Setting& setting, const SequenceProblem& problem, const ProgramOfLayer& program) {
  const datasets::Model& model = *setting.model;
  const datasets::Cluster& cluster = *setting.cluster;
  Step step{.problem = problem, .tokens = static_cast<double>(problem.length) * problem.batch / problem.ranks};

  // Everything but attention sees B L / P tokens of its own.
  const substrate::StepTime rest = substrate::training_step(model, *setting.device, nullptr,
                                                            {.sequence = static_cast<std::int64_t>(step.tokens),
                                                             .tokens_per_step = step.tokens,
                                                             .tokens_per_micro_batch = step.tokens,
                                                             .data_parallel = 1,
                                                             .dtype = substrate::OpDtype::bf16});
  const LayerRun run = run_layer(setting, fmt::format("{} {}", program.name, name_of(problem)), problem.ranks,
                                 [&] { return program.make(problem); });
  step.inside_domain = rest.inside_domain && run.inside_domain;
  const double layers = model.at("layers");
  const double layer = layers * run.seconds, exchange = layers * run.exposed, copies = layers * run.copying;

  // ZeRO-3 over all ranks: 16-bit weights gathered for each pass and 16-bit gradients scattered, under way while other
  // layers compute, on rings through all NICs of a node.
  const double all = setting.ranks;
  const double states = 3 * 2 * model.at("parameters") * (all - 1) / all / ring_bandwidth(cluster, setting.ranks);
  const double exposed_states = std::max(0.0, states - (rest.products + rest.streaming + layer - exchange));
  const double optimizer = rest.optimizer / all;
  step.seconds = rest.products + rest.streaming + layer + optimizer + exposed_states;
  step.parts = {{"matrix products", "gemm", rest.products},
                {"attention", "attention", layer - exchange - copies},
                {"exposed exchange", "collective", exchange},
                {"local transposes", "copy", copies},
                {"normalisation and loss", "norm", rest.streaming},
                {"optimizer", "copy", optimizer},
                {"exposed ZeRO-3 traffic", "collective", exposed_states}};
  return step;
}

std::optional<Projection> answer(const Setting& setting, const std::string& quantity, const Step& step) {
  const auto value = step_quantity(setting, quantity, step.problem.length, step.rate(), step.seconds);
  if (!value) return std::nullopt;
  Projection projection;
  projection.value = *value;
  projection.inside_domain = step.inside_domain;
  projection.parts = step.parts;
  projection.note = fmt::format(
      "degree {}, {} sequences in a micro-batch, {} replicas; ZeRO-3 traffic is shown only beyond what compute hides; "
      "no "
      "activation is recomputed",
      step.problem.ranks, step.problem.batch, setting.ranks / step.problem.ranks);
  if (quantity == "mfu" || quantity == "device_flops") {
    const bool whole_square = *counts_whole_square(setting, false);
    const std::int64_t length = step.problem.length;
    const double other = *value * flops_of_token(*setting.model, length, !whole_square) /
                         flops_of_token(*setting.model, length, whole_square);
    projection.note +=
        whole_square ? fmt::format("; FLOPs count the whole square of attention; with its causal half {:.3g}", other)
                     : fmt::format("; FLOPs count the causal half of attention; with the whole square {:.3g}", other);
  }
  return projection;
}

}  // namespace

std::optional<Projection> project_layer_step(const Setting& setting, const std::string& quantity,
                                             const SequenceProblem& layer, const ProgramOfLayer& program) {
  if (!has_step_model(setting) || !setting.device || !setting.cluster) return std::nullopt;
  SequenceProblem training = layer;
  training.backward = true;
  return answer(setting, quantity, step_of(setting, training, program));
}

std::optional<Projection> project_best_layer_step(const Setting& setting, const std::string& quantity,
                                                  const SequenceProblem& shape, const ProgramOfLayer& program,
                                                  const std::function<bool(const SequenceProblem&)>& can_deal) {
  if (!has_step_model(setting) || !setting.device || !setting.cluster) return std::nullopt;
  const double room = setting.device->at("memory_bytes") - held_states(setting);
  std::optional<Step> best;
  for (int degree = 1; degree <= setting.ranks; degree *= 2) {
    SequenceProblem problem = shape;
    problem.ranks = degree;
    problem.backward = true;
    if (setting.ranks % degree != 0 || !can_deal(problem)) continue;
    const double sequences = room * degree / (held_by_token(*setting.model) * static_cast<double>(shape.length));
    if (sequences < 1) continue;
    while (2.0 * problem.batch <= sequences) problem.batch *= 2;
    const Step step = step_of(setting, problem, program);
    if (!best || step.rate() > best->rate()) best = step;
  }
  return best ? answer(setting, quantity, *best) : std::nullopt;
}

}  // namespace assay::parallelism
