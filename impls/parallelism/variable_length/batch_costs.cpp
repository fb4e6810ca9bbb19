#include "impls/parallelism/variable_length/batch_costs.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <memory>

#include "impls/parallelism/remembered_run.h"
#include "impls/parallelism/variable_length/batch_program.h"
#include "impls/substrate/models/operator_time.h"
#include "impls/substrate/models/training_step.h"

namespace assay::parallelism {

using substrate::OpKind;
using substrate::OpWork;

std::string machine_key(const datasets::Device& device, const datasets::Cluster& cluster) {
  std::string key = device.id + " " + cluster.id;
  for (const auto* constants : {&device.constants, &cluster.constants})
    for (const auto& [name, constant] : *constants) key += fmt::format(" {}", constant.value);
  return key;
}

LayerCosts attention_costs(const BatchProblem& shape, const datasets::Device& device) {
  LayerCosts costs;
  const auto seconds = [&](std::int64_t length) {
    BatchProblem one = shape;
    one.lengths = {length};
    const Share whole{{0, 0, length}};
    double sum = 0;
    for (const bool backward : {false, true}) {
      if (backward && !shape.backward) continue;
      const double elements = static_cast<double>(length) * shape.head_dim;
      const double bytes = elements * (2.0 * shape.heads + 2.0 * shape.kv_heads) *
                           static_cast<double>(size_of(shape.dtype)) * (backward ? 2 : 1);
      const substrate::OperatorTime time = substrate::operator_time(
          device, packed_attention_work(one, whole, whole, shape.heads, shape.kv_heads, bytes, backward));
      sum += time.seconds;
      costs.inside_domain = costs.inside_domain && time.inside_domain;
    }
    return sum;
  };
  constexpr std::int64_t kShort = 4096, kLong = 32768;
  const auto pairs = [](std::int64_t length) { return static_cast<double>(causal_pairs(length)); };
  // seconds = pair p(s) + token s through both.
  const double ratio = static_cast<double>(kLong) / kShort;
  costs.pair_seconds = (seconds(kLong) - ratio * seconds(kShort)) / (pairs(kLong) - ratio * pairs(kShort));
  costs.token_seconds = std::max(0.0, (seconds(kShort) - costs.pair_seconds * pairs(kShort)) / kShort);
  return costs;
}

LayerCosts model_costs(const datasets::Model& model, const BatchProblem& shape, const datasets::Device& device,
                       std::int64_t tokens, double recomputed) {
  LayerCosts costs = attention_costs(shape, device);
  const double layers = model.at("layers");
  costs.pair_seconds *= layers;
  costs.token_seconds *= layers;
  const auto n = static_cast<double>(tokens);
  const substrate::StepTime rest = substrate::training_step(model, device, nullptr,
                                                            {.sequence = tokens,
                                                             .tokens_per_step = n,
                                                             .tokens_per_micro_batch = n,
                                                             .data_parallel = 1,
                                                             .dtype = substrate::OpDtype::bf16});
  // A third of the products is forward.
  costs.token_seconds += (rest.products * (1 + recomputed / 3) + rest.streaming) / n;
  costs.inside_domain = costs.inside_domain && rest.inside_domain;
  return costs;
}

ExchangeCosts heads_exchange_costs(const BatchProblem& shape, int degree, const datasets::Device& device,
                                   const datasets::Cluster& cluster) {
  if (degree == 1) return {};
  const auto seconds = [&](std::int64_t tokens) {
    const std::string name = fmt::format("heads exchange {} {} {} {} {} {} {}", tokens, degree, shape.heads,
                                         shape.kv_heads, shape.head_dim, size_of(shape.dtype), shape.backward);
    const auto time = [&](const OpWork& work) {
      const bool attention = work.kind == OpKind::attention || work.kind == OpKind::attention_backward;
      return attention ? substrate::OperatorTime{} : substrate::operator_time(device, work);
    };
    return run_or_remember(name, device, cluster, degree, time,
                           [&]() -> RankProgram {
                             auto plan = std::make_shared<BatchPlan>();
                             plan->problem = shape;
                             plan->problem.ranks = degree;
                             plan->problem.lengths = {tokens};
                             std::vector<int> all;
                             for (int r = 0; r < degree; ++r) all.push_back(r);
                             plan->items = {make_item(plan->problem, all, {0}, Exchange::heads)};
                             return
                                 [plan](substrate::Rank& rank, ProgramData*) { return batch_layer(rank, *plan, {}); };
                           })
        .seconds;
  };
  const std::int64_t few = std::int64_t{1024} * degree, many = std::int64_t{8192} * degree;
  const double at_few = seconds(few), at_many = seconds(many);
  ExchangeCosts costs;
  costs.token_seconds = (at_many - at_few) / static_cast<double>(many - few);
  costs.fixed_seconds = std::max(0.0, at_few - costs.token_seconds * static_cast<double>(few));
  return costs;
}

TokenMemory token_memory(const datasets::Model& model, double device_bytes, double state_bytes, std::int64_t least) {
  const double layers = model.at("layers"), hidden = model.at("hidden");
  const double logits = 6 * model.at("vocab");  // in 16 bit, and their gradient in 32
  const double feed_forward = 2.0 * model.at("ffn") * hidden / (4 * hidden * hidden + 2.0 * model.at("ffn") * hidden);
  struct Kept {
    double hiddens, recomputed;
  };
  TokenMemory memory;
  for (const Kept& kept : std::array{Kept{34, 0}, Kept{15, feed_forward}, Kept{2, 1}}) {
    memory.bytes = kept.hiddens * hidden * layers + logits + (kept.hiddens == 2 ? 34 * hidden : 0);
    memory.recomputed = kept.recomputed;
    memory.capacity = static_cast<std::int64_t>(std::max(0.0, device_bytes - state_bytes) / memory.bytes);
    if (memory.capacity >= least) break;
  }
  return memory;
}

}  // namespace assay::parallelism
