#pragma once
// The plan and the rank program of DeepSpeed-Ulysses, for the technique itself and for those that build on it.
#include <cstdint>
#include <vector>

#include "impls/parallelism/sequence/ring_attention.h"
#include "impls/parallelism/sequence/sequence_plan.h"
#include "impls/substrate/fabric/group.h"
#include "impls/substrate/fabric/rank.h"

namespace assay::parallelism {

// Heads are dealt in runs: rank p works on query heads [p H/P, (p+1) H/P). With P <= Hk it has Hk/P key heads of its
// own; with P > Hk each key head goes to P/Hk ranks. Hk must divide P or be divided by it, and P must divide H.
struct UlyssesPlan : SequencePlan {
  explicit UlyssesPlan(const SequenceProblem& layer);

  int q_heads;   // of a rank
  int kv_heads;  // of a rank
  int copies;    // ranks that share a key head
  BlockShape local;

  int first_q(int rank) const { return rank * q_heads; }
  int first_kv(int rank) const { return rank / copies * kv_heads; }

  // Elements of [B][tokens][heads][d], of the tokens of a rank or of all.
  std::int64_t elements(std::int64_t tokens, int heads) const {
    return tokens * problem.batch * heads * problem.head_dim;
  }
  std::int64_t bytes(std::int64_t elements) const { return elements * size_of(problem.dtype); }
  // Q, K, V of the tokens of one rank and the heads of another, as one message; gradients have the same size.
  std::int64_t qkv_elements(int token_rank) const {
    return elements(layout.tokens(token_rank), q_heads + 2 * kv_heads);
  }
  std::int64_t context_elements(int token_rank) const { return elements(layout.tokens(token_rank), q_heads); }

  substrate::OpWork forward_work() const;
  substrate::OpWork backward_work() const;

  // What is wrong in mutants.
  int deaf_to = -1;              // the tokens of this rank are not taken in
  bool arrival_order = false;    // tokens lie in the order they came instead of that of the sequence
  bool first_copy_only = false;  // of a shared key head only one rank's gradient counts
  bool round_output = false;     // O passes through bf16
};

// The layer: all-to-all from tokens to heads, attention of the rank's heads over the whole sequence, all-to-all back;
// backward the other way round. lse stays with the heads, [B][L][H/P] of a rank.
substrate::Task<> ulysses_layer(substrate::Rank& rank, const UlyssesPlan& plan, SequenceMemory memory);

// The same exchanges over the members of a group, around any attention of a member's heads over the tokens of them all,
// which lie in the order of plan.layout at `positions` of the sequence (real data only). Forward: O and lse from q and
// kv; backward: dq (allocated) and d_kv (to be made) from d_out too.
substrate::Task<> layer_by_heads(substrate::Group group, const UlyssesPlan& plan, SequenceMemory memory,
                                 std::vector<std::int64_t> positions, ShardPass forward, ShardPass backward);

}  // namespace assay::parallelism
