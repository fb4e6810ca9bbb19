#include "impls/parallelism/sequence/megatron_sp_claims.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <mutex>
#include <vector>

#include "impls/parallelism/sequence/megatron_sp.h"
#include "impls/parallelism/sequence/megatron_training_claims.h"
#include "impls/parallelism/sequence/sequence_claims.h"
#include "impls/substrate/cluster/cluster.h"
#include "impls/substrate/models/operator_time.h"
#include "impls/substrate/models/operator_work.h"
#include "impls/substrate/models/sequence_ledger.h"

namespace assay::parallelism {
namespace {

using harness::claims::Projection;
using harness::claims::Setting;
using substrate::OpDtype;
using substrate::OpWork;
using substrate::RunReport;

RunReport run_layer(const MegatronPlan& plan, const datasets::Cluster& cluster, const substrate::OperatorModel& seconds,
                    double memory_bandwidth) {
  substrate::ClusterFabric fabric({.cluster = cluster,
                                   .operator_seconds = seconds,
                                   .memory_bandwidth = memory_bandwidth,
                                   .ranks = plan.problem.ranks});
  return fabric.run([&](substrate::Rank& rank) { return megatron_layer(rank, plan, {}); });
}

// Counts alone: nothing takes time.
RunReport count_layer(const MegatronPlan& plan) {
  datasets::Cluster any;
  any.devices_per_node = plan.problem.ranks;
  any.intra.bandwidth = 1;
  return run_layer(
      plan, any, [](const OpWork&) { return 0.0; }, 1);
}

// Nothing where the heads cannot be dealt, or for a pipeline.
std::optional<SequenceProblem> layer_of(const Setting& setting, bool backward, std::int64_t open_length = 0) {
  if (setting.axes.has("pipeline")) return std::nullopt;
  auto p = layer_shape(setting, backward, open_length);
  if (!p) return std::nullopt;
  if (p->heads % p->ranks != 0 || p->kv_heads % p->ranks != 0 || p->length < p->ranks) return std::nullopt;
  if (setting.cluster) p->node_ranks = setting.cluster->devices_per_node;
  return p;
}

std::optional<Projection> project_volume(const Setting& setting) {
  const auto problem = layer_of(setting, setting.axes.has("backward") && setting.axes.flag("backward"));
  if (!problem) return std::nullopt;
  return sent_by_a_rank(count_layer(MegatronPlan(*problem)));
}

bool has_model(const Setting& setting) {
  return model_has(setting, {"layers", "hidden", "heads", "head_dim", "ffn", "vocab", "parameters"});
}

std::int64_t inner_of(const Setting& setting) { return static_cast<std::int64_t>(setting.model->at("ffn")); }

// What a device holds: 16 bytes of state for each parameter of its cut of the model, and for every token of the
// sequence its share of the kept activations and what the gathers of one layer hold at their peak, which no degree
// makes smaller.
double held_states(const Setting& setting, int degree) { return substrate::state_bytes(*setting.model, true) / degree; }
double held_by_token(const Setting& setting, SequenceProblem problem) {
  problem.length = std::int64_t{64} * problem.ranks;
  problem.batch = 1;
  problem.backward = true;
  // Counts do not depend on the machine, so that perturbed settings share them.
  static std::mutex guard;
  static std::map<std::array<std::int64_t, 6>, double> counted;
  const std::int64_t inner = inner_of(setting);
  const std::lock_guard lock(guard);
  const auto [entry, fresh] = counted.try_emplace(
      {problem.heads, problem.kv_heads, problem.head_dim, inner, problem.ranks, problem.node_ranks});
  if (fresh) {
    const RunReport run = count_layer(MegatronPlan(problem, inner));
    entry->second = static_cast<double>(run.ranks.front().memory.peak(substrate::Memory::communication)) /
                    static_cast<double>(problem.length);
  }
  const double kept = substrate::activation_bytes(
      *setting.model, {.layout = substrate::ActivationLayout::mem_efficient, .training = true}, 1);
  return kept / problem.ranks + entry->second;
}

struct Step {
  SequenceProblem problem;
  double tokens = 0;  // of all ranks of one replica
  double seconds = 0;
  std::vector<harness::claims::ProjectionPart> parts;
  bool inside_domain = true;
  double rate() const { return tokens / seconds / problem.ranks; }
};

Step step_of(const Setting& setting, const SequenceProblem& problem) {
  const datasets::Model& model = *setting.model;
  const datasets::Device& device = *setting.device;
  const datasets::Cluster& cluster = *setting.cluster;
  Step step{.problem = problem, .tokens = static_cast<double>(problem.length) * problem.batch};
  const auto seconds = [&](const OpWork& work) {
    const substrate::OperatorTime time = substrate::operator_time(device, work);
    step.inside_domain = step.inside_domain && time.inside_domain;
    return time.seconds;
  };
  double attention = 0, products = 0, streaming = 0;
  const auto classified = [&](const OpWork& work) {
    const double time = seconds(work);
    const bool is_attention =
        work.kind == substrate::OpKind::attention || work.kind == substrate::OpKind::attention_backward;
    (is_attention ? attention : work.kind == substrate::OpKind::gemm ? products : streaming) += time;
    return time;
  };
  const double layers = model.at("layers"), ranks = problem.ranks;
  const RunReport run =
      run_layer(MegatronPlan(problem, inner_of(setting)), cluster, classified, device.at("memory_bandwidth"));
  const double layer = layers * substrate::to_seconds(run.makespan());
  const auto& critical = run.ranks[static_cast<std::size_t>(run.critical_rank())];
  const double exchange = layers * substrate::to_seconds(critical.exposed);

  // The output matrix is cut along the vocabulary; every rank sees all tokens.
  const auto rows = static_cast<std::int64_t>(step.tokens);
  const auto hidden = static_cast<std::int64_t>(model.at("hidden"));
  const auto words = static_cast<std::int64_t>(model.at("vocab") / ranks);
  const double head = seconds(substrate::gemm_work(rows, words, hidden, OpDtype::bf16)) +
                      seconds(substrate::gemm_work(rows, hidden, words, OpDtype::bf16)) +
                      seconds(substrate::gemm_work(hidden, words, rows, OpDtype::bf16));
  const double scores = step.tokens * static_cast<double>(words);
  const double loss = seconds(substrate::norm_work(scores, 0, OpDtype::bf16)) +
                      seconds(substrate::pointwise_work(scores, scores, OpDtype::bf16));
  // Adam in float32 and the cast to 16 bit, of the rank's cut.
  const double optimizer = seconds(substrate::copy_work(model.at("parameters") / ranks * 34 / 2));

  // Replicas add their float32 gradients on rings, hidden behind the backward pass. The cuts of a node leave it
  // through its NICs side by side.
  const double replicas = static_cast<double>(setting.ranks) / ranks;
  double exposed_gradients = 0;
  if (replicas > 1) {
    const bool one_node = setting.ranks <= cluster.devices_per_node;
    const double cuts = std::min<double>(ranks, cluster.devices_per_node);
    const double bandwidth =
        one_node ? cluster.intra.bandwidth
                 : std::min(cluster.intra.bandwidth, cluster.inter.bandwidth * cluster.nics_per_node / cuts);
    const double latency = one_node ? cluster.intra.latency : cluster.inter.latency;
    const double reduce =
        2 * (replicas - 1) / replicas * 4 * model.at("parameters") / ranks / bandwidth + 2 * (replicas - 1) * latency;
    if (reduce > layer / 2) {  // the backward pass is the longer half: below that it hides all
      SequenceProblem forward = problem;
      forward.backward = false;
      const RunReport first =
          run_layer(MegatronPlan(forward, inner_of(setting)), cluster, seconds, device.at("memory_bandwidth"));
      exposed_gradients = std::max(0.0, reduce - (layer - layers * substrate::to_seconds(first.makespan())));
    }
  }
  step.seconds = layer + head + loss + optimizer + exposed_gradients;
  // Operators of all ranks were summed; the ranks are alike but for a token.
  const double each = layers / ranks, busy = each * (attention + products + streaming);
  step.parts = {{"matrix products", "gemm", each * products + head},
                {"attention", "attention", each * attention},
                {"all-gathers and reduce-scatters", "collective", exchange},
                {"normalisation, activation, sums and loss", "norm", each * streaming + loss},
                {"waiting for other engines", "none", std::max(0.0, layer - exchange - busy)},
                {"optimizer", "copy", optimizer},
                {"exposed gradients of replicas", "collective", exposed_gradients}};
  return step;
}

// The degree with the highest throughput, each with the largest micro-batch (a power of two) that fits the memory.
std::optional<Step> best_step(const Setting& setting, const SequenceProblem& shape) {
  std::optional<Step> best;
  for (int degree = 1; degree <= std::min(setting.ranks, shape.heads); degree *= 2) {
    if (setting.ranks % degree != 0 || shape.heads % degree != 0 || shape.kv_heads % degree != 0) continue;
    SequenceProblem problem = shape;
    problem.ranks = degree;
    const double room = setting.device->at("memory_bytes") - held_states(setting, degree);
    const double sequences = room / (held_by_token(setting, problem) * static_cast<double>(shape.length));
    if (sequences < 1) continue;
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
      "Megatron-SP at degree {}, {} sequences in a micro-batch, {} replicas; state is cut by the degree alone (no "
      "ZeRO); gathers between nodes through all NICs; no activation is recomputed",
      step->problem.ranks, step->problem.batch, setting.ranks / step->problem.ranks);
  return projection;
}

std::optional<Projection> project_longest(const Setting& setting) {
  if (!has_model(setting) || !setting.device) return std::nullopt;
  const auto problem = layer_of(setting, true, std::int64_t{64} * setting.ranks);
  if (!problem) return std::nullopt;
  const double memory = setting.device->at("memory_bytes"), states = held_states(setting, problem->ranks);
  const double each = held_by_token(setting, *problem);
  if (states >= memory) return std::nullopt;
  Projection projection;
  projection.value = (memory - states) / each;
  projection.parts = {{"state", "none", states}, {"activations a token of the sequence", "none", each}};
  projection.note =
      "memory ledger: 16 bytes of state a parameter over the ranks, activations of every layer as memory-efficient "
      "attention and an unblocked feed-forward layer need them (Table 1 of arXiv 2310.01889) over the ranks, and the "
      "gathered activations of one layer whole on every rank, as counted in the program";
  return projection;
}

}  // namespace

std::optional<Projection> project_megatron_claim(const Setting& setting, const std::string& quantity) {
  if (is_megatron_training(setting)) return project_megatron_training(setting, quantity);
  if (quantity == "comm_bytes") return project_volume(setting);
  if (quantity == "max_sequence") return project_longest(setting);
  return project_step(setting, quantity);
}

}  // namespace assay::parallelism
