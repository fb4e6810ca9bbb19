#include "impls/substrate/models/training_step.h"

#include <algorithm>
#include <cmath>

#include "impls/substrate/models/operator_time.h"
#include "impls/substrate/models/operator_work.h"

namespace assay::substrate {
namespace {

std::int64_t whole(double value) { return static_cast<std::int64_t>(value); }

// Sums operators of one device and keeps whether all were inside the calibrated domain.
struct Adder {
  const datasets::Device& device;
  bool inside = true;
  double operator()(const OpWork& work) {
    const OperatorTime time = operator_time(device, work);
    inside = inside && time.inside_domain;
    return time.seconds;
  }
};

}  // namespace

double model_flops_per_token(const datasets::Model& model, double sequence) {
  return 6 * model.at("parameters") + 12 * model.at("layers") * model.at("hidden") * sequence;
}

StepTime training_step(const datasets::Model& model, const datasets::Device& device, const datasets::Cluster* cluster,
                       const TrainingCase& c) {
  const double tokens = c.tokens_per_micro_batch, hidden = model.at("hidden"), layers = model.at("layers");
  const double vocab = model.at("vocab"), heads = model.at("heads"), kv_heads = model.at("kv_heads");
  const double width = model.at("head_dim"), inner = model.at("ffn"), parameters = model.at("parameters");
  Adder seconds{device};
  StepTime step;
  step.micro_batches = std::max(1.0, c.tokens_per_step / (tokens * c.data_parallel));

  // Forward product [tokens x in] [in x out], then its two gradients.
  double forward_products = 0, backward_products = 0;
  const auto product = [&](double in, double out, double times) {
    forward_products += times * seconds(gemm_work(whole(tokens), whole(out), whole(in), c.dtype));
    backward_products += times * seconds(gemm_work(whole(tokens), whole(in), whole(out), c.dtype));
    backward_products += times * seconds(gemm_work(whole(in), whole(out), whole(tokens), c.dtype));
  };
  product(hidden, (heads + 2 * kv_heads) * width, layers);
  product(heads * width, hidden, layers);
  const auto gated = model.numbers.find("gated");  // a second inner projection
  product(hidden, inner * (gated != model.numbers.end() && gated->second > 0 ? 2 : 1), layers);
  product(inner, hidden, layers);
  product(hidden, vocab, 1);

  const AttentionShape shape{.batch = whole(tokens) / c.sequence,
                             .heads = whole(heads),
                             .kv_heads = whole(kv_heads),
                             .sequence = c.sequence,
                             .keys = c.sequence,
                             .head_dim = whole(width),
                             .causal = true};
  const double forward_attention = layers * seconds(attention_work(shape, c.schedule, c.dtype));
  const double backward_attention = layers * seconds(attention_backward_work(shape, c.schedule, c.dtype));

  // Two kernels of dropout, residual and normalisation a layer; bias and activation run in the products' epilogues.
  const double rows = tokens * hidden, scores = tokens * vocab;
  const double forward_streaming = 2 * layers * seconds(norm_work(2 * rows, 2 * rows, c.dtype)) +
                                   seconds(norm_work(scores, 0, c.dtype)) + seconds(copy_work(rows * 2));
  const double backward_streaming = 2 * layers * seconds(norm_work(3 * rows, 2 * rows, c.dtype)) +
                                    seconds(pointwise_work(scores, scores, c.dtype)) + seconds(copy_work(rows * 4));

  step.products = step.micro_batches * (forward_products + backward_products);
  step.attention = step.micro_batches * (forward_attention + backward_attention);
  step.streaming = step.micro_batches * (forward_streaming + backward_streaming);
  // Adam in fp32: weight, gradient and two moments read, three written; 16-bit weights cast for every micro-batch.
  const double optimizer_bytes = parameters * 28, cast_bytes = parameters * 6 * step.micro_batches;
  step.optimizer = seconds(copy_work((optimizer_bytes + cast_bytes) / 2));

  if (c.data_parallel > 1 && cluster != nullptr) {
    // Ring all-reduce of fp32 gradients; it starts with the last micro-batch's backward pass and hides behind it.
    const double ranks = c.data_parallel;
    const bool one_node = c.data_parallel <= cluster->devices_per_node;
    const double bandwidth =
        one_node ? cluster->intra.bandwidth
                 : std::min(cluster->intra.bandwidth, cluster->inter.bandwidth * cluster->nics_per_node);
    const double latency = one_node ? cluster->intra.latency : cluster->inter.latency;
    const double reduce = 2 * (ranks - 1) / ranks * 4 * parameters / bandwidth + 2 * (ranks - 1) * latency;
    step.exposed_all_reduce = std::max(0.0, reduce - (backward_products + backward_attention + backward_streaming));
  }
  step.seconds = step.products + step.attention + step.streaming + step.optimizer + step.exposed_all_reduce;
  step.inside_domain = seconds.inside;
  return step;
}

}  // namespace assay::substrate
