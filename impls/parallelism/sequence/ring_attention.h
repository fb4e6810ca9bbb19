#pragma once
// The plan and the rank program of ring attention, for the technique itself and for those that build on its loop.
#include <cstdint>
#include <functional>
#include <vector>

#include "impls/parallelism/sequence/attention_bodies.h"
#include "impls/parallelism/sequence/sequence_plan.h"
#include "impls/substrate/fabric/rank.h"

namespace assay::parallelism {

// Everything a rank needs to know before the program starts: whose block comes when, and how large it is.
struct RingPlan : SequencePlan {
  explicit RingPlan(const SequenceProblem& layer) : SequencePlan(layer), hops(layer.ranks) {}

  int hops;  // P; less is wrong, and the gate has to notice
  Merge merge = merge_rescaled;
  const AttentionBodies* bodies = &host_bodies();

  // After `hop` hops rank r holds the block of rank r - hop.
  int source(int rank, int hop) const { return (rank + problem.ranks - hop % problem.ranks) % problem.ranks; }

  substrate::OpWork forward_work(int rank, int key_rank) const;
  substrate::OpWork backward_work(int rank, int key_rank) const;
};

// What a rank holds. dK and dV lie one after the other in `d_kv`, as K and V do in `kv`.
struct RingShard {
  std::vector<std::int64_t> positions;  // of real data only
  substrate::Buffer q, kv, o, lse;
  substrate::Buffer d_out, dq, d_kv;  // backward only
};

// O and lse of the rank's queries. Without a backward pass the rank's own K, V are given up after the first hop.
substrate::Task<> ring_attention_forward(substrate::Rank& rank, const RingPlan& plan, RingShard& shard);
// dQ, dK, dV of the rank's tokens from dO.
substrate::Task<> ring_attention_backward(substrate::Rank& rank, const RingPlan& plan, RingShard& shard);

// A layer of any scheme that leaves queries, outputs and gradients where ring attention does: shard in place, forward,
// backward where the problem asks for it, gradients to `memory`. `above`: what happens between the two, with all that
// the backward pass needs held: the layers above.
using ShardPass = std::function<substrate::Task<>(substrate::Rank& rank, RingShard& shard)>;
using LayersAbove = std::function<substrate::Task<>()>;
substrate::Task<> sharded_layer(substrate::Rank& rank, const SequencePlan& plan, SequenceMemory memory,
                                ShardPass forward, ShardPass backward, LayersAbove above = nullptr);

// The layer: shard in place, forward, backward where the problem asks for it, gradients to `memory`.
substrate::Task<> ring_attention_layer(substrate::Rank& rank, const RingPlan& plan, SequenceMemory memory);

}  // namespace assay::parallelism
