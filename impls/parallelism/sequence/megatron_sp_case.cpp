#include "impls/parallelism/sequence/megatron_sp_case.h"

#include <fmt/format.h>

#include <memory>
#include <utility>

#include "datasets/machine.h"
#include "datasets/user_error.h"
#include "impls/parallelism/sequence/megatron_sp.h"
#include "impls/parallelism/sequence/megatron_sp_data.h"
#include "impls/parallelism/sequence/sequence_case.h"

namespace assay::parallelism {
namespace {

// Every element of a real case is compared with float64, so that a layer must not cost more than this.
constexpr double kMostFlops = 8e9;

RankProgram megatron_of(MegatronPlan plan) {
  return [plan = std::make_shared<const MegatronPlan>(std::move(plan))](substrate::Rank& rank, ProgramData* data) {
    return megatron_layer(rank, *plan,
                          data == nullptr ? MegatronMemory{} : static_cast<MegatronData*>(data)->memory(rank.id()));
  };
}

template <class Change>
ProgramMutant changed(const SequenceProblem& problem, const char* name, Change change) {
  MegatronPlan wrong(problem);
  change(wrong);
  return {name, megatron_of(std::move(wrong))};
}

harness::Work megatron_work(const SequenceProblem& problem) {
  const MegatronPlan plan(problem);
  const auto rows = static_cast<double>(plan.all_rows() * plan.hidden);
  const auto weights = static_cast<double>(plan.weights() * problem.ranks);
  const double element = size_of(problem.dtype);
  double bytes = element * (2 * rows + weights);
  if (problem.backward) bytes += element * (2 * rows + weights) + 4 * (rows + weights);  // x, dz, weights; gradients
  const double attention = problem.flops() / (4.0 * problem.head_dim) * (problem.backward ? 4.0 / 7 : 1);
  return {.flops = plan.flops(), .bytes = bytes, .exps = attention, .working_set = bytes, .roof = "fp32-fma"};
}

}  // namespace

std::vector<harness::Axis> megatron_axes() { return without(sequence_axes(), {"layout"}); }

ProgramScheme megatron_scheme(const harness::State& state) {
  SequenceProblem p = sequence_problem(state);
  if (state.fabric() == "cluster") {
    p.node_ranks = datasets::load_cluster(state.text("cluster"), datasets::data_root()).devices_per_node;
  } else if (const double flops = MegatronPlan(p).flops(); flops > kMostFlops) {
    throw UserError(
        fmt::format("sequence_length: found {}, a layer of {:.1f} GFLOP; expected at most {:.0f} with real "
                    "data, where every element is compared with float64",
                    p.length, flops / 1e9, kMostFlops / 1e9));
  }
  if (p.heads % p.ranks != 0)
    throw UserError(fmt::format("ranks: found {}, expected a divisor of heads ({})", p.ranks, p.heads));
  if (p.kv_heads % p.ranks != 0)
    throw UserError(fmt::format("kv_heads: found {}, expected a multiple of ranks ({})", p.kv_heads, p.ranks));
  std::vector<ProgramMutant> mutants;
  const int last = p.ranks - 1;
  if (p.ranks > 1) {
    mutants.push_back(changed(p, "last-rank-not-gathered", [&](MegatronPlan& wrong) { wrong.deaf_to = last; }));
    mutants.push_back(changed(p, "partial-sums-of-one-left-out", [&](MegatronPlan& wrong) { wrong.silent = last; }));
  }
  if (p.ranks > 1 && p.backward)
    mutants.push_back(
        changed(p, "weight-gradients-of-own-tokens", [](MegatronPlan& wrong) { wrong.own_tokens_only = true; }));
  if (p.backward)
    mutants.push_back(changed(p, "norm-divisor-constant", [](MegatronPlan& wrong) { wrong.divisor_constant = true; }));
  if (p.dtype == substrate::DType::f32)
    mutants.push_back(changed(p, "lower-precision", [](MegatronPlan& wrong) { wrong.round_output = true; }));
  mutants.push_back(changed(p, "wrong-scale", [](MegatronPlan& wrong) { wrong.local.scale *= 1.25F; }));
  return sequence_scheme(
      p,
      {.program = [](const SequenceProblem& layer) { return megatron_of(MegatronPlan(layer)); },
       .data = [](const SequenceProblem& layer, std::optional<int> only) -> std::unique_ptr<ProgramData> {
         return std::make_unique<MegatronData>(MegatronPlan(layer), only);
       },
       .work = megatron_work},
      std::move(mutants));
}

}  // namespace assay::parallelism
