#include "impls/parallelism/sequence/cp_balance_claims.h"

#include "impls/parallelism/sequence/flexsp_claims.h"
#include "impls/parallelism/sequence/ring_attention_case.h"
#include "impls/parallelism/sequence/sequence_claims.h"
#include "impls/parallelism/sequence/zeppelin_claims.h"

namespace assay::parallelism {

namespace {

using harness::claims::Projection;
using harness::claims::Setting;

std::optional<SequenceProblem> problem_of(const Setting& setting) {
  auto problem = layer_shape(setting, setting.axes.has("backward") && setting.axes.flag("backward"));
  if (!problem) return std::nullopt;
  problem->ranks =
      setting.axes.has("context_parallel") ? static_cast<int>(setting.axes.integer("context_parallel")) : setting.ranks;
  if (setting.axes.has("layout")) problem->layout = layout_from(setting.axes.text("layout"));
  return problem;
}

std::optional<Projection> project_efficiency(const Setting& setting) {
  const auto problem = problem_of(setting);
  if (!problem || !setting.device || !setting.cluster) return std::nullopt;
  SequenceProblem alone = *problem;
  alone.ranks = 1;
  alone.length /= problem->ranks;
  alone.layout = Layout::contiguous;
  const LayerRun one = run_layer(setting, "ring " + name_of(alone), 1, [&] { return ring_program(alone); });
  const LayerRun all =
      run_layer(setting, "ring " + name_of(*problem), problem->ranks, [&] { return ring_program(*problem); });
  Projection projection;
  projection.value = problem->ranks * one.seconds / all.seconds;
  projection.inside_domain = one.inside_domain && all.inside_domain;
  projection.parts = {{"one device on its share", "attention", one.seconds},
                      {"computing on the critical rank", "attention", all.computing},
                      {"exposed ring", "link", all.exposed}};
  projection.note = "forward, and backward where asked, of the attention of one layer";
  return projection;
}

}  // namespace

std::optional<Projection> project_cp_balance(const Setting& setting, const std::string& quantity) {
  if (is_zeppelin_batch(setting)) return project_te_cp(setting, quantity);
  if (is_flexsp_batch(setting)) return project_flexsp_megatron(setting, quantity);
  if (quantity == "scaling_efficiency") return project_efficiency(setting);
  const auto problem = problem_of(setting);
  if (!problem) return std::nullopt;
  return project_layer_step(setting, quantity, *problem, {"ring", ring_program});
}

}  // namespace assay::parallelism
