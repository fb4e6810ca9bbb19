#include "impls/attention/gradients.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "impls/attention/oracle.h"
#include "impls/attention/rows_in_parallel.h"

namespace assay::attention {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Real: the arithmetic; `stored` is what becomes of a value that naive attention writes to memory.
struct Exact {
  using Real = double;
  static double stored(double value, DType) { return value; }
};
struct Naive {
  using Real = float;
  static float stored(float value, DType dtype) {
    if (dtype == DType::bf16) return substrate::to_float(substrate::to_bf16(value));
    return dtype == DType::f16 ? substrate::to_float(substrate::to_f16(value)) : value;
  }
};

// Q, K, V and dO as numbers, [batch, head, row, column].
template <class Real>
struct Numbers {
  struct Tensor {
    std::vector<Real> all;
    std::size_t heads, rows, columns;

    Tensor(const substrate::View& from, int batch, int head_count, int row_count, int column_count)
        : heads(static_cast<std::size_t>(head_count)),
          rows(static_cast<std::size_t>(row_count)),
          columns(static_cast<std::size_t>(column_count)) {
      all.resize(static_cast<std::size_t>(batch) * heads * rows * columns);
      in_parallel(std::int64_t{batch} * head_count, [&](std::int64_t each) {
        read_rows(from, static_cast<int>(each / head_count), static_cast<int>(each % head_count), 0, row_count,
                  column_count, all.data() + static_cast<std::size_t>(each) * rows * columns);
      });
    }
    const Real* at(int b, int h, std::size_t row) const {
      return all.data() + ((static_cast<std::size_t>(b) * heads + static_cast<std::size_t>(h)) * rows + row) * columns;
    }
  };
  Tensor q, k, v, g;

  Numbers(const Problem& p, const Tensors& t, const substrate::View& d_o)
      : q(t.q, p.batch, p.heads, p.queries, p.head_dim),
        k(t.k, p.batch, p.kv_heads, p.keys, p.head_dim),
        v(t.v, p.batch, p.kv_heads, p.keys, p.head_dim),
        g(d_o, p.batch, p.heads, p.queries, p.head_dim) {}
};

template <class Real>
void add(std::vector<Real>& to, Real factor, const Real* line) {
  for (std::size_t c = 0; c < to.size(); ++c) to[c] += factor * line[c];
}

template <class Real>
struct Row {
  std::vector<Real> d_q;
  Real lse = -std::numeric_limits<Real>::infinity();
  Real dots = 0;  // D
};

template <class How>
Row<typename How::Real> row_of(const Problem& p, const Numbers<typename How::Real>& t, int b, int h, int i) {
  using Real = typename How::Real;
  const auto d = static_cast<std::size_t>(p.head_dim);
  const int kv = p.kv_head(h);
  const auto keys = static_cast<std::size_t>(p.visible(i));
  Row<Real> row{std::vector<Real>(d)};
  if (keys == 0) return row;
  const Real* const q = t.q.at(b, h, static_cast<std::size_t>(i));
  const Real* const g = t.g.at(b, h, static_cast<std::size_t>(i));
  std::vector<Real> weight(keys), dp(keys);
  for (std::size_t j = 0; j < keys; ++j) {
    weight[j] = static_cast<Real>(p.scale) * dot(q, t.k.at(b, kv, j), d);
    dp[j] = How::stored(dot(g, t.v.at(b, kv, j), d), p.dtype);
  }
  const Real top = *std::ranges::max_element(weight);
  Real sum = 0;
  for (Real& w : weight) sum += w = std::exp(w - top);
  row.lse = top + std::log(sum);
  for (std::size_t j = 0; j < keys; ++j) {
    weight[j] = How::stored(weight[j] / sum, p.dtype);
    row.dots += weight[j] * dp[j];
  }
  for (std::size_t j = 0; j < keys; ++j) {
    const Real ds = How::stored(weight[j] * (dp[j] - row.dots), p.dtype);
    add(row.d_q, static_cast<Real>(p.scale) * ds, t.k.at(b, kv, j));
  }
  for (Real& value : row.d_q) value = How::stored(value, p.dtype);
  return row;
}

template <class Real>
struct Column {
  std::vector<Real> d_k, d_v;
};

// LSE and D of every query are given, [B, Hq, N].
template <class How>
Column<typename How::Real> column_of(const Problem& p, const Numbers<typename How::Real>& t,
                                     const std::vector<double>& lse, const std::vector<double>& dots, int b, int kv,
                                     int j) {
  using Real = typename How::Real;
  const auto d = static_cast<std::size_t>(p.head_dim);
  Column<Real> column{std::vector<Real>(d), std::vector<Real>(d)};
  const Real* const k = t.k.at(b, kv, static_cast<std::size_t>(j));
  const Real* const v = t.v.at(b, kv, static_cast<std::size_t>(j));
  for (int h = kv * p.group(); h < (kv + 1) * p.group(); ++h) {
    for (int i = 0; i < p.queries; ++i) {
      if (p.visible(i) <= j) continue;
      const auto at = static_cast<std::size_t>((static_cast<std::int64_t>(b) * p.heads + h) * p.queries + i);
      const Real* const q = t.q.at(b, h, static_cast<std::size_t>(i));
      const Real* const g = t.g.at(b, h, static_cast<std::size_t>(i));
      const Real score = static_cast<Real>(p.scale) * dot(q, k, d);
      const Real weight = How::stored(std::exp(score - static_cast<Real>(lse[at])), p.dtype);
      const Real dp = How::stored(dot(g, v, d), p.dtype);
      const Real ds = How::stored(weight * (dp - static_cast<Real>(dots[at])), p.dtype);
      add(column.d_v, weight, g);
      add(column.d_k, static_cast<Real>(p.scale) * ds, q);
    }
  }
  for (Real& value : column.d_k) value = How::stored(value, p.dtype);
  for (Real& value : column.d_v) value = How::stored(value, p.dtype);
  return column;
}

double largest_difference(const std::vector<double>& exact, const std::vector<float>& naive) {
  double error = 0;
  for (std::size_t c = 0; c < exact.size(); ++c)
    error = std::max(error, std::abs(exact[c] - static_cast<double>(naive[c])));
  return error;
}

}  // namespace

void GradientReference::finish(Part& part, double naive_error) const {
  double largest = 0;
  for (const Line& line : part.lines)
    for (const double value : line.exact) largest = std::max(largest, std::abs(value));
  const int significant_bits = problem_.dtype == DType::bf16 ? 8 : problem_.dtype == DType::f16 ? 11 : 24;
  const double half_ulp = largest == 0 ? 0 : std::ldexp(1.0, std::ilogb(largest) - significant_bits);
  part.tolerance = 2 * std::max(naive_error, half_ulp) + 1e-5;
}

GradientReference::GradientReference(const Problem& problem, const Tensors& inputs, const substrate::View& d_o,
                                     std::uint64_t seed)
    : problem_(problem) {
  const Problem& p = problem_;
  const std::vector<int> rows = checked_rows(p, seed);
  const bool whole = rows.size() == static_cast<std::size_t>(p.queries) && p.flops() <= kFullCheckFlops;
  const std::size_t all = static_cast<std::size_t>(p.batch) * p.heads * p.queries;
  std::vector<double> lse(all), dots(all), naive_lse(all), naive_dots(all);

  const Numbers<double> exact_of(p, inputs, d_o);
  const Numbers<float> naive_of(p, inputs, d_o);
  // Lines are in the order of [batch, heads, indices]; the last are begun first, because last queries see most.
  const auto each_line = [&](Part& part, int heads, const std::vector<int>& indices, const auto& body) {
    const auto count = static_cast<std::size_t>(p.batch) * static_cast<std::size_t>(heads) * indices.size();
    part.lines.resize(count);
    std::vector<double> errors(count);
    in_parallel(static_cast<std::int64_t>(count), [&](std::int64_t task) {
      const std::size_t at = count - 1 - static_cast<std::size_t>(task);
      const auto head = static_cast<int>(at / indices.size());
      errors[at] = body(at, head / heads, head % heads, indices[at % indices.size()]);
    });
    return *std::ranges::max_element(errors);
  };
  const double error = each_line(d_q_, p.heads, rows, [&](std::size_t line, int b, int h, int i) {
    Row<double> exact = row_of<Exact>(p, exact_of, b, h, i);
    const Row<float> naive = row_of<Naive>(p, naive_of, b, h, i);
    const double found = largest_difference(exact.d_q, naive.d_q);
    const auto at = static_cast<std::size_t>((static_cast<std::int64_t>(b) * p.heads + h) * p.queries + i);
    lse[at] = exact.lse;
    dots[at] = exact.dots;
    naive_lse[at] = static_cast<double>(naive.lse);
    naive_dots[at] = static_cast<double>(naive.dots);
    d_q_.lines[line] = {b, h, i, std::move(exact.d_q)};
    return found;
  });
  finish(d_q_, error);

  std::vector<int> keys;
  if (whole) {
    for (int j = 0; j < p.keys; ++j) keys.push_back(j);
  } else {
    Problem turned = p;
    turned.queries = p.keys;
    turned.keys = p.queries;
    keys = checked_rows(turned, seed + 1);
    in_parallel(std::int64_t{p.batch} * p.heads, [&](std::int64_t head) {
      const auto b = static_cast<int>(head / p.heads);
      const auto h = static_cast<int>(head % p.heads);
      const auto d = static_cast<std::size_t>(p.head_dim);
      std::vector<double> o(d);
      for (int i = 0; i < p.queries; ++i) {
        const auto at = static_cast<std::size_t>(head * p.queries + i);
        lse[at] = naive_lse[at] = static_cast<double>(inputs.lse_at(p, b, h, i));
        read_rows(inputs.o, b, h, i, 1, p.head_dim, o.data());
        dots[at] = naive_dots[at] = dot(o.data(), exact_of.g.at(b, h, static_cast<std::size_t>(i)), d);
      }
    });
  }
  d_v_.lines.resize(static_cast<std::size_t>(p.batch) * static_cast<std::size_t>(p.kv_heads) * keys.size());
  std::vector<double> v_errors(d_v_.lines.size());
  const double k_error = each_line(d_k_, p.kv_heads, keys, [&](std::size_t line, int b, int kv, int j) {
    Column<double> exact = column_of<Exact>(p, exact_of, lse, dots, b, kv, j);
    const Column<float> naive = column_of<Naive>(p, naive_of, naive_lse, naive_dots, b, kv, j);
    const double found = largest_difference(exact.d_k, naive.d_k);
    v_errors[line] = largest_difference(exact.d_v, naive.d_v);
    d_k_.lines[line] = {b, kv, j, std::move(exact.d_k)};
    d_v_.lines[line] = {b, kv, j, std::move(exact.d_v)};
    return found;
  });
  const double v_error = *std::ranges::max_element(v_errors);
  finish(d_k_, k_error);
  finish(d_v_, v_error);
}

harness::Check GradientReference::compare(const GradientTensors& outputs) const {
  harness::Check check;
  check.error = 0;
  std::size_t compared = 0;
  const auto part = [&](const Part& expected, const substrate::View& got) {
    for (const Line& line : expected.lines) {
      for (std::size_t c = 0; c < line.exact.size(); ++c) {
        const double value = got.load(line.b, line.head, line.index, static_cast<std::int64_t>(c));
        const double error = std::abs(value - line.exact[c]) / expected.tolerance;
        if (error <= check.error) continue;
        check.error = std::isnan(error) ? kInfinity : error;  // a NaN counts as the worst there is
        check.detail = fmt::format("batch {} head {} row {}: {}[{}] = {:.6g}, want {:.6g}", line.b, line.head,
                                   line.index, expected.name, c, value, line.exact[c]);
      }
    }
    compared += expected.lines.size();
  };
  part(d_q_, outputs.d_q);
  part(d_k_, outputs.d_k);
  part(d_v_, outputs.d_v);
  const double all = static_cast<double>(problem_.batch) *
                     (static_cast<double>(problem_.heads) * problem_.queries + 2.0 * problem_.kv_heads * problem_.keys);
  check.coverage = static_cast<double>(compared) / all;
  check.detail += fmt::format("{}tolerance 2 err(naive {}) + 1e-5: dQ {:.2e}, dK {:.2e}, dV {:.2e}",
                              check.detail.empty() ? "" : "; ", substrate::to_string(problem_.dtype), d_q_.tolerance,
                              d_k_.tolerance, d_v_.tolerance);
  return check;
}

}  // namespace assay::attention
