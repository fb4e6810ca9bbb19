#include "impls/parallelism/sequence/attention_oracle.h"

#include <algorithm>
#include <cmath>

namespace assay::parallelism {

namespace {

// How a reference computes: its arithmetic, and what becomes of a value that naive attention stores.
struct Exact {
  using Real = double;
  static double stored(double value) { return value; }
};
struct NaiveF32 {
  using Real = float;
  static float stored(float value) { return value; }
};
struct NaiveBf16 {
  using Real = float;
  static float stored(float value) { return substrate::to_float(substrate::to_bf16(value)); }
};

template <class How>
struct Row {
  using Real = typename How::Real;
  std::vector<Real> p;   // softmax weights of the visible keys
  std::vector<Real> dp;  // dO . V of the same
  Real lse = 0;
};

template <class Real, class B>
Real dot(const double* a, const B* b, int d) {
  Real sum = 0;
  for (int x = 0; x < d; ++x) sum += static_cast<Real>(a[x]) * static_cast<Real>(b[x]);
  return sum;
}

template <class Real>
Real scale_of(const OracleInputs& in) {
  return 1 / std::sqrt(static_cast<Real>(in.head_dim));
}

std::size_t at(const OracleInputs& in, int heads, int b, std::int64_t row, int head) {
  return static_cast<std::size_t>(((b * in.length + row) * heads + head) * in.head_dim);
}

template <class How>
Row<How> weights(const OracleInputs& in, int b, int h, std::int64_t i) {
  using Real = typename How::Real;
  const int kv = h / (in.heads / in.kv_heads);
  const std::int64_t keys = in.causal ? i + 1 : in.length;
  const auto scale = scale_of<Real>(in);
  Row<How> row;
  row.p.resize(static_cast<std::size_t>(keys));
  for (std::int64_t j = 0; j < keys; ++j)
    row.p[static_cast<std::size_t>(j)] =
        scale * dot<Real>(&in.q[at(in, in.heads, b, i, h)], &in.k[at(in, in.kv_heads, b, j, kv)], in.head_dim);
  const Real top = *std::ranges::max_element(row.p);
  Real sum = 0;
  for (Real& s : row.p) sum += s = std::exp(s - top);
  for (Real& p : row.p) p = How::stored(p / sum);
  row.lse = top + std::log(sum);
  if (in.d_out.empty()) return row;
  row.dp.resize(row.p.size());
  for (std::int64_t j = 0; j < keys; ++j) {
    const auto z = static_cast<std::size_t>(j);
    row.dp[z] =
        How::stored(dot<Real>(&in.d_out[at(in, in.heads, b, i, h)], &in.v[at(in, in.kv_heads, b, j, kv)], in.head_dim));
  }
  return row;
}

// O, lse and dQ of one query; dK and dV of the keys it sees are added to `grow_dk` and `grow_dv`, arrays as K, if
// given.
template <class How>
OracleRow one_row(const OracleInputs& in, int b, int h, std::int64_t i, typename How::Real* grow_dk,
                  typename How::Real* grow_dv) {
  using Real = typename How::Real;
  const int kv = h / (in.heads / in.kv_heads);
  const auto scale = scale_of<Real>(in);
  const auto d = static_cast<std::size_t>(in.head_dim);
  const Row<How> row = weights<How>(in, b, h, i);
  const std::size_t query = at(in, in.heads, b, i, h);
  std::vector<Real> o(d, 0);
  for (std::size_t j = 0; j < row.p.size(); ++j) {
    const std::size_t key = at(in, in.kv_heads, b, static_cast<std::int64_t>(j), kv);
    for (std::size_t x = 0; x < d; ++x) o[x] += row.p[j] * static_cast<Real>(in.v[key + x]);
  }
  for (Real& value : o) value = How::stored(value);
  OracleRow out{.o = {o.begin(), o.end()}, .dq = {}, .lse = row.lse};
  if (in.d_out.empty()) return out;

  std::vector<Real> dq(d, 0);
  const Real delta = dot<Real>(&in.d_out[query], o.data(), in.head_dim);  // also the sum of p * dp
  for (std::size_t j = 0; j < row.p.size(); ++j) {
    const std::size_t key = at(in, in.kv_heads, b, static_cast<std::int64_t>(j), kv);
    const Real ds = How::stored(row.p[j] * (row.dp[j] - delta));
    for (std::size_t x = 0; x < d; ++x) dq[x] += scale * ds * static_cast<Real>(in.k[key + x]);
    if (grow_dk == nullptr) continue;
    for (std::size_t x = 0; x < d; ++x) {
      grow_dk[key + x] += scale * ds * static_cast<Real>(in.q[query + x]);
      grow_dv[key + x] += row.p[j] * static_cast<Real>(in.d_out[query + x]);
    }
  }
  out.dq.assign(dq.begin(), dq.end());
  return out;
}

template <class How>
OracleOutputs everything(const OracleInputs& in) {
  using Real = typename How::Real;
  const bool backward = !in.d_out.empty();
  OracleOutputs out;
  std::vector<Real> dk(backward ? in.k.size() : 0, 0), dv(dk.size(), 0);
  for (int b = 0; b < in.batch; ++b)
    for (std::int64_t i = 0; i < in.length; ++i)
      for (int h = 0; h < in.heads; ++h) {
        const OracleRow row = one_row<How>(in, b, h, i, backward ? dk.data() : nullptr, backward ? dv.data() : nullptr);
        out.o.insert(out.o.end(), row.o.begin(), row.o.end());
        out.dq.insert(out.dq.end(), row.dq.begin(), row.dq.end());
        out.lse.push_back(row.lse);
      }
  out.dk.assign(dk.begin(), dk.end());
  out.dv.assign(dv.begin(), dv.end());
  return out;
}

template <class How>
OracleColumn one_column(const OracleInputs& in, const std::vector<double>& lse, const std::vector<double>& o, int b,
                        int kv, std::int64_t j) {
  using Real = typename How::Real;
  const auto d = static_cast<std::size_t>(in.head_dim);
  const int group = in.heads / in.kv_heads;
  const auto scale = scale_of<Real>(in);
  const std::size_t key = at(in, in.kv_heads, b, j, kv);
  std::vector<Real> dk(d, 0), dv(d, 0);
  for (std::int64_t i = in.causal ? j : 0; i < in.length; ++i)
    for (int h = kv * group; h < (kv + 1) * group; ++h) {
      const std::size_t query = at(in, in.heads, b, i, h);
      const Real s = scale * dot<Real>(&in.q[query], &in.k[key], in.head_dim);
      const Real p = How::stored(std::exp(s - static_cast<Real>(lse[query / d])));
      const Real dp = How::stored(dot<Real>(&in.d_out[query], &in.v[key], in.head_dim));
      const Real ds = How::stored(p * (dp - dot<Real>(&in.d_out[query], &o[query], in.head_dim)));
      for (std::size_t x = 0; x < d; ++x) {
        dk[x] += scale * ds * static_cast<Real>(in.q[query + x]);
        dv[x] += p * static_cast<Real>(in.d_out[query + x]);
      }
    }
  return {.dk = {dk.begin(), dk.end()}, .dv = {dv.begin(), dv.end()}};
}

}  // namespace

OracleOutputs attention_exact(const OracleInputs& in) { return everything<Exact>(in); }
OracleOutputs attention_naive(const OracleInputs& in, substrate::DType dtype) {
  return dtype == substrate::DType::bf16 ? everything<NaiveBf16>(in) : everything<NaiveF32>(in);
}

OracleRow attention_exact_row(const OracleInputs& in, int b, int h, std::int64_t i) {
  return one_row<Exact>(in, b, h, i, nullptr, nullptr);
}
OracleRow attention_naive_row(const OracleInputs& in, int b, int h, std::int64_t i, substrate::DType dtype) {
  return dtype == substrate::DType::bf16 ? one_row<NaiveBf16>(in, b, h, i, nullptr, nullptr)
                                         : one_row<NaiveF32>(in, b, h, i, nullptr, nullptr);
}

OracleColumn attention_exact_column(const OracleInputs& in, const std::vector<double>& lse,
                                    const std::vector<double>& o, int b, int kv, std::int64_t j) {
  return one_column<Exact>(in, lse, o, b, kv, j);
}
OracleColumn attention_naive_column(const OracleInputs& in, const std::vector<double>& lse,
                                    const std::vector<double>& o, int b, int kv, std::int64_t j,
                                    substrate::DType dtype) {
  return dtype == substrate::DType::bf16 ? one_column<NaiveBf16>(in, lse, o, b, kv, j)
                                         : one_column<NaiveF32>(in, lse, o, b, kv, j);
}

}  // namespace assay::parallelism
