#include "impls/parallelism/sequence/sequence_plan.h"

#include <cmath>

namespace assay::parallelism {

BlockShape SequenceProblem::block() const {
  return {.batch = batch,
          .heads = heads,
          .kv_heads = kv_heads,
          .head_dim = head_dim,
          .causal = causal,
          .dtype = dtype,
          .scale = 1 / std::sqrt(static_cast<float>(head_dim))};
}

double SequenceProblem::flops() const {
  const auto l = static_cast<double>(length);
  const double pairs = causal ? l * (l + 1) / 2 : l * l;
  return (backward ? 14 : 4) * pairs * heads * head_dim * batch;
}

SequencePlan::SequencePlan(const SequenceProblem& layer, int members)
    : problem(layer), layout(layer.layout, layer.length, layer.ranks, members), block(layer.block()) {}

substrate::OpDtype SequencePlan::matrix_dtype() const {
  return problem.dtype == substrate::DType::bf16 ? substrate::OpDtype::bf16 : substrate::OpDtype::fp32;
}

substrate::OpWork SequencePlan::pointwise_work(std::int64_t elements, double bytes_each) const {
  return {.kind = substrate::OpKind::pointwise,
          .dtype = substrate::OpDtype::fp32,
          .flops = 2 * static_cast<double>(elements),
          .bytes = bytes_each * static_cast<double>(elements)};
}

}  // namespace assay::parallelism
