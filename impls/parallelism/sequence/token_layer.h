#pragma once
// A transformer layer (norm, QKV, attention, output, norm, inner layer with GELU, residuals) on rows of tokens that a
// rank has whole, around any attention: what schemes build on that have all weights on every rank. Weights lie as
// StreamPlan says, without its head.
#include "impls/parallelism/sequence/ring_attention.h"
#include "impls/parallelism/sequence/streambp.h"
#include "impls/parallelism/sequence/token_wise.h"
#include "impls/substrate/fabric/rank.h"

namespace assay::parallelism {

class TokenLayer {
 public:
  using Weight = StreamPlan::Weight;

  // `rows` of h elements; `plan` gives the shape of the weights and the dtype.
  TokenLayer(substrate::Rank& rank, const StreamPlan& plan, const substrate::Buffer& weights, std::int64_t rows,
             std::vector<std::int64_t> positions);

  // z from x, both [rows][h]. `attend` gets q and kv, [rows][H d] and twice [rows][Hk d], and makes o and lse.
  substrate::Task<> forward(const substrate::Buffer& x, substrate::Buffer& z, const ShardPass& attend);
  // Adds the gradients of the weights to `d_weights` (float32) from that of z. `attend` makes dq (allocated) and d_kv
  // from d_out. What the layer takes in is not differentiated.
  substrate::Task<> backward(const substrate::Buffer& dz, substrate::Buffer& d_weights, const ShardPass& attend);

  // -- pieces, for a head on the layer
  substrate::OpDtype dtype() const;
  Floats floats(const substrate::Buffer& from, std::int64_t first, std::int64_t count) const;
  Floats whole(const substrate::Buffer& from) const;
  Floats stored(Floats values) const;  // as between two operators
  void keep(const Floats& values, substrate::Buffer& to) const;
  Floats times(const Floats& a, Weight which, std::int64_t rows) const;
  Floats times_back(const Floats& d, Weight which, std::int64_t rows) const;
  void add_gradient(Weight which, const Floats& input, const Floats& d, std::int64_t rows,
                    substrate::Buffer& d_weights) const;

 private:
  substrate::OpWork gemm(Weight which) const;           // forward
  substrate::OpWork gemm_back(Weight which) const;      // of the input
  substrate::OpWork gemm_gradient(Weight which) const;  // of the weight
  substrate::OpWork normalising(double tensors_read) const;
  substrate::Buffer activation(const char* name, std::int64_t columns);

  substrate::Rank& rank_;
  const StreamPlan& plan_;
  const substrate::Buffer& weights_;
  std::int64_t rows_, h_;
  RingShard shard_;
  substrate::Buffer normal_, y_, normal_y_, inner_;
};

}  // namespace assay::parallelism
