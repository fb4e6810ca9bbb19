#include "impls/parallelism/sequence/layer_arithmetic.h"

#include "impls/substrate/models/operator_work.h"

namespace assay::parallelism {

using substrate::Buffer;
using substrate::OpDtype;
using substrate::OpWork;

OpDtype LayerArithmetic::dtype() const {
  return plan->problem.dtype == substrate::DType::bf16 ? OpDtype::bf16 : OpDtype::fp32;
}
OpWork LayerArithmetic::gemm(std::int64_t m, std::int64_t n, std::int64_t k) const {
  return substrate::gemm_work(m, n, k, dtype());
}
OpWork LayerArithmetic::gemm(std::int64_t rows, Weight which) const {
  return gemm(rows, plan->columns_of(which), plan->rows_of(which));
}
OpWork LayerArithmetic::gemm_back(std::int64_t rows, Weight which) const {
  return gemm(rows, plan->rows_of(which), plan->columns_of(which));
}
OpWork LayerArithmetic::gemm_gradient(std::int64_t rows, Weight which) const {
  return gemm(plan->rows_of(which), plan->columns_of(which), rows);
}
OpWork LayerArithmetic::normalising(std::int64_t rows, double tensors_read) const {
  const auto count = static_cast<double>(rows * plan->hidden);
  return substrate::norm_work(tensors_read * count, count, dtype(), rows);
}
OpWork LayerArithmetic::pointwise(std::int64_t rows, std::int64_t read, std::int64_t written) const {
  return substrate::pointwise_work(static_cast<double>(rows * read), static_cast<double>(rows * written), dtype(),
                                   rows);
}

Floats LayerArithmetic::floats(const Buffer& from, std::int64_t first, std::int64_t count) const {
  Floats values(at(count));
  load(plan->problem.dtype, from.read<std::byte>().data(), first, count, values.data());
  return values;
}
Floats LayerArithmetic::whole(const Buffer& from) const {
  return floats(from, 0, from.bytes() / size_of(plan->problem.dtype));
}
Floats LayerArithmetic::stored(Floats values) const {
  if (plan->problem.dtype == substrate::DType::bf16)
    for (float& each : values) each = substrate::to_float(substrate::to_bf16(each));
  return values;
}
void LayerArithmetic::keep(const Floats& values, Buffer& to, std::int64_t first) const {
  store(plan->problem.dtype, values.data(), static_cast<std::int64_t>(values.size()),
        to.write<std::byte>().data() + plan->bytes(first));
}
Floats LayerArithmetic::weight(Weight which) const {
  return floats(*weights, plan->offset(which, layer), plan->size(which));
}
Floats LayerArithmetic::times(const Floats& a, Weight which, std::int64_t rows) const {
  Floats c(at(rows * plan->columns_of(which)));
  product(a.data(), weight(which).data(), rows, plan->rows_of(which), plan->columns_of(which), c.data());
  return c;
}
Floats LayerArithmetic::times_back(const Floats& d, Weight which, std::int64_t rows) const {
  Floats c(at(rows * plan->rows_of(which)));
  product(d.data(), transposed(weight(which), plan->rows_of(which), plan->columns_of(which)).data(), rows,
          plan->columns_of(which), plan->rows_of(which), c.data());
  return c;
}
void LayerArithmetic::add_gradient(Weight which, const Floats& input, const Floats& d, std::int64_t rows,
                                   Buffer& d_weights) const {
  outer_product(input.data(), d.data(), rows, plan->rows_of(which), plan->columns_of(which),
                d_weights.write<float>().data() + plan->offset(which, layer));
}

Floats LayerArithmetic::normalised(Floats rows, Weight which) const {
  normalise(rows, plan->hidden);
  const Floats gains = weight(which);
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i] *= gains[i % gains.size()];
  return rows;
}

void LayerArithmetic::norm_gradient(const Floats& x, Weight which, Floats& d, Buffer* d_weights) const {
  if (d_weights != nullptr) {
    Floats normal = x;
    normalise(normal, plan->hidden);
    float* of_gains = d_weights->write<float>().data() + plan->offset(which, layer);
    for (std::size_t i = 0; i < d.size(); ++i) of_gains[i % at(plan->hidden)] += d[i] * normal[i];
  }
  const Floats gains = weight(which);
  for (std::size_t i = 0; i < d.size(); ++i) d[i] *= gains[i % gains.size()];
  norm_backward(x, plan->hidden, plan->divisor_constant, d);
}

Floats LayerArithmetic::turned(Floats rows, std::int64_t width, Positions positions, std::int64_t rows_each,
                               bool back) const {
  if (plan->rotary_base == 0) return rows;
  const std::int64_t d = plan->problem.head_dim;
  for (std::size_t p = 0; p < positions.size(); ++p)
    for (std::int64_t pair = 0; pair < d / 2; ++pair)
      turn_pairs(&rows[p * at(rows_each * width)], rows_each * width, d, pair,
                 rotary_angle(plan->rotary_base, positions[p], pair, d) * (back ? -1 : 1));
  return rows;
}

Floats LayerArithmetic::active(const Floats& gate, const Floats& up) {
  Floats both(gate.size());
  for (std::size_t i = 0; i < both.size(); ++i) both[i] = silu(gate[i]) * up[i];
  return both;
}

void LayerArithmetic::active_gradient(const Floats& d, Floats& gate, Floats& up) {
  for (std::size_t i = 0; i < d.size(); ++i) {
    const float before = gate[i];
    gate[i] = d[i] * up[i] * silu_slope(before);
    up[i] = d[i] * silu(before);
  }
}

}  // namespace assay::parallelism
