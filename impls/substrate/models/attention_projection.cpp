#include "impls/substrate/models/attention_projection.h"

#include <fmt/format.h>

#include "impls/substrate/models/operator_time.h"
#include "impls/substrate/models/operator_work.h"
#include "impls/substrate/models/training_step.h"

namespace assay::substrate {
namespace {

using harness::claims::Projection;
using harness::claims::Setting;

const char* operator_class(AttentionSchedule schedule) {
  return schedule == AttentionSchedule::flash2 ? "attention" : "attention, not validated";
}

struct KernelCase {
  AttentionShape shape;
  bool forward = true, backward = false;
};

// The kernel a configuration describes; nothing where it leaves the shape open or counts by another convention.
std::optional<KernelCase> kernel_case(const Setting& setting) {
  for (const char* needed : {"sequence_length", "batch", "heads", "head_dim", "causal", "backward"}) {
    if (!setting.axes.has(needed)) return std::nullopt;
  }
  const std::string convention =
      setting.axes.has("flop_convention") ? setting.axes.text("flop_convention") : "causal-halved";
  if (convention != "causal-halved") return std::nullopt;
  KernelCase kernel;
  const std::string& passes = setting.axes.text("backward");
  if (passes != "none" && passes != "only" && passes != "both") return std::nullopt;
  kernel.forward = passes != "only";
  kernel.backward = passes != "none";
  kernel.shape.batch = setting.axes.integer("batch");
  kernel.shape.heads = setting.axes.integer("heads");
  kernel.shape.kv_heads = setting.axes.has("kv_heads") ? setting.axes.integer("kv_heads") : kernel.shape.heads;
  kernel.shape.sequence = kernel.shape.keys = setting.axes.integer("sequence_length");
  kernel.shape.head_dim = setting.axes.integer("head_dim");
  kernel.shape.causal = setting.axes.flag("causal");
  return kernel;
}

std::optional<Projection> project_kernel(const Setting& setting, const std::string& quantity,
                                         AttentionSchedule schedule) {
  const auto kernel = kernel_case(setting);
  if (!kernel) return std::nullopt;
  const OpDtype dtype = op_dtype(setting.dtype);
  const AttentionShape& shape = kernel->shape;
  const double pairs = static_cast<double>(shape.sequence) * static_cast<double>(shape.keys) / (shape.causal ? 2 : 1);
  const double forward_flops =
      4 * pairs * static_cast<double>(shape.head_dim) * static_cast<double>(shape.heads * shape.batch);
  double flops = 0;
  OperatorTime total;
  Projection projection;
  const auto add = [&](const OpWork& work, double share) {
    const OperatorTime time = operator_time(*setting.device, work);
    flops += share * forward_flops;
    total.seconds += time.seconds;
    total.matmul += time.matmul;
    total.softmax += time.softmax;
    total.traffic += time.traffic;
    projection.inside_domain = projection.inside_domain && time.inside_domain;
  };
  if (kernel->forward) add(attention_work(shape, schedule, dtype), 1);
  if (kernel->backward) add(attention_backward_work(shape, schedule, dtype), 2.5);
  projection.parts = {{"matrix products", "gemm", total.matmul},
                      {"softmax", operator_class(schedule), total.softmax},
                      {"memory traffic", operator_class(schedule), total.traffic}};
  const double rate = flops / total.seconds;
  if (quantity == "throughput" || quantity == "device_flops") {
    projection.value = rate;
  } else if (quantity == "mfu") {
    projection.value = rate / peak(*setting.device, dtype);
  } else if (quantity == "operator_time") {
    projection.value = total.seconds;
  } else {
    return std::nullopt;
  }
  return projection;
}

std::optional<Projection> project_training(const Setting& setting, const std::string& quantity,
                                           AttentionSchedule schedule) {
  if (!setting.axes.has("sequence_length") || !setting.axes.has("flop_convention")) return std::nullopt;
  // The one convention mapped here; another one counts other FLOPs and must not be judged by this.
  if (!setting.axes.text("flop_convention").starts_with("6 N parameters + 12 layers hidden N^2")) return std::nullopt;
  for (const char* needed : {"layers", "hidden", "heads", "kv_heads", "head_dim", "ffn", "vocab", "parameters"}) {
    if (!setting.model->numbers.contains(needed)) return std::nullopt;
  }
  TrainingCase c;
  c.sequence = setting.axes.integer("sequence_length");
  c.data_parallel = setting.axes.has("data") ? static_cast<int>(setting.axes.integer("data")) : setting.ranks;
  c.tokens_per_step = 1024.0 * 1024;
  c.tokens_per_micro_batch = 16384;
  if (static_cast<double>(c.sequence) > c.tokens_per_micro_batch) {
    c.tokens_per_micro_batch = static_cast<double>(c.sequence);
  }
  c.dtype = op_dtype(setting.dtype);
  c.schedule = schedule;
  const datasets::Cluster* cluster = setting.cluster ? &*setting.cluster : nullptr;
  const StepTime step = training_step(*setting.model, *setting.device, cluster, c);

  Projection projection;
  projection.inside_domain = step.inside_domain;
  projection.note =
      "global batch of 1M tokens (GPT-3's for these sizes) in micro-batches of 16K tokens a GPU; no "
      "recomputation; memory limits of the arm not modelled";
  projection.parts = {{"matrix products", "gemm", step.products},
                      {"attention", operator_class(schedule), step.attention},
                      {"normalisation and loss", "norm", step.streaming},
                      {"optimizer", "copy", step.optimizer},
                      {"exposed all-reduce", "collective", step.exposed_all_reduce}};
  const double tokens = step.micro_batches * c.tokens_per_micro_batch;  // of one device
  const double rate = model_flops_per_token(*setting.model, static_cast<double>(c.sequence)) * tokens / step.seconds;
  if (quantity == "throughput") {
    projection.value = tokens * c.data_parallel / step.seconds;
  } else if (quantity == "device_flops") {
    projection.value = rate;
  } else if (quantity == "mfu") {
    projection.value = rate / peak(*setting.device, c.dtype);
  } else if (quantity == "step_time") {
    projection.value = step.seconds;
  } else {
    return std::nullopt;
  }
  return projection;
}

}  // namespace

std::optional<Projection> project_attention(const Setting& setting, const std::string& quantity,
                                            AttentionSchedule schedule) {
  if (!setting.device) return std::nullopt;
  return setting.model ? project_training(setting, quantity, schedule) : project_kernel(setting, quantity, schedule);
}

std::optional<Projection> project_longest_sequence(const Setting& setting, const std::string& quantity,
                                                   ActivationLayout layout) {
  if (quantity != "max_sequence" || !setting.device || !setting.model) return std::nullopt;
  for (const char* needed : {"layers", "hidden", "heads", "parameters"}) {
    if (!setting.model->numbers.contains(needed)) return std::nullopt;
  }
  LedgerCase c;
  c.layout = layout;
  c.batch = setting.axes.has("batch") ? setting.axes.real("batch") : 1;
  c.training = setting.axes.has("backward") && setting.axes.flag("backward");
  if (layout == ActivationLayout::ring) c.devices = setting.ranks;
  Projection projection;
  projection.value = longest_sequence(*setting.model, *setting.device, c);
  if (projection.value <= 0) return std::nullopt;
  projection.parts = {{"state", "none", state_bytes(*setting.model, c.training)},
                      {"activations", "none", activation_bytes(*setting.model, c, projection.value)}};
  projection.note =
      "memory ledger: activations by Table 1 of arXiv 2310.01889, state of 16 bytes a parameter in training, "
      "2 in inference, the activations of every layer kept in training and of one in inference";
  if (layout == ActivationLayout::ring) projection.note += "; tokens of all devices together, parameters whole on each";
  return projection;
}

}  // namespace assay::substrate
