#include "impls/parallelism/sequence/transformer_oracle.h"

#include <cmath>
#include <complex>
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

// Columns times gains, and the gradient of the gains; nothing without them.
Matrix with_gains(Matrix n, const Matrix& gains) {
  if (gains.empty()) return n;
  for (std::size_t i = 0; i < n.size(); ++i) n[i] *= gains[i % gains.size()];
  return n;
}
Matrix gains_gradient(const Arithmetic& in, const Matrix& n, const Matrix& dn, std::int64_t h) {
  Matrix d(index(h));
  for (std::size_t i = 0; i < n.size(); ++i) {
    double& sum = d[i % d.size()];
    sum += n[i] * dn[i];
    if (!in.exact) sum = static_cast<double>(static_cast<float>(sum));
  }
  return d;
}

// Every head of [B][L][heads][d] as d/2 complex numbers, times e^(i t base^(-2 k / d)) at position t; `way` -1: back.
Matrix turned_by_position(Matrix x, const TransformerInputs& in, int heads, double way) {
  if (in.rotary_base == 0) return x;
  const std::int64_t d = in.head_dim;
  for (std::int64_t row = 0; row < in.batch * in.length; ++row)
    for (std::int64_t head = 0; head < heads; ++head)
      for (std::int64_t k = 0; k < d / 2; ++k) {
        const double exponent = -2 * static_cast<double>(k) / static_cast<double>(d);
        const std::complex<double> by =
            std::polar(1.0, way * static_cast<double>(row % in.length) * std::pow(in.rotary_base, exponent));
        double &a = x[index((row * heads + head) * d + k)], &b = x[index((row * heads + head) * d + k + d / 2)];
        const std::complex<double> to = std::complex<double>(a, b) * by;
        a = to.real();
        b = to.imag();
      }
  return x;
}

double sigmoid(double a) { return 1 / (1 + std::exp(-a)); }

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
  const std::int64_t rows = in.length * in.batch, q_width = std::int64_t{in.heads} * in.head_dim;
  const std::int64_t kv_width = std::int64_t{in.kv_heads} * in.head_dim, f = in.inner;
  const std::int64_t h = in.hidden == 0 ? q_width : in.hidden;
  const bool gated = !in.gate.empty();
  const auto attention = [&](const OracleInputs& of) {
    return as.exact ? attention_exact(of) : attention_naive(of, as.dtype);
  };
  TransformerOutputs out;
  const Matrix n1 = as.stored(with_gains(norm(in.x, h, in.epsilon), in.g1));
  // Of a projection of n1, by sequences.
  const auto projected = [&](const Matrix& w, std::int64_t width) {
    return by_batch(as.stored(times(as, n1, w, rows, h, width)), in.length, in.batch, width);
  };
  OracleInputs inside{.length = in.length,
                      .batch = in.batch,
                      .heads = in.heads,
                      .kv_heads = in.kv_heads,
                      .head_dim = in.head_dim,
                      .causal = in.causal,
                      .q = as.stored(turned_by_position(projected(in.wq, q_width), in, in.heads, 1)),
                      .k = as.stored(turned_by_position(projected(in.wk, kv_width), in, in.kv_heads, 1)),
                      .v = projected(in.wv, kv_width),
                      .d_out = {}};
  const Matrix o = by_batch(as.stored(attention(inside).o), in.batch, in.length, q_width);
  const Matrix y = as.stored(sum(in.x, as.stored(times(as, o, in.wo, rows, q_width, h))));
  const Matrix n2 = as.stored(with_gains(norm(y, h, in.epsilon), in.g2));
  const Matrix p = as.stored(times(as, n2, in.w1, rows, h, f));
  const Matrix a = gated ? as.stored(times(as, n2, in.gate, rows, h, f)) : Matrix{};
  Matrix g(p);
  for (std::size_t i = 0; i < g.size(); ++i) g[i] = as.stored(gated ? a[i] * sigmoid(a[i]) * p[i] : p[i] * phi(p[i]));
  out.z = as.stored(sum(y, as.stored(times(as, g, in.w2, rows, f, h))));
  if (in.dz.empty()) return out;

  const Matrix dg = as.stored(times(as, in.dz, turned(in.w2, f, h), rows, h, f));
  Matrix dp(dg), da(a);
  for (std::size_t i = 0; i < dp.size(); ++i) {
    if (gated) {
      const double s = sigmoid(a[i]);
      dp[i] = as.stored(dg[i] * a[i] * s);
      da[i] = as.stored(dg[i] * p[i] * (s + a[i] * s * (1 - s)));
    } else {
      dp[i] = as.stored(dg[i] * (phi(p[i]) + p[i] * std::exp(-p[i] * p[i] / 2) / std::sqrt(2 * std::numbers::pi)));
    }
  }
  out.dw2 = times(as, turned(g, rows, f), in.dz, f, rows, h);
  const Matrix n2_turned = turned(n2, rows, h);
  out.dw1 = times(as, n2_turned, dp, h, rows, f);
  Matrix dn2 = times(as, dp, turned(in.w1, h, f), rows, f, h);
  if (gated) {
    out.d_gate = times(as, n2_turned, da, h, rows, f);
    dn2 = sum(dn2, times(as, da, turned(in.gate, h, f), rows, f, h));
  }
  dn2 = as.stored(dn2);
  if (!in.g2.empty()) out.dg2 = gains_gradient(as, norm(y, h, in.epsilon), dn2, h);
  const Matrix dy = as.stored(sum(in.dz, norm_back(y, with_gains(dn2, in.g2), h, in.epsilon)));

  out.dwo = times(as, turned(o, rows, q_width), dy, q_width, rows, h);
  inside.d_out =
      by_batch(as.stored(times(as, dy, turned(in.wo, q_width, h), rows, h, q_width)), in.length, in.batch, q_width);
  const OracleOutputs back = attention(inside);
  // Of a projection, by tokens, from that of what attention took.
  const auto unprojected = [&](const Matrix& d, std::int64_t width) { return by_batch(d, in.batch, in.length, width); };
  const Matrix dq = unprojected(as.stored(turned_by_position(as.stored(back.dq), in, in.heads, -1)), q_width),
               dk = unprojected(as.stored(turned_by_position(as.stored(back.dk), in, in.kv_heads, -1)), kv_width),
               dv = unprojected(as.stored(back.dv), kv_width);
  const Matrix n1_turned = turned(n1, rows, h);
  out.dwq = times(as, n1_turned, dq, h, rows, q_width);
  out.dwk = times(as, n1_turned, dk, h, rows, kv_width);
  out.dwv = times(as, n1_turned, dv, h, rows, kv_width);
  const Matrix dn1 = as.stored(sum(times(as, dq, turned(in.wq, h, q_width), rows, q_width, h),
                                   sum(times(as, dk, turned(in.wk, h, kv_width), rows, kv_width, h),
                                       times(as, dv, turned(in.wv, h, kv_width), rows, kv_width, h))));
  if (!in.g1.empty()) out.dg1 = gains_gradient(as, norm(in.x, h, in.epsilon), dn1, h);
  out.dx = sum(dy, norm_back(in.x, with_gains(dn1, in.g1), h, in.epsilon));
  return out;
}

}  // namespace

TransformerOutputs transformer_exact(const TransformerInputs& in) { return layer(in, {}); }
TransformerOutputs transformer_naive(const TransformerInputs& in, DType dtype) {
  return layer(in, {.exact = false, .dtype = dtype});
}

}  // namespace assay::parallelism
