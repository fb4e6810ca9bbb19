#pragma once
// The plan and the rank program of ring attention, for the technique itself and for those that build on its loop.
#include <cstdint>

#include "impls/parallelism/sequence/attention_block.h"
#include "impls/parallelism/sequence/sequence_layout.h"
#include "impls/substrate/fabric/rank.h"

namespace assay::parallelism {

// One attention layer over a sequence that is sharded over ranks.
struct SequenceProblem {
  std::int64_t length = 0;                    // L tokens of one sequence
  int ranks = 1;                              // P
  int batch = 1;                              // B
  int heads = 1, kv_heads = 1, head_dim = 1;  // H, Hk, d
  substrate::DType dtype = substrate::DType::bf16;
  bool causal = true;
  bool backward = false;
  Layout layout = Layout::contiguous;

  BlockShape block() const;
  double flops() const;  // forward, and backward where asked for; masked pairs not counted
};

// Everything a rank needs to know before the program starts: whose block comes when, and how large it is.
struct RingPlan {
  explicit RingPlan(const SequenceProblem& layer);

  SequenceProblem problem;
  SequenceLayout layout;
  int hops;  // P; less is wrong, and the gate has to notice
  Merge merge = merge_rescaled;
  BlockShape block;

  // After `hop` hops rank r holds the block of rank r - hop.
  int source(int rank, int hop) const { return (rank + problem.ranks - hop % problem.ranks) % problem.ranks; }
  std::int64_t pairs(int rank, int key_rank) const { return layout.pairs(rank, key_rank, problem.causal); }

  std::int64_t q_elements(int rank) const {
    return layout.tokens(rank) * problem.batch * problem.heads * problem.head_dim;
  }
  std::int64_t kv_elements(int rank) const {  // K and V together
    return 2 * layout.tokens(rank) * problem.batch * problem.kv_heads * problem.head_dim;
  }
  std::int64_t rows(int rank) const { return layout.tokens(rank) * problem.batch * problem.heads; }
  std::int64_t q_bytes(int rank) const { return q_elements(rank) * size_of(problem.dtype); }
  std::int64_t kv_bytes(int rank) const { return kv_elements(rank) * size_of(problem.dtype); }
  std::int64_t gradient_bytes(int rank) const { return kv_elements(rank) * 4; }  // dK, dV accumulate in float32

  substrate::OpWork forward_work(int rank, int key_rank) const;
  substrate::OpWork backward_work(int rank, int key_rank) const;
  substrate::OpWork pointwise_work(std::int64_t elements, double bytes_each) const;
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

// The memory of a real run, one pointer a tensor; all null on virtual fabrics.
struct RingMemory {
  std::byte *q = nullptr, *kv = nullptr, *o = nullptr, *lse = nullptr, *d_out = nullptr, *dq = nullptr, *d_kv = nullptr;
};
// The layer: shard in place, forward, backward where the problem asks for it, gradients to `memory`.
substrate::Task<> ring_attention_layer(substrate::Rank& rank, const RingPlan& plan, RingMemory memory);

}  // namespace assay::parallelism
