#pragma once
// Attention of a set of queries against one block of keys, forward and backward, in float32: the kernels every scheme
// that moves K and V shares. Plain loops over tiles of 32 queries and 64 keys; masks come from positions.
//
// Layouts: Q, O, dO, dQ [batch][queries][heads][d]; K and V [batch][keys][kv_heads][d]; lse, delta
// [batch][queries][heads]. Q, K, V, dO are of `dtype`; everything accumulated is float32. Query head h reads key head h
// / (heads / kv_heads).
#include <cstddef>
#include <cstdint>
#include <span>

#include "impls/substrate/dtype.h"

namespace assay::parallelism {

struct BlockShape {
  int batch = 1, heads = 1, kv_heads = 1, head_dim = 1;
  bool causal = false;
  substrate::DType dtype = substrate::DType::f32;
  float scale = 1;  // normally 1 / sqrt(d)
};

// Positions of the rows, which decide what a query sees: keys that are not later.
using Positions = std::span<const std::int64_t>;

// Takes (o, lse) of one row over some keys into (acc, acc_lse) of the same row over others, both normalised:
//   l = log(exp(l1) + exp(l2));  O = exp(l1 - l) O1 + exp(l2 - l) O2.
using Merge = void (*)(float* acc, float& acc_lse, const float* o, float lse, int head_dim);
void merge_rescaled(float* acc, float& acc_lse, const float* o, float lse, int head_dim);

// acc, acc_lse <- merged with attention of q against (k, v). Start from acc = 0, acc_lse = -infinity.
void block_forward(const BlockShape& shape, const std::byte* q, Positions q_positions, const std::byte* k,
                   const std::byte* v, Positions k_positions, Merge merge, float* acc, float* acc_lse);

// delta = rowsum(dO * O), O as stored in `dtype`.
void row_delta(const BlockShape& shape, const std::byte* d_out, const std::byte* o, std::int64_t rows, float* delta);

// With lse and delta of the full rows the gradient of a block is exact: P = exp(s - lse), dV = P^T dO, dP = dO V^T,
// dS = P (dP - delta), dK = scale dS^T Q (dK and dV are overwritten); dQ += scale dS K.
void block_backward(const BlockShape& shape, const std::byte* q, Positions q_positions, const std::byte* k,
                    const std::byte* v, Positions k_positions, const std::byte* d_out, const float* lse,
                    const float* delta, float* dq, float* dk, float* dv);

// The same with dK and dV added to what is there.
void add_block_backward(const BlockShape& shape, const std::byte* q, Positions q_positions, const std::byte* k,
                        const std::byte* v, Positions k_positions, const std::byte* d_out, const float* lse,
                        const float* delta, float* dq, float* dk, float* dv);

// dtype -> float32, `count` elements from element `index` on.
void load(substrate::DType dtype, const std::byte* from, std::int64_t index, std::int64_t count, float* to);
// float32 -> dtype, element by element.
void store(substrate::DType dtype, const float* from, std::int64_t count, std::byte* to);

}  // namespace assay::parallelism
