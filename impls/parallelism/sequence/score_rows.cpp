#include "impls/parallelism/sequence/score_rows.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace assay::parallelism {
namespace {

std::vector<float> floats(const BlockShape& shape, const std::byte* from, std::int64_t tokens, int heads) {
  std::vector<float> values(static_cast<std::size_t>(shape.batch * tokens * heads * shape.head_dim));
  load(shape.dtype, from, 0, static_cast<std::int64_t>(values.size()), values.data());
  return values;
}

// Every row of scores: `visit(row, query, key)` gets its place in [batch][queries][heads] and the offsets of its query
// and of the first key of the block in the head that it reads.
template <class Visit>
void each_row(const BlockShape& shape, std::int64_t queries, std::int64_t keys, Visit&& visit) {
  const int group = shape.heads / shape.kv_heads, d = shape.head_dim;
  for (int b = 0; b < shape.batch; ++b)
    for (std::int64_t i = 0; i < queries; ++i)
      for (int h = 0; h < shape.heads; ++h) {
        const std::int64_t row = (b * queries + i) * shape.heads + h;
        visit(row, row * d, (b * keys * shape.kv_heads + h / group) * d);
      }
}

}  // namespace

void score_columns(const BlockShape& shape, const std::byte* a, std::int64_t queries, const std::byte* b,
                   const ScoreColumns& columns, float factor, float* rows) {
  const std::vector<float> of_queries = floats(shape, a, queries, shape.heads);
  const std::vector<float> of_keys = floats(shape, b, columns.count, shape.kv_heads);
  const std::int64_t d = shape.head_dim, stride = shape.kv_heads * d;
  each_row(shape, queries, columns.count, [&](std::int64_t row, std::int64_t query, std::int64_t key) {
    float* to = rows + row * columns.length + columns.first;
    const float* q = of_queries.data() + query;
    for (std::int64_t j = 0; j < columns.count; ++j) {
      const float* k = of_keys.data() + key + j * stride;
      float sum = 0;
      for (std::int64_t x = 0; x < d; ++x) sum += q[x] * k[x];
      to[j] = factor * sum;
    }
  });
}

void mask_columns(const BlockShape& shape, Positions queries, Positions keys, const ScoreColumns& columns,
                  float* rows) {
  if (!shape.causal) return;
  const auto count = static_cast<std::int64_t>(queries.size());
  for (std::int64_t row = 0; row < shape.batch * count * shape.heads; ++row) {
    const std::int64_t position = queries[static_cast<std::size_t>(row / shape.heads % count)];
    float* to = rows + row * columns.length + columns.first;
    for (std::int64_t j = 0; j < columns.count; ++j)
      if (keys[static_cast<std::size_t>(j)] > position) to[j] = -std::numeric_limits<float>::infinity();
  }
}

void softmax_rows(float* rows, std::int64_t count, std::int64_t length, float* lse) {
  for (std::int64_t i = 0; i < count; ++i) {
    float* row = rows + i * length;
    const float top = *std::max_element(row, row + length);
    float sum = 0;
    for (std::int64_t j = 0; j < length; ++j) {
      row[j] = std::exp(row[j] - top);
      sum += row[j];
    }
    for (std::int64_t j = 0; j < length; ++j) row[j] /= sum;
    lse[i] = top + std::log(sum);
  }
}

void softmax_gradient_rows(const float* probabilities, float* d_rows, std::int64_t count, std::int64_t length) {
  for (std::int64_t i = 0; i < count; ++i) {
    const float* p = probabilities + i * length;
    float* d = d_rows + i * length;
    float along = 0;
    for (std::int64_t j = 0; j < length; ++j) along += p[j] * d[j];
    for (std::int64_t j = 0; j < length; ++j) d[j] = p[j] * (d[j] - along);
  }
}

void add_weighted_keys(const BlockShape& shape, const float* rows, std::int64_t queries, const std::byte* b,
                       const ScoreColumns& columns, float factor, float* acc) {
  const std::vector<float> of_keys = floats(shape, b, columns.count, shape.kv_heads);
  const std::int64_t d = shape.head_dim, stride = shape.kv_heads * d;
  each_row(shape, queries, columns.count, [&](std::int64_t row, std::int64_t query, std::int64_t key) {
    const float* weights = rows + row * columns.length + columns.first;
    float* to = acc + query;
    for (std::int64_t j = 0; j < columns.count; ++j) {
      const float weight = factor * weights[j];
      const float* k = of_keys.data() + key + j * stride;
      for (std::int64_t x = 0; x < d; ++x) to[x] += weight * k[x];
    }
  });
}

void weighted_queries(const BlockShape& shape, const float* rows, std::int64_t queries, const std::byte* a,
                      const ScoreColumns& columns, float factor, float* sums) {
  const std::vector<float> of_queries = floats(shape, a, queries, shape.heads);
  const std::int64_t d = shape.head_dim, stride = shape.kv_heads * d;
  std::fill_n(sums, shape.batch * columns.count * stride, 0.0F);
  each_row(shape, queries, columns.count, [&](std::int64_t row, std::int64_t query, std::int64_t key) {
    const float* weights = rows + row * columns.length + columns.first;
    const float* q = of_queries.data() + query;
    for (std::int64_t j = 0; j < columns.count; ++j) {
      const float weight = factor * weights[j];
      float* to = sums + key + j * stride;
      for (std::int64_t x = 0; x < d; ++x) to[x] += weight * q[x];
    }
  });
}

}  // namespace assay::parallelism
