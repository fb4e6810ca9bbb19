#include "impls/parallelism/sequence/sequence_claims.h"

#include <algorithm>

#include "impls/substrate/models/operator_time.h"

namespace assay::parallelism {

using harness::claims::Projection;
using harness::claims::Setting;

std::optional<SequenceProblem> layer_shape(const Setting& setting, bool backward, std::int64_t open_length) {
  const auto number = [&](const char* name) -> std::int64_t {
    if (setting.axes.has(name)) return setting.axes.integer(name);
    return setting.model && setting.model->numbers.contains(name)
               ? static_cast<std::int64_t>(setting.model->numbers.at(name))
               : 0;
  };
  SequenceProblem p{
      .length = setting.axes.has("sequence_length") ? setting.axes.integer("sequence_length") : open_length,
      .heads = static_cast<int>(number("heads")),
      .kv_heads = static_cast<int>(number("kv_heads")),
      .head_dim = static_cast<int>(number("head_dim")),
      .causal = !setting.axes.has("causal") || setting.axes.flag("causal"),
      .backward = backward};
  if (p.length == 0 || p.heads == 0 || p.head_dim == 0 || setting.dtype != "bf16") return std::nullopt;
  if (p.kv_heads == 0) p.kv_heads = p.heads;
  if (setting.axes.has("batch")) p.batch = static_cast<int>(setting.axes.integer("batch"));
  p.ranks = setting.axes.has("sequence_parallel") ? static_cast<int>(setting.axes.integer("sequence_parallel"))
                                                  : std::min(setting.ranks, p.heads);
  return p;
}

bool model_has(const Setting& setting, std::initializer_list<const char*> numbers) {
  if (!setting.model) return false;
  return std::ranges::all_of(numbers, [&](const char* needed) { return setting.model->numbers.contains(needed); });
}

Projection sent_by_a_rank(const substrate::RunReport& counts) {
  Projection projection;
  projection.value = static_cast<double>(counts.ranks.front().bytes_sent());
  projection.parts = {{"bytes sent by a rank, counted in the program", "none", projection.value}};
  projection.note = "counted, with the factor (P-1)/P: a rank's part for itself is not sent";
  return projection;
}

std::optional<double> step_quantity(const Setting& setting, const std::string& quantity, std::int64_t length,
                                    double rate, double seconds) {
  const datasets::Model& model = *setting.model;
  const double attention_flops =
      6 * model.at("layers") * model.at("heads") * model.at("head_dim") * static_cast<double>(length);
  const double flops_rate = (6 * model.at("parameters") + attention_flops) * rate;
  if (quantity == "throughput") return rate * setting.ranks;
  if (quantity == "device_flops") return flops_rate;
  if (quantity == "mfu") return flops_rate / substrate::peak(*setting.device, substrate::OpDtype::bf16);
  if (quantity == "step_time") return seconds;
  return std::nullopt;
}

}  // namespace assay::parallelism
