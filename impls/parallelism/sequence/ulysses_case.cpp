#include "impls/parallelism/sequence/ulysses_case.h"

#include <fmt/format.h>

#include <memory>
#include <utility>

#include "datasets/user_error.h"
#include "impls/parallelism/sequence/sequence_case.h"
#include "impls/parallelism/sequence/ulysses.h"

namespace assay::parallelism {

namespace {

RankProgram ulysses_of(UlyssesPlan plan) {
  return [plan = std::make_shared<const UlyssesPlan>(std::move(plan))](substrate::Rank& rank, ProgramData* data) {
    return ulysses_layer(rank, *plan, sequence_memory(data, rank.id()));
  };
}

template <class Change>
ProgramMutant changed(const SequenceProblem& problem, const char* name, Change change) {
  UlyssesPlan wrong(problem);
  change(wrong);
  return {name, ulysses_of(std::move(wrong))};
}

std::unique_ptr<ProgramData> ulysses_data(const SequenceProblem& layer, std::optional<int> only) {
  SequencePlan plan(layer);
  plan.head_ranks = layer.ranks;
  plan.gradients_in_dtype = true;
  return std::make_unique<SequenceData>(plan, only);
}

}  // namespace

RankProgram ulysses_program(const SequenceProblem& layer) { return ulysses_of(UlyssesPlan(layer)); }

ProgramScheme ulysses_scheme(const harness::State& state) {
  const SequenceProblem p = sequence_problem(state);
  if (p.heads % p.ranks != 0)
    throw UserError(fmt::format("ranks: found {}, expected a divisor of heads ({})", p.ranks, p.heads));
  if (p.kv_heads % p.ranks != 0 && p.ranks % p.kv_heads != 0)
    throw UserError(
        fmt::format("kv_heads: found {}, expected a multiple or a divisor of ranks ({})", p.kv_heads, p.ranks));
  std::vector<ProgramMutant> mutants;
  if (p.ranks > 1)
    mutants.push_back(
        changed(p, "last-rank-not-heard", [](UlyssesPlan& wrong) { wrong.deaf_to = wrong.problem.ranks - 1; }));
  if (p.ranks > 1 && p.layout == Layout::zigzag && p.causal)
    mutants.push_back(changed(p, "order-of-arrival", [](UlyssesPlan& wrong) { wrong.arrival_order = true; }));
  if (p.ranks > p.kv_heads && p.backward)
    mutants.push_back(changed(p, "gradient-of-one-copy", [](UlyssesPlan& wrong) { wrong.first_copy_only = true; }));
  if (p.dtype == substrate::DType::f32)
    mutants.push_back(changed(p, "lower-precision", [](UlyssesPlan& wrong) { wrong.round_output = true; }));
  mutants.push_back(changed(p, "wrong-scale", [](UlyssesPlan& wrong) { wrong.local.scale *= 1.0625F; }));
  return sequence_scheme(p, {.program = ulysses_program, .data = ulysses_data}, std::move(mutants));
}

}  // namespace assay::parallelism
