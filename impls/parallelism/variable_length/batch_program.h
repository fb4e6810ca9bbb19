#pragma once
// The rank program of a planned batch: each rank works through its items, forward and backward, with ring attention or
// heads exchanged inside the item's group. The same for every planner.
#include <functional>

#include "impls/parallelism/sequence/sequence_plan.h"
#include "impls/parallelism/variable_length/batch_plan.h"
#include "impls/substrate/fabric/group.h"

namespace assay::parallelism {

// Of one member of one item, tensors of its tokens in the order of its share [tokens][heads][d]; V after K in `kv`.
// lse: of its tokens and all heads (ring) or of all tokens of the item and its heads (heads).
using BatchMemory = std::function<SequenceMemory(int item, int member)>;

substrate::Task<> batch_layer(substrate::Rank& rank, const BatchPlan& plan, BatchMemory memory);

// Sizes of one member's tensors, which data and program agree on.
struct ItemSizes {
  ItemSizes(const BatchProblem& problem, const BatchItem& item);

  int element;  // bytes
  int heads, kv_heads, head_dim;
  std::vector<std::int64_t> tokens;  // by member
  std::int64_t all = 0;              // tokens of the item
  bool by_heads;
  int q_heads, kv_heads_of_a_member;  // where heads are exchanged

  std::int64_t q_elements(int m) const { return tokens[static_cast<std::size_t>(m)] * heads * head_dim; }
  std::int64_t kv_elements(int m) const { return 2 * tokens[static_cast<std::size_t>(m)] * kv_heads * head_dim; }
  std::int64_t q_bytes(int m) const { return q_elements(m) * element; }
  std::int64_t kv_bytes(int m) const { return kv_elements(m) * element; }
  std::int64_t gradient_bytes(int m) const { return kv_elements(m) * 4; }
  std::int64_t lse_rows(int m) const { return by_heads ? all * q_heads : tokens[static_cast<std::size_t>(m)] * heads; }
};

// -- the two exchanges, of one item
struct ItemRun {
  const BatchPlan& plan;
  const BatchItem& item;
  ItemSizes sizes;
  substrate::Group group;
  int me;  // member
  substrate::Buffer q, kv, o, lse;
  substrate::Buffer d_out, dq, d_kv;  // backward only
};
substrate::Task<> ring_forward(ItemRun& run);
substrate::Task<> ring_backward(ItemRun& run);
// Keeps what backward needs from forward, so that both are one.
substrate::Task<> heads_layer(ItemRun& run);

// acc, lse <- merged with attention of the queries of one share to the keys of another, sequence by sequence.
void attend(const BatchPlan& plan, const BlockShape& shape, const std::byte* q, const Share& queries,
            const std::byte* k, const std::byte* v, const Share& keys, float* acc, float* lse);
// dQ += ..., dK and dV overwritten; shapes and order as above.
void attend_backward(const BatchPlan& plan, const BlockShape& shape, const std::byte* q, const Share& queries,
                     const std::byte* k, const std::byte* v, const Share& keys, const std::byte* d_out,
                     const float* lse, const float* delta, float* dq, float* dk, float* dv);

// One kernel over several sequences (or their slices): exact FLOPs and exponentials; what tiles of 128 x 128 waste on
// diagonals and short sequences is in the number of keys that a query is taken to see.
substrate::OpWork packed_attention_work(const BatchProblem& problem, const Share& queries, const Share& keys, int heads,
                                        int kv_heads, double bytes, bool backward);
substrate::OpWork elementwise_work(std::int64_t elements, double bytes_each);

}  // namespace assay::parallelism
