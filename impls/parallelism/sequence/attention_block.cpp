#include "impls/parallelism/sequence/attention_block.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

namespace assay::parallelism {

using substrate::DType;

void load(DType dtype, const std::byte* from, std::int64_t index, std::int64_t count, float* to) {
  if (dtype == DType::f32) {
    std::memcpy(to, from + index * 4, static_cast<std::size_t>(count) * 4);
    return;
  }
  const std::byte* source = from + index * 2;
  for (std::int64_t i = 0; i < count; ++i) {
    substrate::BFloat16 value;
    std::memcpy(&value, source + i * 2, 2);
    to[i] = substrate::to_float(value);
  }
}

namespace {

constexpr int kQueryTile = 32;
constexpr int kKeyTile = 64;
constexpr float kNothing = -std::numeric_limits<float>::infinity();

// Rows of one head from a [rows][heads][d] tensor, as [row][d].
void load_rows(const BlockShape& shape, const std::byte* from, int heads, int head, std::int64_t first, int rows,
               float* to) {
  for (int i = 0; i < rows; ++i)
    load(shape.dtype, from, ((first + i) * heads + head) * shape.head_dim, shape.head_dim,
         to + std::ptrdiff_t{i} * shape.head_dim);
}

// [row][d] -> [d][kKeyTile], so that the product below runs along keys.
void transpose(const float* rows, int count, int d, float* columns) {
  for (int j = 0; j < count; ++j)
    for (int x = 0; x < d; ++x) columns[x * kKeyTile + j] = rows[j * d + x];
}

// s[i][j] = sum_x a[i][x] columns[x][j]
void product(const float* a, int rows, int d, const float* columns, float* s) {
  for (int i = 0; i < rows; ++i) {
    float* row = s + i * kKeyTile;
    std::fill_n(row, kKeyTile, 0.0F);
    for (int x = 0; x < d; ++x) {
      const float factor = a[i * d + x];
      const float* column = columns + x * kKeyTile;
      for (int j = 0; j < kKeyTile; ++j) row[j] += factor * column[j];
    }
  }
}

// to[0..d) += factor * from[0..d)
void add_scaled(float factor, const float* from, int d, float* to) {
  for (int x = 0; x < d; ++x) to[x] += factor * from[x];
}

// How many of the ascending key positions a query at `position` sees.
int visible(const BlockShape& shape, std::int64_t position, Positions keys, std::size_t first, int count) {
  if (!shape.causal) return count;
  const auto begin = keys.begin() + static_cast<std::ptrdiff_t>(first);
  return static_cast<int>(std::upper_bound(begin, begin + count, position) - begin);
}

}  // namespace

void merge_rescaled(float* acc, float& acc_lse, const float* o, float lse, int head_dim) {
  if (lse == kNothing) return;
  const float m = std::max(acc_lse, lse);
  const float merged = m + std::log(std::exp(acc_lse - m) + std::exp(lse - m));
  const float keep = std::exp(acc_lse - merged);
  const float take = std::exp(lse - merged);
  for (int x = 0; x < head_dim; ++x) acc[x] = keep * acc[x] + take * o[x];
  acc_lse = merged;
}

void block_forward(const BlockShape& shape, const std::byte* q, Positions q_positions, const std::byte* k,
                   const std::byte* v, Positions k_positions, Merge merge, float* acc, float* acc_lse) {
  const int d = shape.head_dim;
  const int group = shape.heads / shape.kv_heads;
  const auto queries = static_cast<std::int64_t>(q_positions.size());
  const auto keys = static_cast<std::int64_t>(k_positions.size());
  const auto dz = static_cast<std::size_t>(d);
  std::vector<float> q_tile(kQueryTile * dz), k_rows(kKeyTile * dz), k_columns(kKeyTile * dz), v_rows(kKeyTile * dz);
  std::vector<float> o(kQueryTile * dz), s(static_cast<std::size_t>(kQueryTile) * kKeyTile);
  float m[kQueryTile], l[kQueryTile];

  for (int b = 0; b < shape.batch; ++b) {
    for (int h = 0; h < shape.heads; ++h) {
      for (std::int64_t i0 = 0; i0 < queries; i0 += kQueryTile) {
        const int rows = static_cast<int>(std::min<std::int64_t>(kQueryTile, queries - i0));
        load_rows(shape, q, shape.heads, h, b * queries + i0, rows, q_tile.data());
        std::fill(o.begin(), o.end(), 0.0F);
        std::fill_n(m, kQueryTile, kNothing);
        std::fill_n(l, kQueryTile, 0.0F);
        for (std::int64_t j0 = 0; j0 < keys; j0 += kKeyTile) {
          const int columns = static_cast<int>(std::min<std::int64_t>(kKeyTile, keys - j0));
          const std::int64_t last = q_positions[static_cast<std::size_t>(i0 + rows - 1)];
          if (visible(shape, last, k_positions, static_cast<std::size_t>(j0), columns) == 0) continue;
          load_rows(shape, k, shape.kv_heads, h / group, b * keys + j0, columns, k_rows.data());
          load_rows(shape, v, shape.kv_heads, h / group, b * keys + j0, columns, v_rows.data());
          transpose(k_rows.data(), columns, d, k_columns.data());
          product(q_tile.data(), rows, d, k_columns.data(), s.data());
          for (int i = 0; i < rows; ++i) {
            const std::int64_t position = q_positions[static_cast<std::size_t>(i0 + i)];
            const int seen = visible(shape, position, k_positions, static_cast<std::size_t>(j0), columns);
            if (seen == 0) continue;
            float* row = s.data() + std::ptrdiff_t{i} * kKeyTile;
            float top = m[i];
            for (int j = 0; j < seen; ++j) top = std::max(top, row[j] * shape.scale);
            const float shrink = std::exp(m[i] - top);
            m[i] = top;
            l[i] *= shrink;
            float* out = o.data() + std::ptrdiff_t{i} * d;
            for (int x = 0; x < d; ++x) out[x] *= shrink;
            for (int j = 0; j < seen; ++j) {
              const float p = std::exp(row[j] * shape.scale - top);
              l[i] += p;
              add_scaled(p, v_rows.data() + std::ptrdiff_t{j} * d, d, out);
            }
          }
        }
        for (int i = 0; i < rows; ++i) {
          if (l[i] == 0) continue;
          float* out = o.data() + std::ptrdiff_t{i} * d;
          for (int x = 0; x < d; ++x) out[x] /= l[i];
          const std::int64_t row = (b * queries + i0 + i) * shape.heads + h;
          merge(acc + row * d, acc_lse[row], out, m[i] + std::log(l[i]), d);
        }
      }
    }
  }
}

void row_delta(const BlockShape& shape, const std::byte* d_out, const std::byte* o, std::int64_t rows, float* delta) {
  const int d = shape.head_dim;
  std::vector<float> a(static_cast<std::size_t>(d)), b(a.size());
  for (std::int64_t row = 0; row < rows; ++row) {
    load(shape.dtype, d_out, row * d, d, a.data());
    load(shape.dtype, o, row * d, d, b.data());
    float sum = 0;
    for (std::size_t x = 0; x < a.size(); ++x) sum += a[x] * b[x];
    delta[row] = sum;
  }
}

void add_block_backward(const BlockShape& shape, const std::byte* q, Positions q_positions, const std::byte* k,
                        const std::byte* v, Positions k_positions, const std::byte* d_out, const float* lse,
                        const float* delta, float* dq, float* dk, float* dv) {
  const int d = shape.head_dim;
  const int group = shape.heads / shape.kv_heads;
  const auto queries = static_cast<std::int64_t>(q_positions.size());
  const auto keys = static_cast<std::int64_t>(k_positions.size());
  const auto dz = static_cast<std::size_t>(d);
  std::vector<float> q_tile(kQueryTile * dz), g_tile(kQueryTile * dz);
  std::vector<float> k_rows(kKeyTile * dz), v_rows(kKeyTile * dz), columns_of(kKeyTile * dz);
  std::vector<float> s(static_cast<std::size_t>(kQueryTile) * kKeyTile), dp(s.size());

  for (int b = 0; b < shape.batch; ++b) {
    for (int h = 0; h < shape.heads; ++h) {
      for (std::int64_t j0 = 0; j0 < keys; j0 += kKeyTile) {
        const int columns = static_cast<int>(std::min<std::int64_t>(kKeyTile, keys - j0));
        load_rows(shape, k, shape.kv_heads, h / group, b * keys + j0, columns, k_rows.data());
        load_rows(shape, v, shape.kv_heads, h / group, b * keys + j0, columns, v_rows.data());
        for (std::int64_t i0 = 0; i0 < queries; i0 += kQueryTile) {
          const int rows = static_cast<int>(std::min<std::int64_t>(kQueryTile, queries - i0));
          const std::int64_t last = q_positions[static_cast<std::size_t>(i0 + rows - 1)];
          if (visible(shape, last, k_positions, static_cast<std::size_t>(j0), columns) == 0) continue;
          load_rows(shape, q, shape.heads, h, b * queries + i0, rows, q_tile.data());
          load_rows(shape, d_out, shape.heads, h, b * queries + i0, rows, g_tile.data());
          transpose(k_rows.data(), columns, d, columns_of.data());
          product(q_tile.data(), rows, d, columns_of.data(), s.data());
          transpose(v_rows.data(), columns, d, columns_of.data());
          product(g_tile.data(), rows, d, columns_of.data(), dp.data());
          for (int i = 0; i < rows; ++i) {
            const std::int64_t row = (b * queries + i0 + i) * shape.heads + h;
            const std::int64_t position = q_positions[static_cast<std::size_t>(i0 + i)];
            const int seen = visible(shape, position, k_positions, static_cast<std::size_t>(j0), columns);
            for (int j = 0; j < seen; ++j) {
              const std::ptrdiff_t at = std::ptrdiff_t{i} * kKeyTile + j;
              const std::int64_t key = ((b * keys + j0 + j) * shape.kv_heads + h / group) * d;
              const float p = std::exp(s[static_cast<std::size_t>(at)] * shape.scale - lse[row]);
              const float ds = p * (dp[static_cast<std::size_t>(at)] - delta[row]) * shape.scale;
              add_scaled(p, g_tile.data() + std::ptrdiff_t{i} * d, d, dv + key);
              add_scaled(ds, q_tile.data() + std::ptrdiff_t{i} * d, d, dk + key);
              add_scaled(ds, k_rows.data() + std::ptrdiff_t{j} * d, d, dq + row * d);
            }
          }
        }
      }
    }
  }
}

void block_backward(const BlockShape& shape, const std::byte* q, Positions q_positions, const std::byte* k,
                    const std::byte* v, Positions k_positions, const std::byte* d_out, const float* lse,
                    const float* delta, float* dq, float* dk, float* dv) {
  const std::size_t elements =
      k_positions.size() * static_cast<std::size_t>(shape.batch * shape.kv_heads * shape.head_dim);
  std::fill_n(dk, elements, 0.0F);
  std::fill_n(dv, elements, 0.0F);
  add_block_backward(shape, q, q_positions, k, v, k_positions, d_out, lse, delta, dq, dk, dv);
}

void store(DType dtype, const float* from, std::int64_t count, std::byte* to) {
  if (dtype == DType::f32) {
    std::memcpy(to, from, static_cast<std::size_t>(count) * 4);
    return;
  }
  for (std::int64_t i = 0; i < count; ++i) {
    const substrate::BFloat16 value = substrate::to_bf16(from[i]);
    std::memcpy(to + i * 2, &value, 2);
  }
}

}  // namespace assay::parallelism
