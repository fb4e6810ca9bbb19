#pragma once
// Attention by whole rows of scores, one product a stage, in float32: what schemes before flash attention do, where a
// row of scores of all keys lies in memory between the pass over K and the pass over V. Plain loops.
//
// Rows are [batch][queries][heads][length]: one number for every key of the sequence, of which a block of keys fills
// `count` columns from `first` on. Q, K, V, dO as in attention_block.h, of `dtype`; what is accumulated is float32.
#include <cstdint>

#include "impls/parallelism/sequence/attention_block.h"

namespace assay::parallelism {

struct ScoreColumns {
  std::int64_t length = 0;  // of a row
  std::int64_t first = 0, count = 0;
};

// rows[., j] = factor a . b_j, of queries a (Q or dO) and keys b (K or V).
void score_columns(const BlockShape& shape, const std::byte* a, std::int64_t queries, const std::byte* b,
                   const ScoreColumns& columns, float factor, float* rows);
// -infinity where the key of a column is later than the query of the row.
void mask_columns(const BlockShape& shape, Positions queries, Positions keys, const ScoreColumns& columns, float* rows);
// Rows of scores to probabilities, in place; lse of every row.
void softmax_rows(float* rows, std::int64_t count, std::int64_t length, float* lse);
// d_rows <- P (dP - sum_j P_j dP_j), from dP, in place.
void softmax_gradient_rows(const float* probabilities, float* d_rows, std::int64_t count, std::int64_t length);
// acc += rows[., block] b (of V: O; of K: dQ), acc as Q, times `factor`.
void add_weighted_keys(const BlockShape& shape, const float* rows, std::int64_t queries, const std::byte* b,
                       const ScoreColumns& columns, float factor, float* acc);
// sums <- rows[., block]^T a (of dO: dV; of Q: dK), sums as K, times `factor`. Overwrites.
void weighted_queries(const BlockShape& shape, const float* rows, std::int64_t queries, const std::byte* a,
                      const ScoreColumns& columns, float factor, float* sums);

}  // namespace assay::parallelism
