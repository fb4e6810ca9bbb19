#pragma once
// A decoder's layer (StreamPlan) on rows of tokens that a rank has whole, around any attention: what schemes build on
// that have all weights on every rank.
#include "impls/parallelism/sequence/layer_arithmetic.h"
#include "impls/parallelism/sequence/ring_attention.h"
#include "impls/parallelism/sequence/streambp.h"
#include "impls/substrate/fabric/rank.h"

namespace assay::parallelism {

class TokenLayer {
 public:
  using Weight = StreamPlan::Weight;

  // `rows` of h elements, one a position where `plan` has positions; `plan` gives the shape of the weights, of which
  // the first layer's and the head's are used, and the dtype.
  TokenLayer(substrate::Rank& rank, const StreamPlan& plan, const substrate::Buffer& weights, std::int64_t rows,
             std::vector<std::int64_t> positions);

  // z from x, both [rows][h]. `attend` gets q and kv, [rows][H d] and twice [rows][Hk d], and makes o and lse.
  substrate::Task<> forward(const substrate::Buffer& x, substrate::Buffer& z, const ShardPass& attend);
  // Adds the gradients of the weights to `d_weights` (float32) from that of z; `x` as it was forward. `attend` makes dq
  // (allocated) and d_kv from d_out. What the layer takes in is not differentiated.
  substrate::Task<> backward(const substrate::Buffer& x, const substrate::Buffer& dz, substrate::Buffer& d_weights,
                             const ShardPass& attend);

  // For a head on the layer.
  const LayerArithmetic& arithmetic() const { return of_; }

 private:
  substrate::Buffer activation(const char* name, std::int64_t columns);

  substrate::Rank& rank_;
  const StreamPlan& plan_;
  LayerArithmetic of_;
  std::int64_t rows_, h_;
  RingShard shard_;
  substrate::Buffer normal_, y_, normal_y_, gate_, up_, active_;
};

}  // namespace assay::parallelism
