#pragma once
// What a token, a pair of tokens and an exchange cost a rank, from the models of operators and links: what planners of
// variable-length batches need to know. Times are of a model's whole forward and backward pass.
#include <cstdint>
#include <string>

#include "datasets/machine.h"
#include "impls/parallelism/variable_length/batch_plan.h"

namespace assay::parallelism {

// Every number of a device and a cluster, perturbed or not, as text: what a projection of a setting depends on beside
// the setting itself.
std::string machine_key(const datasets::Device& device, const datasets::Cluster& cluster);

struct LayerCosts {
  double pair_seconds = 0;   // of a causal pair of all heads
  double token_seconds = 0;  // everything else that grows with tokens
  bool inside_domain = true;
};

// Of attention alone, one layer: through one long and one short sequence.
LayerCosts attention_costs(const BatchProblem& shape, const datasets::Device& device);
// Of a model with `tokens` on a rank, all layers. `recomputed`: the share of forward products that backward repeats.
LayerCosts model_costs(const datasets::Model& model, const BatchProblem& shape, const datasets::Device& device,
                       std::int64_t tokens, double recomputed);

// seconds = fixed + per_token * tokens of the group, one layer.
struct ExchangeCosts {
  double fixed_seconds = 0, token_seconds = 0;
};
// Everything of the heads exchange of a group of `degree` neighbours but attention: run twice on the modelled links.
ExchangeCosts heads_exchange_costs(const BatchProblem& shape, int degree, const datasets::Device& device,
                                   const datasets::Cluster& cluster);

// Activations of a token over all layers in 16 bit without attention scores (arXiv 2205.05198: 34 h a layer), with the
// feed-forward part recomputed (15 h) or all but the input of a layer (2 h): the most that leaves a rank `least` tokens
// beside the states, and what is recomputed for it.
struct TokenMemory {
  double bytes = 0;
  double recomputed = 0;      // share of the forward products
  std::int64_t capacity = 0;  // tokens a rank holds
};
TokenMemory token_memory(const datasets::Model& model, double device_bytes, double state_bytes, std::int64_t least);

}  // namespace assay::parallelism
