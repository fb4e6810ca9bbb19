#pragma once
// The plan and the rank program of StreamBP, for the technique itself and for what asks its memory.
#include <cstdint>

#include "impls/parallelism/sequence/sequence_plan.h"
#include "impls/substrate/fabric/rank.h"

namespace assay::parallelism {

// What a decoder is beside its attention: as Qwen 3 and Llama without the norms of single heads and the last one.
struct DecoderShape {
  int layers = 1;
  std::int64_t hidden = 0;   // h; 0: H d
  std::int64_t inner = 0;    // f of the gated inner layer; 0: 3 h
  std::int64_t vocab = 0;    // V of the head; 0: none
  double rotary_base = 1e6;  // of the positions' angles; 0: no positions
};

// Layers of hidden size h: root-mean-square norms with gains, queries and keys of heads of d elements turned by their
// positions, an inner layer of silu(gate) * up, residuals; a head of V words on the last one.
// Every rank has sequences of its own and all weights: the tokens of `problem` are dealt in runs, and a rank's run is
// its sequence. Activations lie as [tokens][B][...], so that a chunk of tokens is one piece.
struct StreamPlan {
  // `chunk_count`: D of a layer and of the head.
  StreamPlan(const SequenceProblem& layer, int chunk_count, const DecoderShape& decoder);

  SequenceProblem problem;
  SequenceLayout layout;
  BlockShape block;
  int chunks, layers;
  std::int64_t hidden, inner, vocab;
  std::int64_t q_width, kv_width;  // H d and Hk d
  double rotary_base;

  std::int64_t tokens(int rank) const { return layout.tokens(rank); }
  std::int64_t rows(int rank) const { return layout.tokens(rank) * problem.batch; }
  std::int64_t first_token(int rank, int chunk) const { return layout.tokens(rank) * chunk / chunks; }
  std::int64_t bytes(std::int64_t elements) const { return elements * size_of(problem.dtype); }

  // Weights one after the other: of every layer gains [h], Q [h][H d], K and V [h][Hk d], output [H d][h], gains [h],
  // gate and up [h][f], down [f][h]; then the head [h][V].
  enum Weight { attention_norm, query, key, value, output, inner_norm, gate, up, down, head };
  static constexpr int kWeights = 10;
  static constexpr bool is_norm(Weight which) { return which == attention_norm || which == inner_norm; }
  std::int64_t rows_of(Weight which) const;
  std::int64_t columns_of(Weight which) const;
  std::int64_t size(Weight which) const { return rows_of(which) * columns_of(which); }
  std::int64_t offset(Weight which, int layer = 0) const;
  std::int64_t layer_weights() const;
  std::int64_t weights() const { return layers * layer_weights() + size(head); }
  // Those a token is multiplied with: without gains, without the head.
  std::int64_t layer_products() const { return layer_weights() - 2 * hidden; }

  double flops() const;  // of all ranks, forward and backward, nothing computed twice; masked pairs not counted
  // (query, key) pairs of one head of a rank's sequence that are computed where a chunk of queries meets all keys up to
  // its last: (1 + D) / 2D of the square.
  std::int64_t chunk_pairs(int rank) const;

  // What is wrong in mutants.
  int forgets = -1;                 // the gradients of the weights leave out this chunk
  bool last_keys_only = false;      // dK and dV of a chunk replace those before
  bool positions_of_chunk = false;  // queries are turned by their place in the chunk
  bool own_mean = false;            // the loss is a mean over the rank's words, not all
  bool not_reduced = false;         // gradients are not summed over ranks
  bool divisor_constant = false;    // the gradient of the norm takes its divisor for a constant
  bool round_gradient = false;      // the gradient of the last layer's output passes through bf16
};

// x, z, dx [tokens][B][h], z of the last layer; `next` the word that follows a token, -1 where none counts; the loss,
// this rank's part of the mean. x, z and weights in the dtype of the layer, dx, the gradients of the weights and the
// loss in float32. All null on virtual fabrics.
struct StreamMemory {
  std::byte *x = nullptr, *weights = nullptr, *z = nullptr, *dx = nullptr, *d_weights = nullptr, *loss = nullptr;
  const std::int32_t* next = nullptr;
  std::int64_t counted = 1;  // words of all ranks that count
};

substrate::Task<> stream_backpropagation(substrate::Rank& rank, const StreamPlan& plan, StreamMemory memory);

}  // namespace assay::parallelism
