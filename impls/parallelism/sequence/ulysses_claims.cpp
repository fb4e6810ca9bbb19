#include "impls/parallelism/sequence/ulysses_claims.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "impls/parallelism/sequence/sequence_claims.h"
#include "impls/parallelism/sequence/ulysses.h"
#include "impls/substrate/cluster/cluster.h"
#include "impls/substrate/models/operator_time.h"
#include "impls/substrate/models/sequence_ledger.h"
#include "impls/substrate/models/training_step.h"

namespace assay::parallelism {

namespace {

using harness::claims::Projection;
using harness::claims::Setting;
using substrate::RunReport;

RunReport run_layer(const UlyssesPlan& plan, const datasets::Cluster& cluster, const substrate::OperatorModel& seconds,
                    double memory_bandwidth) {
  substrate::ClusterFabric fabric({.cluster = cluster,
                                   .operator_seconds = seconds,
                                   .memory_bandwidth = memory_bandwidth,
                                   .ranks = plan.problem.ranks});
  return fabric.run([&](substrate::Rank& rank) { return ulysses_layer(rank, plan, {}); });
}

std::optional<SequenceProblem> layer_of(const Setting& setting, bool backward) {
  const auto p = layer_shape(setting, backward);
  if (!p) return std::nullopt;
  const bool dealt = p->heads % p->ranks == 0 && (p->kv_heads % p->ranks == 0 || p->ranks % p->kv_heads == 0);
  if (!dealt || p->length < p->ranks) return std::nullopt;
  return p;
}

// Sent per rank and layer, forward unless the setting says otherwise.
std::optional<Projection> project_volume(const Setting& setting) {
  const auto problem = layer_of(setting, setting.axes.has("backward") && setting.axes.flag("backward"));
  if (!problem) return std::nullopt;
  datasets::Cluster any;
  any.devices_per_node = problem->ranks;
  any.intra.bandwidth = 1;
  const RunReport run = run_layer(
      UlyssesPlan(*problem), any, [](const substrate::OpWork&) { return 0.0; }, 1);
  return sent_by_a_rank(run);
}

bool has_model(const Setting& setting) {
  return model_has(setting, {"layers", "hidden", "heads", "kv_heads", "head_dim", "ffn", "vocab", "parameters"});
}

// Bytes a device holds: 16 of state a parameter over all ranks (ZeRO-3), and the activations of a token.
double held_states(const Setting& setting) { return substrate::state_bytes(*setting.model, true) / setting.ranks; }
double held_by_token(const datasets::Model& model) {
  return substrate::activation_bytes(model, {.layout = substrate::ActivationLayout::mem_efficient, .training = true},
                                     1);
}

struct Step {
  SequenceProblem problem;
  double tokens = 0;  // of a rank
  double seconds = 0;
  std::vector<harness::claims::ProjectionPart> parts;
  bool inside_domain = true;
  double rate() const { return tokens / seconds; }
};

Step step_of(const Setting& setting, const SequenceProblem& problem) {
  const datasets::Model& model = *setting.model;
  const datasets::Device& device = *setting.device;
  const datasets::Cluster& cluster = *setting.cluster;
  Step step{.problem = problem, .tokens = static_cast<double>(problem.length) * problem.batch / problem.ranks};

  // Everything but attention sees B L / P tokens of its own.
  const substrate::StepTime rest = substrate::training_step(model, device, nullptr,
                                                            {.sequence = static_cast<std::int64_t>(step.tokens),
                                                             .tokens_per_step = step.tokens,
                                                             .tokens_per_micro_batch = step.tokens,
                                                             .data_parallel = 1,
                                                             .dtype = substrate::OpDtype::bf16});
  step.inside_domain = rest.inside_domain;
  const RunReport run = run_layer(
      UlyssesPlan(problem), cluster,
      [&](const substrate::OpWork& work) {
        const substrate::OperatorTime time = substrate::operator_time(device, work);
        step.inside_domain = step.inside_domain && time.inside_domain;
        return time.seconds;
      },
      device.at("memory_bandwidth"));
  const auto& critical = run.ranks[static_cast<std::size_t>(run.critical_rank())];
  const double layers = model.at("layers");
  const double layer = layers * substrate::to_seconds(run.makespan());
  const double exchange = layers * substrate::to_seconds(critical.exposed);
  const double permute = layers * substrate::to_seconds(critical.busy[1]);

  // ZeRO-3 over all ranks: 16-bit weights gathered for each pass and 16-bit gradients scattered, under way while other
  // layers compute, on rings through all NICs of a node.
  const double all = setting.ranks;
  const bool one_node = setting.ranks <= cluster.devices_per_node;
  const double bandwidth = one_node
                               ? cluster.intra.bandwidth
                               : std::min(cluster.intra.bandwidth, cluster.inter.bandwidth * cluster.nics_per_node);
  const double states = 3 * 2 * model.at("parameters") * (all - 1) / all / bandwidth;
  const double exposed_states = std::max(0.0, states - (rest.products + rest.streaming + layer - exchange));
  const double optimizer = rest.optimizer / all;
  step.seconds = rest.products + rest.streaming + layer + optimizer + exposed_states;
  step.parts = {{"matrix products", "gemm", rest.products},
                {"attention", "attention", layer - exchange - permute},
                {"all-to-all", "collective", exchange},
                {"local transposes", "copy", permute},
                {"normalisation and loss", "norm", rest.streaming},
                {"optimizer", "copy", optimizer},
                {"exposed ZeRO-3 traffic", "collective", exposed_states}};
  return step;
}

// The degree with the highest throughput, each with the largest micro-batch (a power of two) that fits the memory.
std::optional<Step> best_step(const Setting& setting, const SequenceProblem& shape) {
  const double room = setting.device->at("memory_bytes") - held_states(setting);
  std::optional<Step> best;
  for (int degree = 1; degree <= std::min(setting.ranks, shape.heads); degree *= 2) {
    if (setting.ranks % degree != 0 || shape.heads % degree != 0) continue;
    if (shape.kv_heads % degree != 0 && degree % shape.kv_heads != 0) continue;
    const double sequences = room * degree / (held_by_token(*setting.model) * static_cast<double>(shape.length));
    if (sequences < 1) continue;
    SequenceProblem problem = shape;
    problem.ranks = degree;
    while (2.0 * problem.batch <= sequences) problem.batch *= 2;
    const Step step = step_of(setting, problem);
    if (!best || step.rate() > best->rate()) best = step;
  }
  return best;
}

std::optional<Projection> project_step(const Setting& setting, const std::string& quantity) {
  if (!has_model(setting) || !setting.device || !setting.cluster) return std::nullopt;
  const auto problem = layer_of(setting, true);
  if (!problem) return std::nullopt;
  const std::optional<Step> step =
      setting.axes.has("sequence_parallel") ? step_of(setting, *problem) : best_step(setting, *problem);
  if (!step) return std::nullopt;
  const auto value = step_quantity(setting, quantity, problem->length, step->rate(), step->seconds);
  if (!value) return std::nullopt;

  Projection projection;
  projection.value = *value;
  projection.inside_domain = step->inside_domain;
  projection.parts = step->parts;
  projection.note = fmt::format(
      "degree {}, {} sequences in a micro-batch, {} replicas; FLOPs count causal attention once (half of L^2) and no "
      "recomputation; ZeRO-3 traffic is shown only beyond what compute hides; no activation is recomputed",
      step->problem.ranks, step->problem.batch, setting.ranks / step->problem.ranks);
  return projection;
}

// Activations and states are divided over the ranks, so that the sequence is what a device holds times their number.
std::optional<Projection> project_longest(const Setting& setting) {
  if (!has_model(setting) || !setting.device) return std::nullopt;
  const double memory = setting.device->at("memory_bytes");
  const double states = held_states(setting);
  const double each = held_by_token(*setting.model);
  if (states >= memory || each <= 0) return std::nullopt;
  Projection projection;
  projection.value = (memory - states) / each * setting.ranks;
  projection.parts = {{"state", "none", states}, {"activations a token", "none", each}};
  projection.note =
      "memory ledger: 16 bytes of state a parameter over all ranks (ZeRO-3), activations of every layer kept as memory-"
      "efficient attention and an unblocked feed-forward layer need them (Table 1 of arXiv 2310.01889)";
  return projection;
}

}  // namespace

std::optional<Projection> project_ulysses_claim(const Setting& setting, const std::string& quantity) {
  if (quantity == "comm_bytes") return project_volume(setting);
  if (quantity == "max_sequence") return project_longest(setting);
  return project_step(setting, quantity);
}

}  // namespace assay::parallelism
