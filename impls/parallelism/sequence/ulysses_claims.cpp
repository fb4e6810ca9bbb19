#include "impls/parallelism/sequence/ulysses_claims.h"

#include <algorithm>

#include "impls/parallelism/sequence/flexsp_claims.h"
#include "impls/parallelism/sequence/sequence_claims.h"
#include "impls/parallelism/sequence/ulysses_case.h"

namespace assay::parallelism {

namespace {

using harness::claims::Projection;
using harness::claims::Setting;

bool dealt(const SequenceProblem& p) {
  return p.heads % p.ranks == 0 && (p.kv_heads % p.ranks == 0 || p.ranks % p.kv_heads == 0);
}

std::optional<SequenceProblem> layer_of(const Setting& setting, bool backward) {
  auto p = layer_shape(setting, backward);
  if (!p) return std::nullopt;
  // Where what it is compared with goes beyond the heads.
  if (setting.role == "baseline" && setting.axes.has("baseline_sequence_parallel"))
    p->ranks = static_cast<int>(setting.axes.integer("baseline_sequence_parallel"));
  if (!dealt(*p) || p->length < p->ranks) return std::nullopt;
  return p;
}

// Sent per rank and layer, forward unless the setting says otherwise.
std::optional<Projection> project_volume(const Setting& setting) {
  const auto problem = layer_of(setting, setting.axes.has("backward") && setting.axes.flag("backward"));
  if (!problem) return std::nullopt;
  return sent_by_a_rank(count_program(ulysses_program(*problem), problem->ranks));
}

std::optional<Projection> project_step(const Setting& setting, const std::string& quantity) {
  const auto problem = layer_of(setting, true);
  if (!problem) return std::nullopt;
  if (setting.axes.has("sequence_parallel"))
    return project_layer_step(setting, quantity, *problem, {"ulysses", ulysses_program});
  return project_best_layer_step(setting, quantity, *problem, {"ulysses", ulysses_program}, dealt);
}

// Activations and states are divided over the ranks, so that the sequence is what a device holds times their number.
std::optional<Projection> project_longest(const Setting& setting) {
  if (!has_step_model(setting) || !setting.device) return std::nullopt;
  const double memory = setting.device->at("memory_bytes");
  const double states = held_states(setting);
  const double each = held_by_token(*setting.model);
  if (states >= memory || each <= 0) return std::nullopt;
  Projection projection;
  // The degree ends at the heads; what is left over is data parallel.
  const double heads = setting.model->at("heads");
  projection.value = (memory - states) / each * std::min<double>(setting.ranks, heads);
  projection.parts = {{"state", "none", states}, {"activations a token", "none", each}};
  projection.note =
      "memory ledger: 16 bytes of state a parameter over all ranks (ZeRO-3), activations of every layer kept as memory-"
      "efficient attention and an unblocked feed-forward layer need them (Table 1 of arXiv 2310.01889)";
  return projection;
}

}  // namespace

std::optional<Projection> project_ulysses_claim(const Setting& setting, const std::string& quantity) {
  if (is_flexsp_batch(setting)) return project_flexsp_deepspeed(setting, quantity);
  if (quantity == "comm_bytes") return project_volume(setting);
  if (quantity == "max_sequence") return project_longest(setting);
  return project_step(setting, quantity);
}

}  // namespace assay::parallelism
