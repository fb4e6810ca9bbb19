#pragma once
// What the data of programs on a decoder's weights (StreamPlan) share: weights as they are drawn, a layer of them as
// the oracle takes it, its gradients back in their order, and their comparison.
#include <cstddef>
#include <cstdint>
#include <vector>

#include "harness/state.h"
#include "impls/parallelism/sequence/streambp.h"
#include "impls/parallelism/sequence/transformer_oracle.h"
#include "impls/substrate/random.h"

namespace assay::parallelism {

// From N(0, deviation), rounded to the dtype.
std::vector<double> drawn_normal(substrate::Random& random, std::int64_t count, double deviation,
                                 substrate::DType dtype);
// Products from N(0, 1 / rows), gains from N(1, 0.1), rounded to the dtype.
std::vector<double> drawn_weights(substrate::Random& random, const StreamPlan& plan);

// Bytes in the dtype, and back.
std::vector<std::byte> packed(const std::vector<double>& values, substrate::DType dtype);
std::vector<double> unpacked(const std::vector<std::byte>& bytes, substrate::DType dtype);

std::vector<double> weight_of(const StreamPlan& plan, const std::vector<double>& weights, StreamPlan::Weight which,
                              int layer = 0);
// x [tokens][batch][h]; without dz.
TransformerInputs layer_inputs(const StreamPlan& plan, const std::vector<double>& weights, int layer,
                               std::int64_t tokens, int batch, std::vector<double> x);
// Adds the gradients of a layer's weights, or of one weight, to those of all.
void add_gradients(const StreamPlan& plan, int layer, const TransformerOutputs& of_layer, std::vector<double>& all);
void add_gradient(const StreamPlan& plan, int layer, StreamPlan::Weight which, const std::vector<double>& gradient,
                  std::vector<double>& all);

// Takes the worst element of the gradients of every weight, as a rank has them, into the check.
void hold_gradients(const StreamPlan& plan, std::size_t rank, const std::vector<double>& got,
                    const std::vector<double>& exact, const std::vector<double>& naive, harness::Check& check,
                    double least);

}  // namespace assay::parallelism
