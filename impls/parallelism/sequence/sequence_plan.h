#pragma once
// One sharded attention layer as every scheme sees it: the problem, what each rank holds, and how large it is.
#include <cstdint>

#include "impls/parallelism/sequence/attention_block.h"
#include "impls/parallelism/sequence/sequence_layout.h"
#include "impls/substrate/models/op_work.h"

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
  int node_ranks = 0;  // of one node, for collectives that care; 0: all are

  BlockShape block() const;
  double flops() const;  // forward, and backward where asked for; masked pairs not counted
};

// Everything about shards that a rank needs to know before its program starts.
struct SequencePlan {
  // `members`: consecutive ranks that a share of the sequence is dealt on to (SequenceLayout).
  explicit SequencePlan(const SequenceProblem& layer, int members = 1);

  SequenceProblem problem;
  SequenceLayout layout;
  BlockShape block;
  // Consecutive ranks that have the same tokens in attention, each a part of the heads; 1: a rank has its tokens' own.
  int head_ranks = 1;
  bool gradients_in_dtype = false;  // dQ, dK, dV have been stored in the layer's dtype, not only accumulated in float32

  std::int64_t pairs(int rank, int key_rank) const { return layout.pairs(rank, key_rank, problem.causal); }

  std::int64_t q_elements(int rank) const {
    return layout.tokens(rank) * problem.batch * problem.heads * problem.head_dim;
  }
  std::int64_t kv_elements(int rank) const {  // K and V together
    return 2 * layout.tokens(rank) * problem.batch * problem.kv_heads * problem.head_dim;
  }
  std::int64_t rows(int rank) const { return layout.tokens(rank) * problem.batch * problem.heads; }
  // Of the log-sum-exp a rank ends up with: of the tokens of all `head_ranks` ranks and its part of the heads.
  std::int64_t lse_rows(int rank) const {
    std::int64_t tokens = 0;
    const int first = rank / head_ranks * head_ranks;
    for (int r = first; r < first + head_ranks; ++r) tokens += layout.tokens(r);
    return tokens * problem.batch * (problem.heads / head_ranks);
  }
  std::int64_t q_bytes(int rank) const { return q_elements(rank) * size_of(problem.dtype); }
  std::int64_t kv_bytes(int rank) const { return kv_elements(rank) * size_of(problem.dtype); }
  std::int64_t gradient_bytes(int rank) const { return kv_elements(rank) * 4; }  // dK, dV are float32

  substrate::OpDtype matrix_dtype() const;
  substrate::OpWork pointwise_work(std::int64_t elements, double bytes_each) const;
};

// The memory of one rank of a real run, one pointer a tensor; all null on virtual fabrics. Layouts as in
// attention_block.h; V lies after K in `kv`, dV after dK in `d_kv`; dQ, dK, dV are float32.
struct SequenceMemory {
  std::byte *q = nullptr, *kv = nullptr, *o = nullptr, *lse = nullptr, *d_out = nullptr, *dq = nullptr, *d_kv = nullptr;
};

}  // namespace assay::parallelism
