#pragma once
// The products and token-wise steps of a decoder's layer: the work they are to a device, and their bodies on real data
// in float32. For programs that hold all weights of StreamPlan on every rank.
#include "impls/parallelism/sequence/streambp.h"
#include "impls/parallelism/sequence/token_wise.h"
#include "impls/substrate/fabric/rank.h"

namespace assay::parallelism {

struct LayerArithmetic {
  using Weight = StreamPlan::Weight;

  const StreamPlan* plan;
  const substrate::Buffer* weights;
  int layer = 0;

  // -- work
  substrate::OpDtype dtype() const;
  substrate::OpWork gemm(std::int64_t m, std::int64_t n, std::int64_t k) const;
  // Of rows with a weight; of the gradient of the rows, and of that of the weight.
  substrate::OpWork gemm(std::int64_t rows, Weight which) const;
  substrate::OpWork gemm_back(std::int64_t rows, Weight which) const;
  substrate::OpWork gemm_gradient(std::int64_t rows, Weight which) const;
  substrate::OpWork normalising(std::int64_t rows, double tensors_read) const;  // of h elements
  // Of rows of elements; all in the dtype.
  substrate::OpWork pointwise(std::int64_t rows, std::int64_t read, std::int64_t written) const;

  // -- real data
  Floats floats(const substrate::Buffer& from, std::int64_t first, std::int64_t count) const;
  Floats whole(const substrate::Buffer& from) const;
  Floats stored(Floats values) const;  // as between two operators
  void keep(const Floats& values, substrate::Buffer& to, std::int64_t first = 0) const;
  Floats weight(Weight which) const;
  Floats times(const Floats& a, Weight which, std::int64_t rows) const;
  Floats times_back(const Floats& d, Weight which, std::int64_t rows) const;
  void add_gradient(Weight which, const Floats& input, const Floats& d, std::int64_t rows,
                    substrate::Buffer& d_weights) const;

  // The norm of rows of h with the gains `which`, and its gradient in place; `d_weights` null: not that of the gains.
  Floats normalised(Floats rows, Weight which) const;
  void norm_gradient(const Floats& x, Weight which, Floats& d, substrate::Buffer* d_weights) const;
  // Queries or keys turned by their positions, `rows_each` rows a position; `back`: their gradients.
  Floats turned(Floats rows, std::int64_t width, Positions positions, std::int64_t rows_each, bool back) const;
  // gate <- its gradient and up <- its gradient, from that of silu(gate) * up.
  static Floats active(const Floats& gate, const Floats& up);
  static void active_gradient(const Floats& d, Floats& gate, Floats& up);
};

}  // namespace assay::parallelism
