#pragma once
// Parameters of a transformer counted from its architecture.
#include "datasets/machine.h"

namespace assay::datasets {

struct ParameterCount {
  double total = 0;
  double active = 0;  // used for one token: all but the experts that are not routed to
};

// Keys of a model's [numbers]: layers, hidden, heads, kv_heads, head_dim, ffn, gated, vocab. Where a model has them:
// tied (1: one matrix embeds and predicts), positions (learned), biases (of every linear map), qkv_bias.
// Mixture of experts: experts, experts_per_token, expert_ffn, shared_experts, dense_layers (the first ones, without
// experts). Latent attention: q_lora (0: none), kv_lora, rope_dim, value_dim; head_dim is then the part without
// rotation.
ParameterCount count_parameters(const Model& model);

}  // namespace assay::datasets
