#pragma once
// The plan and the rank program of USP and of LoongTrain's double ring, for the technique itself and for those that
// build on it.
#include <vector>

#include "impls/parallelism/sequence/ring_attention.h"
#include "impls/parallelism/sequence/sequence_plan.h"
#include "impls/parallelism/sequence/ulysses.h"
#include "impls/substrate/fabric/rank.h"

namespace assay::parallelism {

// P = Pu x Pr ranks; rank r is member r mod Pu of share r / Pu. Pu must divide P and H, and divide Hk or be divided by
// it; w must divide Pr.
struct UspPlan {
  // inner 0: one ring of all Pr.
  UspPlan(const SequenceProblem& layer, int head_ranks, int inner_ranks = 0);

  SequenceProblem problem;
  int by_heads;                       // Pu
  int inner;                          // w
  RingPlan ring;                      // over shares, of a member's heads
  std::vector<UlyssesPlan> exchange;  // inside a share

  // Whose K, V a share has in step `step` of outer round `round`.
  int source(int share, int round, int step) const;
  // What every rank holds, and ends up with.
  SequencePlan held() const {
    SequencePlan plan(problem, by_heads);
    plan.head_ranks = by_heads;
    plan.gradients_in_dtype = true;
    return plan;
  }

  // What is wrong in mutants; `exchange` and `ring` have more.
  int deaf_to = -1;                // K and V of this share are not taken in by others
  bool own_gradient_only = false;  // dK and dV of other shares' queries are left out
  bool round_output = false;       // O passes through bf16
};

substrate::Task<> usp_layer(substrate::Rank& rank, const UspPlan& plan, SequenceMemory memory);

}  // namespace assay::parallelism
