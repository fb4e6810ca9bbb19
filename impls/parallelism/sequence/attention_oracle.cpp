#include "impls/parallelism/sequence/attention_oracle.h"

#include <algorithm>
#include <cmath>

namespace assay::parallelism {

namespace {

struct Row {
  std::vector<double> p;   // softmax weights of the visible keys
  std::vector<double> dp;  // dO . V of the same
  double lse = 0;
  double delta = 0;  // sum of p * dp
};

double dot(const double* a, const double* b, int d) {
  double sum = 0;
  for (int x = 0; x < d; ++x) sum += a[x] * b[x];
  return sum;
}

std::size_t at(const OracleInputs& in, int heads, int b, std::int64_t row, int head) {
  return static_cast<std::size_t>(((b * in.length + row) * heads + head) * in.head_dim);
}

Row weights(const OracleInputs& in, int b, int h, std::int64_t i) {
  const int kv = h / (in.heads / in.kv_heads);
  const std::int64_t keys = in.causal ? i + 1 : in.length;
  const double scale = 1 / std::sqrt(static_cast<double>(in.head_dim));
  Row row;
  row.p.resize(static_cast<std::size_t>(keys));
  for (std::int64_t j = 0; j < keys; ++j)
    row.p[static_cast<std::size_t>(j)] =
        scale * dot(&in.q[at(in, in.heads, b, i, h)], &in.k[at(in, in.kv_heads, b, j, kv)], in.head_dim);
  const double top = *std::ranges::max_element(row.p);
  double sum = 0;
  for (double& s : row.p) sum += s = std::exp(s - top);
  for (double& p : row.p) p /= sum;
  row.lse = top + std::log(sum);
  if (in.d_out.empty()) return row;
  row.dp.resize(row.p.size());
  for (std::int64_t j = 0; j < keys; ++j) {
    const auto z = static_cast<std::size_t>(j);
    row.dp[z] = dot(&in.d_out[at(in, in.heads, b, i, h)], &in.v[at(in, in.kv_heads, b, j, kv)], in.head_dim);
    row.delta += row.p[z] * row.dp[z];
  }
  return row;
}

}  // namespace

OracleRow attention_oracle_row(const OracleInputs& in, int b, int h, std::int64_t i) {
  const int kv = h / (in.heads / in.kv_heads);
  const double scale = 1 / std::sqrt(static_cast<double>(in.head_dim));
  const Row row = weights(in, b, h, i);
  OracleRow out;
  out.lse = row.lse;
  out.o.assign(static_cast<std::size_t>(in.head_dim), 0);
  if (!in.d_out.empty()) out.dq.assign(out.o.size(), 0);
  for (std::size_t j = 0; j < row.p.size(); ++j) {
    const std::size_t key = at(in, in.kv_heads, b, static_cast<std::int64_t>(j), kv);
    for (std::size_t x = 0; x < out.o.size(); ++x) out.o[x] += row.p[j] * in.v[key + x];
    if (out.dq.empty()) continue;
    const double ds = scale * row.p[j] * (row.dp[j] - row.delta);
    for (std::size_t x = 0; x < out.o.size(); ++x) out.dq[x] += ds * in.k[key + x];
  }
  return out;
}

OracleOutputs attention_oracle(const OracleInputs& in) {
  const bool backward = !in.d_out.empty();
  const double scale = 1 / std::sqrt(static_cast<double>(in.head_dim));
  const auto d = static_cast<std::size_t>(in.head_dim);
  OracleOutputs out;
  out.o.assign(in.q.size(), 0);
  out.lse.assign(in.q.size() / d, 0);
  if (backward) {
    out.dq.assign(in.q.size(), 0);
    out.dk.assign(in.k.size(), 0);
    out.dv.assign(in.v.size(), 0);
  }
  for (int b = 0; b < in.batch; ++b)
    for (int h = 0; h < in.heads; ++h)
      for (std::int64_t i = 0; i < in.length; ++i) {
        const int kv = h / (in.heads / in.kv_heads);
        const Row row = weights(in, b, h, i);
        const std::size_t query = at(in, in.heads, b, i, h);
        out.lse[query / d] = row.lse;
        for (std::size_t j = 0; j < row.p.size(); ++j) {
          const std::size_t key = at(in, in.kv_heads, b, static_cast<std::int64_t>(j), kv);
          for (std::size_t x = 0; x < d; ++x) out.o[query + x] += row.p[j] * in.v[key + x];
          if (!backward) continue;
          const double ds = scale * row.p[j] * (row.dp[j] - row.delta);
          for (std::size_t x = 0; x < d; ++x) {
            out.dq[query + x] += ds * in.k[key + x];
            out.dk[key + x] += ds * in.q[query + x];
            out.dv[key + x] += row.p[j] * in.d_out[query + x];
          }
        }
      }
  return out;
}

}  // namespace assay::parallelism
