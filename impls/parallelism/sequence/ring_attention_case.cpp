#include "impls/parallelism/sequence/ring_attention_case.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>

#include "impls/parallelism/sequence/ring_attention.h"
#include "impls/parallelism/sequence/sequence_case.h"

namespace assay::parallelism {

RankProgram ring_program_of(RingPlan plan) {
  return [plan = std::make_shared<const RingPlan>(std::move(plan))](substrate::Rank& rank, ProgramData* data) {
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
ProgramMutant changed(const SequenceProblem& problem, const char* name, Change change) {
  RingPlan wrong(problem);
  change(wrong);
  return {name, ring_program_of(std::move(wrong))};
}

}  // namespace

RankProgram ring_program(const SequenceProblem& layer) { return ring_program_of(RingPlan(layer)); }

std::unique_ptr<ProgramData> ring_data(const SequenceProblem& layer, std::optional<int> only) {
  return std::make_unique<SequenceData>(SequencePlan(layer), only);
}

std::vector<ProgramMutant> ring_mutants(const SequenceProblem& problem) {
  std::vector<ProgramMutant> mutants;
  if (problem.ranks > 1) {
    mutants.push_back(changed(problem, "last-hop-skipped", [](RingPlan& wrong) { --wrong.hops; }));
    mutants.push_back(
        changed(problem, "merge-without-rescaling", [](RingPlan& wrong) { wrong.merge = merge_without_rescaling; }));
  }
  if (problem.dtype == substrate::DType::f32)
    mutants.push_back(changed(problem, "lower-precision", [](RingPlan& wrong) { wrong.merge = merge_in_bf16; }));
  mutants.push_back(changed(problem, "wrong-scale", [](RingPlan& wrong) { wrong.block.scale *= 1.0625F; }));
  return mutants;
}

ProgramScheme ring_scheme(const harness::State& state) {
  const SequenceProblem problem = sequence_problem(state);
  return sequence_scheme(problem, {.program = ring_program, .data = ring_data}, ring_mutants(problem));
}

}  // namespace assay::parallelism
