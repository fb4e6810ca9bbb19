#include "impls/parallelism/sequence/mr_sp_claims.h"

#include <algorithm>
#include <cmath>

#include "impls/parallelism/sequence/sequence_claims.h"

namespace assay::parallelism {

using harness::claims::Projection;
using harness::claims::Setting;

// Weights, gradients and optimizer are cut over the ranks (16 bytes a parameter, ZeRO-3), the reference's weights too;
// a rank keeps the input of every layer of its tokens and, of the layer it works on, what that needs, with K and V of
// the whole sequence gathered and their gradients in float32. The head sees the response alone, which is short beside a
// video.
std::optional<Projection> project_mr_sp(const Setting& setting, const std::string& quantity) {
  if (quantity != "max_sequence" || !setting.device || !setting.axes.has("sequence_parallel")) return std::nullopt;
  if (!model_has(setting, {"layers", "hidden", "heads", "kv_heads", "head_dim", "ffn", "parameters"}))
    return std::nullopt;
  const datasets::Model& m = *setting.model;
  const double ranks = static_cast<double>(setting.axes.integer("sequence_parallel"));
  const double states = m.at("parameters") * (16 + 2) / setting.ranks;
  const double queries = m.at("heads") * m.at("head_dim"), keys = m.at("kv_heads") * m.at("head_dim");
  const double of_layer = 2 * (5 * m.at("hidden") + 3 * queries + 5 * m.at("ffn")) + 4 * queries;
  const double own = (2 * m.at("layers") * m.at("hidden") + of_layer) / ranks;  // a token of the sequence
  const double gathered = 2 * keys * (2 + 4);
  const double embedding = 2 * m.at("hidden");  // all of them are kept on every rank
  const double room = setting.device->at("memory_bytes") - states;
  if (room <= 0) return std::nullopt;
  Projection projection;
  projection.value = std::floor(room / (own + gathered + embedding));
  projection.parts = {{"states", "none", states},
                      {"a token's activations on its rank, by rank", "none", own},
                      {"K, V and their gradients of a token, on every rank", "none", gathered},
                      {"embedding of a token, on every rank", "none", embedding}};
  projection.note =
      "memory ledger in tokens of one video: ZeRO-3 states and reference, inputs of layers kept, K and V gathered, "
      "embeddings kept on every rank; the serving engine's share of the memory is not in it";
  return projection;
}

}  // namespace assay::parallelism
