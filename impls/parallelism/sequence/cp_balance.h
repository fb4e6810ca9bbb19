#pragma once
// The plan and the rank program of context parallelism that gathers K and V, for the technique itself and for those
// that build on it.
#include "impls/parallelism/sequence/ring_attention.h"
#include "impls/parallelism/sequence/sequence_plan.h"
#include "impls/substrate/fabric/rank.h"

namespace assay::parallelism {

struct GatherPlan : RingPlan {
  using RingPlan::RingPlan;

  // One operator on the keys of all ranks: what the blocks of a ring are together.
  substrate::OpWork over_all_keys(substrate::OpWork (RingPlan::*block_work)(int, int) const, int rank) const;

  // What is wrong in mutants.
  int deaf_to = -1;                // keys and values of this rank are not taken in
  bool own_gradient_only = false;  // dK and dV of other ranks' queries are left out
};

// O and lse of the rank's queries from the K and V of all ranks; dQ, dK, dV of the rank's tokens from dO.
substrate::Task<> gather_attention_forward(substrate::Rank& rank, const GatherPlan& plan, RingShard& shard);
substrate::Task<> gather_attention_backward(substrate::Rank& rank, const GatherPlan& plan, RingShard& shard);

}  // namespace assay::parallelism
