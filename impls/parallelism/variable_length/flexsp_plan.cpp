#include "impls/parallelism/variable_length/flexsp_plan.h"

#include <numeric>

#include "impls/parallelism/variable_length/batch_costs.h"

namespace assay::parallelism {

FlexSpCosts flexsp_layer_costs(const BatchProblem& shape, std::int64_t capacity, const datasets::Device& device,
                               const datasets::Cluster& cluster) {
  const LayerCosts layer = attention_costs(shape, device);
  FlexSpCosts costs{.pair_seconds = layer.pair_seconds,
                    .token_seconds = layer.token_seconds,
                    .fixed_seconds = 0,
                    .exchange_seconds = {},
                    .exchange_fixed_seconds = {},
                    .capacity = capacity};
  for (int degree = 1; degree <= shape.ranks; degree *= 2) {
    const ExchangeCosts exchange = heads_exchange_costs(shape, degree, device, cluster);
    costs.exchange_seconds.push_back(exchange.token_seconds);
    costs.exchange_fixed_seconds.push_back(exchange.fixed_seconds);
  }
  return costs;
}

FlexSpCosts flexsp_round_costs(int ranks, std::int64_t capacity) {
  FlexSpCosts costs{.pair_seconds = 1,
                    .token_seconds = 16,
                    .fixed_seconds = 0,
                    .exchange_seconds = {},
                    .exchange_fixed_seconds = {},
                    .capacity = capacity};
  for (int degree = 1; degree <= ranks; degree *= 2) {
    costs.exchange_seconds.push_back(degree == 1 ? 0 : degree <= 4 ? 16.0 / degree : 64.0 / degree);
    costs.exchange_fixed_seconds.push_back(0);
  }
  return costs;
}

std::vector<BatchItem> flexsp_items(const BatchProblem& problem, const FlexSpPlan& plan) {
  std::vector<BatchItem> items;
  for (const FlexSpMicroBatch& micro_batch : plan.micro_batches) {
    int next = 0;
    for (const FlexSpGroup& group : micro_batch.groups) {
      std::vector<int> ranks(static_cast<std::size_t>(group.degree));
      std::iota(ranks.begin(), ranks.end(), next);
      next += group.degree;
      items.push_back(make_item(problem, std::move(ranks), group.sequences, Exchange::heads));
    }
  }
  return items;
}

}  // namespace assay::parallelism
