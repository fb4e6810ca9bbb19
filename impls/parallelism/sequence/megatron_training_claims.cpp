#include "impls/parallelism/sequence/megatron_training_claims.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "impls/parallelism/sequence/megatron_sp.h"
#include "impls/parallelism/sequence/sequence_claims.h"
#include "impls/substrate/cluster/cluster.h"
#include "impls/substrate/models/operator_time.h"
#include "impls/substrate/models/operator_work.h"

namespace assay::parallelism {
namespace {

using harness::claims::Projection;
using harness::claims::Setting;
using substrate::OpDtype;
using substrate::OpKind;
using substrate::OpWork;

enum class Recompute : std::uint8_t { none, selective, full };

std::optional<Recompute> recompute_of(const Setting& setting, const char* axis) {
  if (!setting.axes.has(axis)) return std::nullopt;
  const std::string& text = setting.axes.text(axis);
  if (text == "none") return Recompute::none;
  if (text == "selective") return Recompute::selective;
  if (text == "full") return Recompute::full;
  return std::nullopt;
}

// A layer of a micro-batch of one sequence on the tensor-parallel ranks of a node, 16 bit.
std::optional<SequenceProblem> layer_of(const Setting& setting) {
  if (!model_has(setting, {"layers", "hidden", "heads", "kv_heads", "head_dim", "ffn", "vocab", "parameters"}) ||
      !setting.axes.has("tensor") || !setting.axes.has("sequence_length"))
    return std::nullopt;
  const auto whole = [&](const char* key) { return static_cast<int>(setting.model->at(key)); };
  SequenceProblem p{.length = setting.axes.integer("sequence_length"),
                    .ranks = static_cast<int>(setting.axes.integer("tensor")),
                    .heads = whole("heads"),
                    .kv_heads = whole("kv_heads"),
                    .head_dim = whole("head_dim"),
                    .backward = true};
  if (p.heads % p.ranks != 0 || p.kv_heads % p.ranks != 0) return std::nullopt;
  return p;
}

// What a layer keeps for its backward pass, in bytes a token over the hidden size, with dropout and 16 bit (Section 4
// of the paper), and whether tensor parallelism cuts it. Scores come on top.
struct Kept {
  const char* what;
  double hiddens;
  bool cut_along_heads;
};
constexpr std::array<Kept, 8> kKept{{{"inputs of the two norms", 4, false},
                                     {"input of Q, K, V", 2, false},
                                     {"Q, K and V", 6, true},
                                     {"input of the output product", 2, true},
                                     {"dropout after attention", 1, false},
                                     {"input of the inner layer", 2, false},
                                     {"before and after its activation", 16, true},
                                     {"dropout after it", 1, false}}};
constexpr double kScores = 5;  // bytes a score: softmax, dropout mask, dropped out

std::optional<Projection> activations(const Setting& setting, Recompute recompute, bool tokens_cut) {
  const auto layer = layer_of(setting);
  if (!layer) return std::nullopt;
  const double tokens = static_cast<double>(layer->length), ranks = layer->ranks;
  const double hidden = setting.model->at("hidden");
  Projection projection;
  double kept = 2;  // the layer's input alone
  if (recompute != Recompute::full) {
    kept = 0;
    for (const Kept& each : kKept) kept += each.hiddens / (each.cut_along_heads || tokens_cut ? ranks : 1);
  }
  double bytes = tokens * hidden * kept;
  projection.parts = {{"in and around the products", "none", bytes}};
  if (recompute == Recompute::none) {
    const double scores = kScores * layer->heads * tokens * tokens / ranks;
    projection.parts.push_back({"scores", "none", scores});
    bytes += scores;
  }
  projection.value = bytes;
  projection.note = "bytes a layer and device, every tensor that a layer with dropout keeps in 16 bit (masks in 8)";
  return projection;
}

// Seconds of one layer on the ranks of a node. The attention of the paper writes its scores to memory.
struct LayerTimes {
  double forward = 0, both = 0;  // without computing anything again
  double core = 0;               // attention alone, forward
  bool inside_domain = true;
};

LayerTimes layer_times(const Setting& setting, SequenceProblem layer) {
  LayerTimes times;
  layer.node_ranks = setting.cluster->devices_per_node;
  const auto seconds = [&](const OpWork& asked) {
    OpWork work = asked;
    work.schedule = substrate::AttentionSchedule::materialised;
    const substrate::OperatorTime time = substrate::operator_time(*setting.device, work);
    times.inside_domain = times.inside_domain && time.inside_domain;
    if (work.kind == OpKind::attention) times.core = time.seconds;
    return time.seconds;
  };
  const auto run = [&](bool backward) {
    layer.backward = backward;
    const MegatronPlan plan(layer, static_cast<std::int64_t>(setting.model->at("ffn")));
    substrate::ClusterFabric fabric({.cluster = *setting.cluster,
                                     .operator_seconds = seconds,
                                     .memory_bandwidth = setting.device->at("memory_bandwidth"),
                                     .ranks = layer.ranks});
    return substrate::to_seconds(
        fabric.run([&](substrate::Rank& rank) { return megatron_layer(rank, plan, {}); }).makespan());
  };
  times.forward = run(false);
  times.both = run(true);
  return times;
}

std::optional<Projection> overhead(const Setting& setting, Recompute recompute) {
  const auto layer = layer_of(setting);
  if (!layer || !setting.device || !setting.cluster || recompute == Recompute::none) return std::nullopt;
  const LayerTimes times = layer_times(setting, *layer);
  const double again = recompute == Recompute::full ? times.forward : times.core;
  Projection projection;
  projection.value = again / times.both;
  projection.inside_domain = times.inside_domain;
  projection.parts = {{"computed again", recompute == Recompute::full ? "gemm" : "attention", again},
                      {"forward and backward", "gemm", times.both}};
  projection.note =
      "time of one layer on a node, scores in memory; sequence parallelism on both sides, which only norms would "
      "notice";
  return projection;
}

// 1F1B with interleaved stages: (p-1)/v micro-batches of idle time beside m of work.
std::optional<Projection> pipeline_mfu(const Setting& setting, Recompute recompute) {
  const auto layer = layer_of(setting);
  if (!layer || !setting.device || !setting.cluster || !setting.axes.has("pipeline") || !setting.axes.has("data") ||
      !setting.axes.has("micro_batches"))
    return std::nullopt;
  const datasets::Model& model = *setting.model;
  const datasets::Cluster& cluster = *setting.cluster;
  const auto axis = [&](const char* name) { return static_cast<double>(setting.axes.integer(name)); };
  const double stages = axis("pipeline"), replicas = axis("data"), micro_batches = axis("micro_batches");
  const double turns = setting.axes.has("virtual_stages") ? axis("virtual_stages") : 1;
  const double tensor = layer->ranks, layers = model.at("layers"), hidden = model.at("hidden");
  if (stages * replicas * tensor != setting.ranks) return std::nullopt;
  const auto tokens = static_cast<double>(layer->length);

  LayerTimes times = layer_times(setting, *layer);
  const double again = recompute == Recompute::none ? 0 : recompute == Recompute::full ? times.forward : times.core;
  const auto seconds = [&](const OpWork& work) {
    const substrate::OperatorTime time = substrate::operator_time(*setting.device, work);
    times.inside_domain = times.inside_domain && time.inside_domain;
    return time.seconds;
  };
  const auto whole = [](double value) { return static_cast<std::int64_t>(value); };
  const std::int64_t words = whole(model.at("vocab") / tensor), rows = layer->length, wide = whole(hidden);
  const double head = seconds(substrate::gemm_work(rows, words, wide, OpDtype::bf16)) +
                      seconds(substrate::gemm_work(rows, wide, words, OpDtype::bf16)) +
                      seconds(substrate::gemm_work(wide, words, rows, OpDtype::bf16));
  // A micro-batch crosses every border of stages once a turn and direction, each rank with its tokens.
  const double nic =
      cluster.inter.bandwidth * cluster.nics_per_node / std::min<double>(tensor, cluster.devices_per_node);
  const double hop = cluster.inter.latency + 2 * tokens * hidden / tensor / nic;
  const double work = layers / stages * (times.both + again), sends = stages > 1 ? 2 * turns * hop : 0;
  // The last stage has the head and holds up all.
  const double steady = micro_batches * (work + sends + head), idle = (stages - 1) / turns * (work + sends);
  // Float32 gradients on a ring over the replicas after the last micro-batch, all ranks of a node at once.
  const double cut = model.at("parameters") / stages / tensor;
  const double gradients = replicas > 1 ? 2 * (replicas - 1) / replicas * 4 * cut / nic : 0;
  const double optimizer = seconds(substrate::copy_work(cut * 34 / 2));
  const double step = steady + idle + gradients + optimizer;

  // Equation of the paper's appendix, which counts attention in full: 72 B s l h^2 (1 + s/6h + V/12hl).
  const auto flops = [&](bool whole_square) {
    return 72 * replicas * micro_batches * tokens * layers * hidden * hidden *
           (1 + tokens / ((whole_square ? 6 : 12) * hidden) + model.at("vocab") / (12 * hidden * layers));
  };
  const auto whole_square = counts_whole_square(setting, true);
  if (!whole_square) return std::nullopt;
  Projection projection;
  const double of_peak = 1 / (step * setting.ranks * substrate::peak(*setting.device, OpDtype::bf16));
  projection.value = flops(*whole_square) * of_peak;
  projection.inside_domain = times.inside_domain;
  projection.parts = {{"layers", "gemm", micro_batches * layers / stages * times.both},
                      {"computed again", "attention", micro_batches * layers / stages * again},
                      {"head on the last stage", "gemm", micro_batches * head},
                      {"between stages", "link", micro_batches * sends},
                      {"idle stages", "none", idle},
                      {"gradients of replicas", "collective", gradients},
                      {"optimizer", "copy", optimizer}};
  projection.note = fmt::format(
      "{} micro-batches of a sequence, {} turns of the pipeline; FLOPs of attention {}, {:.3g} with {}, none of what "
      "is "
      "computed again; what crosses stages and the gradients are not hidden",
      micro_batches, turns, *whole_square ? "in full" : "of the causal half", flops(!*whole_square) * of_peak,
      *whole_square ? "the causal half" : "the whole square");
  return projection;
}

}  // namespace

bool is_megatron_training(const Setting& setting) { return setting.axes.has("recompute"); }

std::optional<Projection> project_megatron_training(const Setting& setting, const std::string& quantity) {
  const auto recompute = recompute_of(setting, "recompute");
  if (!recompute) return std::nullopt;
  if (quantity == "activation_bytes") return activations(setting, *recompute, true);
  if (quantity == "overhead") return overhead(setting, *recompute);
  if (quantity == "mfu") return pipeline_mfu(setting, *recompute);
  return std::nullopt;
}

std::optional<Projection> project_megatron_tp(const Setting& setting, const std::string& quantity) {
  if (setting.technique != "parallelism/tensor/megatron-tp") return std::nullopt;
  const auto recompute = recompute_of(setting, "baseline_recompute");
  if (!recompute) return std::nullopt;
  if (quantity == "activation_bytes") return activations(setting, *recompute, false);
  if (quantity == "overhead") return overhead(setting, *recompute);
  return std::nullopt;
}

}  // namespace assay::parallelism
