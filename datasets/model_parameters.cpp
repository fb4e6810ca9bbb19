#include "datasets/model_parameters.h"

namespace assay::datasets {
namespace {

double get(const Model& model, std::string_view key, double fallback) {
  const auto found = model.numbers.find(key);
  return found == model.numbers.end() ? fallback : found->second;
}

double attention(const Model& model) {
  const double hidden = model.at("hidden"), heads = model.at("heads"), width = model.at("head_dim");
  const double latent = get(model, "kv_lora", 0);
  if (latent > 0) {
    // Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434, section 2.1): queries and key-values through low
    // rank.
    const double rope = model.at("rope_dim"), value = model.at("value_dim"), rank = get(model, "q_lora", 0);
    const double queries =
        rank > 0 ? hidden * rank + rank + rank * heads * (width + rope) : hidden * heads * (width + rope);
    return queries + hidden * (latent + rope) + latent + latent * heads * (width + value) + heads * value * hidden;
  }
  const double queries = heads * width, keys = model.at("kv_heads") * width;
  const bool all = get(model, "biases", 0) > 0;
  const double biases = all ? queries + 2 * keys + hidden : get(model, "qkv_bias", 0) * (queries + 2 * keys);
  return hidden * (queries + 2 * keys) + queries * hidden + biases;
}

double feed_forward(const Model& model, double inner) {
  const double hidden = model.at("hidden"), maps = model.at("gated") > 0 ? 3 : 2;
  return maps * hidden * inner + (get(model, "biases", 0) > 0 ? inner * (maps - 1) + hidden : 0);
}

}  // namespace

ParameterCount count_parameters(const Model& model) {
  const double hidden = model.at("hidden"), layers = model.at("layers"), experts = get(model, "experts", 0);
  const double norms = 2 * hidden * (1 + get(model, "biases", 0));
  const double embedding = model.at("vocab") * hidden;
  const double around = embedding * (get(model, "tied", 0) > 0 ? 1 : 2) + get(model, "positions", 0) * hidden +
                        hidden * (1 + get(model, "biases", 0));
  const double dense_layers = experts > 0 ? get(model, "dense_layers", 0) : layers;
  ParameterCount count;
  count.total = around + layers * (attention(model) + norms);
  if (dense_layers > 0) count.total += dense_layers * feed_forward(model, model.at("ffn"));
  count.active = count.total;
  if (experts > 0) {
    const double expert =
        feed_forward(model, get(model, "expert_ffn", 0) > 0 ? model.at("expert_ffn") : model.at("ffn"));
    const double shared = get(model, "shared_experts", 0) * expert, router = experts * hidden;
    const double expert_layers = layers - dense_layers;
    count.total += expert_layers * (experts * expert + shared + router);
    count.active += expert_layers * (model.at("experts_per_token") * expert + shared + router);
  }
  return count;
}

}  // namespace assay::datasets
