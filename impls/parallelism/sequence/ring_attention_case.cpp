#include "impls/parallelism/sequence/ring_attention_case.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>

#include "impls/parallelism/sequence/sequence_case.h"

namespace assay::parallelism {

LayerProgram ring_program(RingPlan plan) {
  return [plan = std::make_shared<const RingPlan>(std::move(plan))](substrate::Rank& rank, LayerData* data) {
    return ring_attention_layer(rank, *plan, sequence_memory(data, rank.id()));
  };
}

namespace {

// -- mutants: wrong in ways a ring can be wrong

void merge_without_rescaling(float* acc, float& acc_lse, const float* o, float lse, int head_dim) {
  for (int x = 0; x < head_dim; ++x) acc[x] += o[x];
  const float m = std::max(acc_lse, lse);
  acc_lse = m + std::log(std::exp(acc_lse - m) + std::exp(lse - m));
}

void merge_in_bf16(float* acc, float& acc_lse, const float* o, float lse, int head_dim) {
  merge_rescaled(acc, acc_lse, o, lse, head_dim);
  for (int x = 0; x < head_dim; ++x) acc[x] = substrate::to_float(substrate::to_bf16(acc[x]));
}

template <class Change>
LayerMutant changed(const SequenceProblem& problem, const char* name, Change change) {
  RingPlan wrong(problem);
  change(wrong);
  return {name, ring_program(std::move(wrong))};
}

}  // namespace

LayerScheme ring_scheme(const SequenceProblem& problem) {
  LayerScheme scheme{.problem = problem,
                     .program = [](const SequenceProblem& layer) { return ring_program(RingPlan(layer)); },
                     .data = [](const SequenceProblem& layer, std::optional<int> only) -> std::unique_ptr<LayerData> {
                       return std::make_unique<SequenceData>(SequencePlan(layer), only);
                     },
                     .work = attention_layer_work,
                     .mutants = {}};
  auto& mutants = scheme.mutants;
  if (problem.ranks > 1) {
    mutants.push_back(changed(problem, "last-hop-skipped", [](RingPlan& wrong) { --wrong.hops; }));
    mutants.push_back(
        changed(problem, "merge-without-rescaling", [](RingPlan& wrong) { wrong.merge = merge_without_rescaling; }));
  }
  if (problem.dtype == substrate::DType::f32)
    mutants.push_back(changed(problem, "lower-precision", [](RingPlan& wrong) { wrong.merge = merge_in_bf16; }));
  mutants.push_back(changed(problem, "wrong-scale", [](RingPlan& wrong) { wrong.block.scale *= 1.0625F; }));
  return scheme;
}

void measure_ring(harness::State& state) { measure_layer(state, ring_scheme(sequence_problem(state))); }
void project_ring(harness::State& state) { project_layer(state, ring_scheme(sequence_problem(state))); }

}  // namespace assay::parallelism
