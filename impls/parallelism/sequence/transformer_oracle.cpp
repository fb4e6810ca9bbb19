#include "impls/parallelism/sequence/transformer_oracle.h"

#include <cmath>
#include <numbers>

#include "impls/parallelism/sequence/attention_oracle.h"

namespace assay::parallelism {
namespace {

using substrate::DType;
using Matrix = std::vector<double>;

std::size_t index(std::int64_t value) { return static_cast<std::size_t>(value); }

// Exact: nothing is rounded. Naive: sums are float32, what is stored is in the dtype.
struct Arithmetic {
  bool exact = true;
  DType dtype = DType::f32;

  double stored(double value) const {
    if (exact) return value;
    const auto narrow = static_cast<float>(value);
    return dtype == DType::bf16 ? static_cast<double>(substrate::to_float(substrate::to_bf16(narrow)))
                                : static_cast<double>(narrow);
  }
  Matrix stored(Matrix values) const {
    for (double& value : values) value = stored(value);
    return values;
  }
};

// [m][k] [k][n]
template <class Sum>
Matrix times_in(const Matrix& a, const Matrix& b, std::int64_t m, std::int64_t k, std::int64_t n) {
  Matrix c(index(m * n));
  std::vector<Sum> row(index(n));
  for (std::int64_t i = 0; i < m; ++i) {
    row.assign(index(n), Sum(0));
    for (std::int64_t x = 0; x < k; ++x) {
      const Sum factor = static_cast<Sum>(a[index(i * k + x)]);
      for (std::int64_t j = 0; j < n; ++j) row[index(j)] += factor * static_cast<Sum>(b[index(x * n + j)]);
    }
    for (std::int64_t j = 0; j < n; ++j) c[index(i * n + j)] = static_cast<double>(row[index(j)]);
  }
  return c;
}
Matrix times(const Arithmetic& in, const Matrix& a, const Matrix& b, std::int64_t m, std::int64_t k, std::int64_t n) {
  return in.exact ? times_in<double>(a, b, m, k, n) : times_in<float>(a, b, m, k, n);
}
Matrix turned(const Matrix& a, std::int64_t rows, std::int64_t columns) {
  Matrix b(a.size());
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < columns; ++j) b[index(j * rows + i)] = a[index(i * columns + j)];
  return b;
}
Matrix sum(const Matrix& a, const Matrix& b) {
  Matrix c(a);
  for (std::size_t i = 0; i < c.size(); ++i) c[i] += b[i];
  return c;
}

double divisor(const double* row, std::int64_t h, double epsilon) {
  double squares = 0;
  for (std::int64_t c = 0; c < h; ++c) squares += row[c] * row[c];
  return std::sqrt(squares / static_cast<double>(h) + epsilon);
}
Matrix norm(const Matrix& x, std::int64_t h, double epsilon) {
  Matrix n(x);
  for (std::size_t first = 0; first < n.size(); first += index(h)) {
    const double by = divisor(&x[first], h, epsilon);
    for (std::size_t c = first; c < first + index(h); ++c) n[c] = x[c] / by;
  }
  return n;
}
// d/dx of dn . x / s(x), s = sqrt(mean x^2 + e):  dn / s - x (dn . x) / (h s^3).
Matrix norm_back(const Matrix& x, const Matrix& dn, std::int64_t h, double epsilon) {
  Matrix dx(x);
  for (std::size_t first = 0; first < dx.size(); first += index(h)) {
    const double by = divisor(&x[first], h, epsilon);
    double dot = 0;
    for (std::size_t c = first; c < first + index(h); ++c) dot += dn[c] * x[c];
    for (std::size_t c = first; c < first + index(h); ++c)
      dx[c] = dn[c] / by - x[c] * dot / (static_cast<double>(h) * by * by * by);
  }
  return dx;
}

double phi(double a) { return 0.5 * std::erfc(-a / std::numbers::sqrt2); }

// [L][B][width] to [B][L][width] and back.
Matrix by_batch(const Matrix& rows, std::int64_t length, std::int64_t batch, std::int64_t width) {
  Matrix out(rows.size());
  for (std::int64_t t = 0; t < length; ++t)
    for (std::int64_t b = 0; b < batch; ++b)
      for (std::int64_t c = 0; c < width; ++c)
        out[index((b * length + t) * width + c)] = rows[index((t * batch + b) * width + c)];
  return out;
}

TransformerOutputs layer(const TransformerInputs& in, const Arithmetic& as) {
  const std::int64_t rows = in.length * in.batch, q_width = std::int64_t{in.heads} * in.head_dim, h = q_width;
  const std::int64_t kv_width = std::int64_t{in.kv_heads} * in.head_dim, f = in.inner;
  const auto attention = [&](const OracleInputs& of) {
    return as.exact ? attention_exact(of) : attention_naive(of, as.dtype);
  };
  TransformerOutputs out;
  const Matrix n1 = as.stored(norm(in.x, h, in.epsilon));
  OracleInputs inside{.length = in.length,
                      .batch = in.batch,
                      .heads = in.heads,
                      .kv_heads = in.kv_heads,
                      .head_dim = in.head_dim,
                      .causal = in.causal,
                      .q = by_batch(as.stored(times(as, n1, in.wq, rows, h, q_width)), in.length, in.batch, q_width),
                      .k = by_batch(as.stored(times(as, n1, in.wk, rows, h, kv_width)), in.length, in.batch, kv_width),
                      .v = by_batch(as.stored(times(as, n1, in.wv, rows, h, kv_width)), in.length, in.batch, kv_width),
                      .d_out = {}};
  const Matrix o = by_batch(as.stored(attention(inside).o), in.batch, in.length, q_width);
  const Matrix y = as.stored(sum(in.x, as.stored(times(as, o, in.wo, rows, q_width, h))));
  const Matrix n2 = as.stored(norm(y, h, in.epsilon));
  const Matrix p = as.stored(times(as, n2, in.w1, rows, h, f));
  Matrix g(p);
  for (double& each : g) each = as.stored(each * phi(each));
  out.z = as.stored(sum(y, as.stored(times(as, g, in.w2, rows, f, h))));
  if (in.dz.empty()) return out;

  Matrix dp = as.stored(times(as, in.dz, turned(in.w2, f, h), rows, h, f));
  for (std::size_t i = 0; i < dp.size(); ++i)
    dp[i] = as.stored(dp[i] * (phi(p[i]) + p[i] * std::exp(-p[i] * p[i] / 2) / std::sqrt(2 * std::numbers::pi)));
  out.dw2 = times(as, turned(g, rows, f), in.dz, f, rows, h);
  out.dw1 = times(as, turned(n2, rows, h), dp, h, rows, f);
  const Matrix dn2 = as.stored(times(as, dp, turned(in.w1, h, f), rows, f, h));
  const Matrix dy = as.stored(sum(in.dz, norm_back(y, dn2, h, in.epsilon)));

  out.dwo = times(as, turned(o, rows, q_width), dy, q_width, rows, h);
  inside.d_out =
      by_batch(as.stored(times(as, dy, turned(in.wo, q_width, h), rows, h, q_width)), in.length, in.batch, q_width);
  const OracleOutputs back = attention(inside);
  const Matrix dq = by_batch(as.stored(back.dq), in.batch, in.length, q_width),
               dk = by_batch(as.stored(back.dk), in.batch, in.length, kv_width),
               dv = by_batch(as.stored(back.dv), in.batch, in.length, kv_width);
  const Matrix n1_turned = turned(n1, rows, h);
  out.dwq = times(as, n1_turned, dq, h, rows, q_width);
  out.dwk = times(as, n1_turned, dk, h, rows, kv_width);
  out.dwv = times(as, n1_turned, dv, h, rows, kv_width);
  const Matrix dn1 = as.stored(sum(times(as, dq, turned(in.wq, h, q_width), rows, q_width, h),
                                   sum(times(as, dk, turned(in.wk, h, kv_width), rows, kv_width, h),
                                       times(as, dv, turned(in.wv, h, kv_width), rows, kv_width, h))));
  out.dx = sum(dy, norm_back(in.x, dn1, h, in.epsilon));
  return out;
}

}  // namespace

TransformerOutputs transformer_exact(const TransformerInputs& in) { return layer(in, {}); }
TransformerOutputs transformer_naive(const TransformerInputs& in, DType dtype) {
  return layer(in, {.exact = false, .dtype = dtype});
}

}  // namespace assay::parallelism
