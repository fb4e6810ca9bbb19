#pragma once
// OpWork of the usual operators: FLOPs, least traffic and exponentials counted once, here.
#include <cstdint>
#include <string_view>

#include "impls/substrate/models/op_work.h"

namespace assay::substrate {

OpDtype op_dtype(std::string_view name);  // throws UserError for a name the models do not know
double bytes_per_element(OpDtype dtype);  // of the operand

OpWork gemm_work(std::int64_t m, std::int64_t n, std::int64_t k, OpDtype dtype, std::int64_t batch = 1);

struct AttentionShape {
  std::int64_t batch = 1, heads = 1, kv_heads = 1, sequence = 0, keys = 0, head_dim = 0;
  bool causal = false;
};
double visible_pairs(const AttentionShape& shape);  // unmasked (query, key) pairs of one head of one sequence
OpWork attention_work(const AttentionShape& shape, AttentionSchedule schedule, OpDtype dtype);
OpWork attention_backward_work(const AttentionShape& shape, AttentionSchedule schedule, OpDtype dtype);

// Elements of `dtype` read and written through device memory; with `rows` (tokens), one block of threads a row.
OpWork pointwise_work(double elements_read, double elements_written, OpDtype dtype, std::int64_t rows = 0);
// A reduction along rows.
OpWork norm_work(double elements_read, double elements_written, OpDtype dtype, std::int64_t rows = 0);
OpWork copy_work(double bytes);  // read once and written once

}  // namespace assay::substrate
