#include "impls/parallelism/sequence/decoder_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "impls/parallelism/sequence/attention_block.h"
#include "impls/parallelism/sequence/dtype_rule.h"
#include "impls/parallelism/sequence/token_wise.h"

namespace assay::parallelism {

using substrate::DType;
using Matrix = std::vector<double>;
using Weight = StreamPlan::Weight;

namespace {

constexpr double kGainDeviation = 0.1;
constexpr const char* kNames[StreamPlan::kWeights] = {"dg1", "dWq",    "dWk",  "dWv",    "dWo",
                                                      "dg2", "dWgate", "dWup", "dWdown", "dWhead"};

double rounded(double value, DType dtype) {
  const auto narrow = static_cast<float>(value);
  return dtype == DType::bf16 ? static_cast<double>(substrate::to_float(substrate::to_bf16(narrow)))
                              : static_cast<double>(narrow);
}

}  // namespace

Matrix drawn_normal(substrate::Random& random, std::int64_t count, double deviation, DType dtype) {
  Matrix values(at(count));
  for (double& value : values) value = rounded(random.normal() * deviation, dtype);
  return values;
}

Matrix drawn_weights(substrate::Random& random, const StreamPlan& plan) {
  Matrix all;
  const auto draw = [&](Weight which) {
    const DType dtype = plan.problem.dtype;
    const bool gains = StreamPlan::is_norm(which);
    Matrix each = drawn_normal(random, plan.size(which),
                               gains ? kGainDeviation : 1 / std::sqrt(static_cast<double>(plan.rows_of(which))), dtype);
    for (double& gain : each)
      if (gains) gain = rounded(1 + gain, dtype);
    all.insert(all.end(), each.begin(), each.end());
  };
  for (int layer = 0; layer < plan.layers; ++layer)
    for (int which = 0; which < Weight::head; ++which) draw(static_cast<Weight>(which));
  draw(Weight::head);
  return all;
}

std::vector<std::byte> packed(const Matrix& values, DType dtype) {
  const std::vector<float> narrow(values.begin(), values.end());
  std::vector<std::byte> bytes(values.size() * at(size_of(dtype)));
  store(dtype, narrow.data(), static_cast<std::int64_t>(narrow.size()), bytes.data());
  return bytes;
}

Matrix unpacked(const std::vector<std::byte>& bytes, DType dtype) {
  std::vector<float> values(bytes.size() / at(size_of(dtype)));
  load(dtype, bytes.data(), 0, static_cast<std::int64_t>(values.size()), values.data());
  return {values.begin(), values.end()};
}

Matrix weight_of(const StreamPlan& plan, const Matrix& weights, Weight which, int layer) {
  const auto first = weights.begin() + plan.offset(which, layer);
  return {first, first + plan.size(which)};
}

TransformerInputs layer_inputs(const StreamPlan& plan, const Matrix& weights, int layer, std::int64_t tokens, int batch,
                               Matrix x) {
  const SequenceProblem& p = plan.problem;
  const auto weight = [&](Weight which) { return weight_of(plan, weights, which, layer); };
  return {.length = tokens,
          .batch = batch,
          .heads = p.heads,
          .kv_heads = p.kv_heads,
          .head_dim = p.head_dim,
          .inner = plan.inner,
          .causal = p.causal,
          .epsilon = kNormEpsilon,
          .x = std::move(x),
          .wq = weight(Weight::query),
          .wk = weight(Weight::key),
          .wv = weight(Weight::value),
          .wo = weight(Weight::output),
          .w1 = weight(Weight::up),
          .w2 = weight(Weight::down),
          .dz = {},
          .hidden = plan.hidden,
          .rotary_base = plan.rotary_base,
          .gate = weight(Weight::gate),
          .g1 = weight(Weight::attention_norm),
          .g2 = weight(Weight::inner_norm)};
}

void add_gradient(const StreamPlan& plan, int layer, Weight which, const Matrix& gradient, Matrix& all) {
  for (std::size_t i = 0; i < gradient.size(); ++i) all[at(plan.offset(which, layer)) + i] += gradient[i];
}

void add_gradients(const StreamPlan& plan, int layer, const TransformerOutputs& of_layer, Matrix& all) {
  add_gradient(plan, layer, Weight::attention_norm, of_layer.dg1, all);
  add_gradient(plan, layer, Weight::query, of_layer.dwq, all);
  add_gradient(plan, layer, Weight::key, of_layer.dwk, all);
  add_gradient(plan, layer, Weight::value, of_layer.dwv, all);
  add_gradient(plan, layer, Weight::output, of_layer.dwo, all);
  add_gradient(plan, layer, Weight::inner_norm, of_layer.dg2, all);
  add_gradient(plan, layer, Weight::gate, of_layer.d_gate, all);
  add_gradient(plan, layer, Weight::up, of_layer.dw1, all);
  add_gradient(plan, layer, Weight::down, of_layer.dw2, all);
}

void hold_gradients(const StreamPlan& plan, std::size_t rank, const Matrix& got, const Matrix& exact,
                    const Matrix& naive, harness::Check& check, double least) {
  const auto compare = [&](Weight which, int layer) {
    const std::int64_t first = plan.offset(which, layer);
    const double of_few = StreamPlan::is_norm(which) ? least_of_few(plan.problem.dtype) : least;  // gains are h numbers
    hold(fmt::format("{} of layer {} on rank {}", kNames[which], layer, rank), got.data() + first, exact.data() + first,
         naive.data() + first, plan.size(which), check, std::max(least, of_few));
  };
  for (int layer = 0; layer < plan.layers; ++layer)
    for (int which = 0; which < Weight::head; ++which) compare(static_cast<Weight>(which), layer);
  if (plan.vocab > 0) compare(Weight::head, 0);
}

}  // namespace assay::parallelism
