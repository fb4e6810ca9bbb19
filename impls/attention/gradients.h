#pragma once
// What the right gradients are, and how far from them a kernel may be.
#include <cstdint>
#include <vector>

#include "harness/state.h"
#include "impls/attention/problem.h"

namespace assay::attention {

// Gradients of a scalar with respect to Q, K and V when its gradient with respect to O is dO; views as Q, K, V, O.
struct GradientTensors {
  substrate::View d_o, d_q, d_k, d_v;
};

// The float64 gradients of one input draw, by the formulas of materialised attention: P = softmax(S), dV = P^T dO,
// dP = dO V^T, D = rowsum(P dP), dS = P (dP - D), dQ = scale dS K, dK = scale dS^T Q. The yardstick is the same in the
// problem's dtype: f32 sums in order; P, dP, dS and the results rounded. Rule: err(kernel, f64) <= 2 err(naive, f64) +
// 1e-5 for each of dQ, dK, dV, where err(naive) counts as at least the half unit in the last place of the largest
// value.
//
// Problems up to kFullCheckFlops are compared whole. Above, queries are sampled for dQ and keys for dK and dV; a key's
// gradient needs LSE and O of every query, which are then those of `inputs` (what the forward pass, checked by itself,
// left there), rather than float64's.
class GradientReference {
 public:
  GradientReference(const Problem& problem, const Tensors& inputs, const substrate::View& d_o, std::uint64_t seed);
  harness::Check compare(const GradientTensors& outputs) const;

 private:
  struct Line {
    int b, head, index;  // of dQ: query head and row; of dK, dV: key head and key
    std::vector<double> exact;
  };
  struct Part {
    const char* name;
    std::vector<Line> lines;
    double tolerance = 0;
  };
  void finish(Part& part, double naive_error) const;
  Problem problem_;
  Part d_q_{"dQ", {}}, d_k_{"dK", {}}, d_v_{"dV", {}};
};

}  // namespace assay::attention
