#include "impls/parallelism/sequence/rsa_claims.h"

#include <cstdint>
#include <functional>

#include "impls/parallelism/sequence/sequence_claims.h"

namespace assay::parallelism {

namespace {

using harness::claims::Projection;
using harness::claims::Setting;

constexpr double kElement = 4;      // the paper trains in float32
constexpr double kStateCopies = 4;  // parameter, gradient, two moments of Adam

// What a device holds of B sequences of L tokens, in elements: the states, and what an MLP block (its input and inner
// activations) and an attention block (its input, Q, K, V, O and the scores; with Linformer's projection of keys to k
// rows, scores of k columns and the projected K, V, which are whole) keep for the backward pass. Follows from the
// blocks' structure; embeddings and the head count as states alone.
struct Holding {
  const datasets::Model& model;
  double devices = 1;         // that share what is cut
  bool tensor = false;        // weights are cut, the blocks' inputs are whole; else tokens are cut
  double projected_rows = 0;  // Linformer; 0: full rows of scores

  double states() const { return kElement * kStateCopies * model.at("parameters") / (tensor ? devices : 1); }
  double activations(double batch, double length) const {
    const double wide = batch * length * model.at("hidden");
    const double heads = batch * length * model.at("heads") * model.at("head_dim");
    const double inner = batch * length * model.at("ffn");
    const double input = tensor ? wide : wide / devices;
    const double keys = projected_rows > 0 ? projected_rows : length;
    double layer = inner / devices + input;                        // MLP
    layer += 4 * heads / devices + input;                          // Q, K, V, O
    layer += batch * model.at("heads") * length * keys / devices;  // scores
    if (projected_rows > 0) layer += 2 * batch * model.at("heads") * model.at("head_dim") * projected_rows;
    return kElement * model.at("layers") * layer;
  }
};

// Largest whole number that `fits`; 0 where 1 does not.
double most(const std::function<bool(double)>& fits) {
  double low = 0, high = 1;
  while (fits(high)) {
    low = high;
    high *= 2;
  }
  while (high - low > 1) {
    const double middle = low + static_cast<double>(static_cast<std::int64_t>((high - low) / 2));
    (fits(middle) ? low : high) = middle;
  }
  return low;
}

std::optional<Projection> longest_or_most(const Setting& setting, const std::string& quantity, const Holding& holding) {
  if (!setting.device) return std::nullopt;
  const double room = setting.device->at("memory_bytes") - holding.states();
  Projection projection;
  projection.parts = {{"states", "none", holding.states()}};
  if (quantity == "max_batch" && setting.axes.has("sequence_length")) {
    const auto length = static_cast<double>(setting.axes.integer("sequence_length"));
    projection.value = most([&](double batch) { return holding.activations(batch, length) <= room; });
    projection.parts.push_back({"activations of a sequence", "none", holding.activations(1, length)});
  } else if (quantity == "max_sequence" && setting.axes.has("batch")) {
    const auto batch = static_cast<double>(setting.axes.integer("batch"));
    projection.value = most([&](double length) { return holding.activations(batch, length) <= room; });
  } else {
    return std::nullopt;
  }
  projection.note =
      "memory ledger: float32, parameters, gradients and two moments, and what the MLP and attention blocks keep; no "
      "output head, no fragmentation";
  return projection;
}

bool described(const Setting& setting) {
  return setting.device && model_has(setting, {"layers", "hidden", "heads", "head_dim", "ffn", "parameters"});
}

double projected_rows(const Setting& setting) {
  return setting.axes.has("projected_rows") ? static_cast<double>(setting.axes.integer("projected_rows")) : 0;
}

}  // namespace

std::optional<Projection> project_rsa(const Setting& setting, const std::string& quantity) {
  if (!described(setting)) return std::nullopt;
  return longest_or_most(setting, quantity,
                         {.model = *setting.model,
                          .devices = static_cast<double>(setting.ranks),
                          .projected_rows = projected_rows(setting)});
}

std::optional<Projection> project_rsa_baseline(const Setting& setting, const std::string& quantity) {
  if (!described(setting)) return std::nullopt;
  if (setting.technique == "parallelism/tensor/megatron-tp" && setting.axes.has("baseline_tensor"))
    return longest_or_most(setting, quantity,
                           {.model = *setting.model,
                            .devices = static_cast<double>(setting.axes.integer("baseline_tensor")),
                            .tensor = true});
  if (setting.technique == "external:single-device-sparse-attention")
    return longest_or_most(setting, quantity,
                           {.model = *setting.model, .devices = 1, .projected_rows = projected_rows(setting)});
  return std::nullopt;
}

}  // namespace assay::parallelism
