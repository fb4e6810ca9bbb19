#include "impls/parallelism/sequence/usp_case.h"

#include <fmt/format.h>

#include <memory>
#include <utility>

#include "datasets/user_error.h"
#include "impls/parallelism/sequence/sequence_case.h"

namespace assay::parallelism {

RankProgram usp_program_of(UspPlan plan) {
  return [plan = std::make_shared<const UspPlan>(std::move(plan))](substrate::Rank& rank, ProgramData* data) {
    return usp_layer(rank, *plan, sequence_memory(data, rank.id()));
  };
}

std::optional<std::string> cannot_deal(const SequenceProblem& p, int by_heads) {
  if (p.ranks % by_heads != 0)
    return fmt::format("ulysses: found {}, expected a divisor of ranks ({})", by_heads, p.ranks);
  if (p.heads % by_heads != 0)
    return fmt::format("ulysses: found {}, expected a divisor of heads ({})", by_heads, p.heads);
  if (p.kv_heads % by_heads != 0 && by_heads % p.kv_heads != 0)
    return fmt::format("kv_heads: found {}, expected a multiple or a divisor of ulysses ({})", p.kv_heads, by_heads);
  return std::nullopt;
}

int balanced_mesh(const SequenceProblem& p) {
  int best = 1;
  for (int by_heads = 1; by_heads * by_heads <= p.ranks; ++by_heads)
    if (!cannot_deal(p, by_heads)) best = by_heads;
  return best;
}

std::vector<harness::Axis> usp_axes() {
  std::vector<harness::Axis> axes = sequence_axes();
  for (harness::Axis& axis : axes)
    if (axis.name == "layout") axis.defaults = {harness::Value(std::string("zigzag"))};
  axes.push_back(
      {.name = "ulysses",
       .defaults = {harness::Value(std::int64_t{0})},
       .help = "ranks Pu that share heads, a divisor of ranks and of heads; 0: the largest up to sqrt(ranks)",
       .minimum = 0});
  axes.push_back({.name = "inner_ring",
                  .defaults = {harness::Value(std::int64_t{0})},
                  .help = "ranks w of an inner ring, a divisor of ranks / ulysses; 0: one ring",
                  .minimum = 0});
  return axes;
}

ProgramScheme usp_scheme(const harness::State& state) {
  const SequenceProblem problem = sequence_problem(state);
  const auto asked = static_cast<int>(state.integer("ulysses"));
  const int by_heads = asked == 0 ? balanced_mesh(problem) : asked;
  if (const auto why = cannot_deal(problem, by_heads)) throw UserError(*why);
  const int shares = problem.ranks / by_heads;
  const auto inner = static_cast<int>(state.integer("inner_ring"));
  if (inner != 0 && shares % inner != 0)
    throw UserError(fmt::format("inner_ring: found {}, expected a divisor of ranks / ulysses ({})", inner, shares));

  std::vector<ProgramMutant> mutants;
  const auto wrong = [&](const char* name, auto change) {
    UspPlan changed(problem, by_heads, inner);
    change(changed);
    mutants.push_back({name, usp_program_of(std::move(changed))});
  };
  if (shares > 1) wrong("first-share-not-heard", [](UspPlan& plan) { plan.deaf_to = 0; });
  if (shares > 1 && problem.backward)
    wrong("gradients-of-own-share-only", [](UspPlan& plan) { plan.own_gradient_only = true; });
  if (by_heads > 1)
    wrong("last-member-not-heard", [](UspPlan& plan) {
      for (UlyssesPlan& each : plan.exchange) each.deaf_to = plan.by_heads - 1;
    });
  if (by_heads > problem.kv_heads && problem.backward)
    wrong("gradient-of-one-copy", [](UspPlan& plan) {
      for (UlyssesPlan& each : plan.exchange) each.first_copy_only = true;
    });
  if (problem.dtype == substrate::DType::f32) wrong("lower-precision", [](UspPlan& plan) { plan.round_output = true; });
  wrong("wrong-scale", [](UspPlan& plan) { plan.ring.block.scale *= 1.0625F; });
  return sequence_scheme(
      problem,
      {.program = [by_heads,
                   inner](const SequenceProblem& layer) { return usp_program_of(UspPlan(layer, by_heads, inner)); },
       .data = [by_heads](const SequenceProblem& layer, std::optional<int> only) -> std::unique_ptr<ProgramData> {
         return std::make_unique<SequenceData>(UspPlan(layer, by_heads).held(), only);
       }},
      std::move(mutants));
}

}  // namespace assay::parallelism
