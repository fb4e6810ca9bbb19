#include "impls/substrate/models/operator_work.h"

#include <fmt/format.h>

#include "datasets/user_error.h"

namespace assay::substrate {

OpDtype op_dtype(std::string_view name) {
  for (const OpDtype dtype :
       {OpDtype::bf16, OpDtype::fp16, OpDtype::tf32, OpDtype::fp32, OpDtype::fp8, OpDtype::int8}) {
    if (to_string(dtype) == name) return dtype;
  }
  throw UserError(fmt::format(
      "dtype '{}' is not known to the operator models, expected bf16, fp16, tf32, fp32, fp8 or int8", name));
}

double bytes_per_element(OpDtype dtype) {
  switch (dtype) {
    case OpDtype::bf16:
    case OpDtype::fp16:
      return 2;
    case OpDtype::tf32:
    case OpDtype::fp32:
      return 4;
    case OpDtype::fp8:
    case OpDtype::int8:
      return 1;
  }
  return 0;
}

OpWork gemm_work(std::int64_t m, std::int64_t n, std::int64_t k, OpDtype dtype, std::int64_t batch) {
  OpWork work;
  work.kind = OpKind::gemm;
  work.dtype = dtype;
  work.batch = batch;
  work.m = m;
  work.n = n;
  work.k = k;
  const double rows = static_cast<double>(m), columns = static_cast<double>(n), inner = static_cast<double>(k);
  const double products = static_cast<double>(batch);
  work.flops = 2 * products * rows * columns * inner;
  work.bytes = products * (rows * inner + inner * columns + rows * columns) * bytes_per_element(dtype);
  return work;
}

double visible_pairs(const AttentionShape& shape) {
  const double queries = static_cast<double>(shape.sequence), keys = static_cast<double>(shape.keys);
  if (!shape.causal) return queries * keys;
  if (shape.keys >= shape.sequence) return queries * (keys - queries) + queries * (queries + 1) / 2;
  return keys * (keys + 1) / 2;  // the first queries see nothing
}

namespace {

OpWork attention_base(const AttentionShape& shape, AttentionSchedule schedule, OpDtype dtype) {
  OpWork work;
  work.dtype = dtype;
  work.batch = shape.batch;
  work.heads = shape.heads;
  work.kv_heads = shape.kv_heads;
  work.sequence = shape.sequence;
  work.keys = shape.keys;
  work.head_dim = shape.head_dim;
  work.causal = shape.causal;
  work.schedule = schedule;
  work.exps = visible_pairs(shape) * static_cast<double>(shape.batch * shape.heads);
  return work;
}

}  // namespace

OpWork attention_work(const AttentionShape& shape, AttentionSchedule schedule, OpDtype dtype) {
  OpWork work = attention_base(shape, schedule, dtype);
  work.kind = OpKind::attention;
  work.flops = 4 * work.exps * static_cast<double>(shape.head_dim);
  const double rows = static_cast<double>(shape.batch * shape.sequence * shape.heads);
  const double keys = static_cast<double>(shape.batch * shape.keys * shape.kv_heads);
  const double width = static_cast<double>(shape.head_dim) * bytes_per_element(dtype);
  work.bytes = 2 * (rows + keys) * width + 4 * rows;  // Q, O, K, V once; the log-sum-exp of every row
  return work;
}

OpWork attention_backward_work(const AttentionShape& shape, AttentionSchedule schedule, OpDtype dtype) {
  OpWork work = attention_base(shape, schedule, dtype);
  work.kind = OpKind::attention_backward;
  work.flops = 10 * work.exps * static_cast<double>(shape.head_dim);  // five products for the forward's two
  const double rows = static_cast<double>(shape.batch * shape.sequence * shape.heads);
  const double keys = static_cast<double>(shape.batch * shape.keys * shape.kv_heads);
  const double width = static_cast<double>(shape.head_dim) * bytes_per_element(dtype);
  work.bytes = 4 * (rows + keys) * width + 8 * rows;  // Q, O, dO, dQ; K, V, dK, dV; log-sum-exp and row sums of dO O
  return work;
}

OpWork pointwise_work(double elements_read, double elements_written, OpDtype dtype, std::int64_t rows) {
  OpWork work;
  work.kind = OpKind::pointwise;
  work.dtype = dtype;
  work.bytes = (elements_read + elements_written) * bytes_per_element(dtype);
  if (rows > 0) {
    work.m = rows;
    work.n = static_cast<std::int64_t>((elements_written > 0 ? elements_written : elements_read) /
                                       static_cast<double>(rows));
  }
  return work;
}

OpWork norm_work(double elements_read, double elements_written, OpDtype dtype, std::int64_t rows) {
  OpWork work = pointwise_work(elements_read, elements_written, dtype, rows);
  work.kind = OpKind::norm;
  return work;
}

OpWork copy_work(double bytes) {
  OpWork work;
  work.kind = OpKind::copy;
  work.bytes = 2 * bytes;
  return work;
}

}  // namespace assay::substrate
