#include "impls/parallelism/sequence/usp_claims.h"

#include <fmt/format.h>

#include <algorithm>

#include "impls/parallelism/sequence/sequence_claims.h"
#include "impls/parallelism/sequence/usp_case.h"

namespace assay::parallelism {

using harness::claims::Projection;
using harness::claims::Setting;

std::optional<Projection> project_usp(const Setting& setting, const std::string& quantity) {
  if (!setting.axes.has("sequence_parallel") || !has_step_model(setting)) return std::nullopt;
  auto problem = layer_shape(setting, true);
  if (!problem) return std::nullopt;
  problem->layout = Layout::zigzag;
  const bool rings = setting.axes.has("variant") && setting.axes.text("variant") == "double-ring";
  std::optional<Projection> best;
  for (int by_heads = 1; by_heads <= problem->ranks; ++by_heads) {
    if (cannot_deal(*problem, by_heads)) continue;
    const int shares = problem->ranks / by_heads;
    for (int inner = rings ? 1 : shares; inner <= shares; ++inner) {
      if (shares % inner != 0) continue;
      auto found = project_layer_step(setting, quantity, *problem,
                                      {fmt::format("usp {} {}", by_heads, inner), [&](const SequenceProblem& layer) {
                                         return usp_program_of(UspPlan(layer, by_heads, inner));
                                       }});
      if (!found) return std::nullopt;
      // Of equals the one with the most heads together.
      const bool better =
          !best || (quantity == "step_time" ? found->value <= best->value : found->value >= best->value);
      if (!better) continue;
      found->note += fmt::format("; the best mesh: {} ranks by heads, {} shares{}", by_heads, shares,
                                 rings ? fmt::format(" in inner rings of {}", inner) : "");
      best = std::move(found);
    }
  }
  return best;
}

}  // namespace assay::parallelism
