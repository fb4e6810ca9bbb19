#pragma once
// The plan and the rank program of Megatron sequence parallelism, for the technique itself and for those that build on
// it.
#include <cstdint>

#include "impls/parallelism/sequence/sequence_plan.h"
#include "impls/substrate/fabric/rank.h"

namespace assay::parallelism {

// One transformer layer over ranks: hidden size h = H d, an inner layer of `inner` = f elements, both cut over the
// ranks. P must divide H, Hk and f; tokens may be dealt unevenly. Activations lie as [tokens][B][...], so that the
// tokens of all ranks one after the other are those of the sequence.
struct MegatronPlan {
  // inner 0: 4 h, as in GPT.
  explicit MegatronPlan(const SequenceProblem& layer, std::int64_t inner_width = 0);

  SequenceProblem problem;
  SequenceLayout layout;
  BlockShape local;  // of attention on a rank's heads
  std::int64_t hidden, inner;
  std::int64_t q_width, kv_width, qkv_width;  // columns of a rank: (H/P) d, (Hk/P) d, and Q, K and V together
  std::int64_t inner_mine;                    // f / P

  std::int64_t rows(int rank) const { return layout.tokens(rank) * problem.batch; }
  std::int64_t all_rows() const { return problem.length * problem.batch; }
  std::int64_t bytes(std::int64_t elements) const { return elements * size_of(problem.dtype); }
  std::int64_t activation_bytes(int rank) const { return bytes(rows(rank) * hidden); }

  // Weights of a rank, one after the other: QKV [h][qkv_width], output [q_width][h], inner [h][f/P], outer [f/P][h].
  std::int64_t qkv_weights() const { return hidden * qkv_width; }
  std::int64_t output_weights() const { return q_width * hidden; }
  std::int64_t inner_weights() const { return hidden * inner_mine; }
  std::int64_t weights() const { return qkv_weights() + output_weights() + 2 * inner_weights(); }

  // Of the layer on all ranks: products, attention (masked pairs not counted), gradients where asked for.
  double flops() const;

  // What is wrong in mutants.
  int deaf_to = -1;               // the activations of this rank are not gathered
  int silent = -1;                // the partial sums of this rank are left out
  bool own_tokens_only = false;   // weight gradients of the tokens of the rank, without the gather
  bool divisor_constant = false;  // the gradient of the norm takes its divisor for a constant
  bool round_output = false;      // the layer's output passes through bf16
};

// The memory of one rank of a real run; all null on virtual fabrics. x, z (output), dz, dx [tokens][B][h] and the
// weights in the dtype of the layer, dx and the weights' gradients in float32.
struct MegatronMemory {
  std::byte *x = nullptr, *weights = nullptr, *z = nullptr, *dz = nullptr, *dx = nullptr, *d_weights = nullptr;
};

// Forward, and backward where the problem asks for it.
substrate::Task<> megatron_layer(substrate::Rank& rank, const MegatronPlan& plan, MegatronMemory memory);

}  // namespace assay::parallelism
