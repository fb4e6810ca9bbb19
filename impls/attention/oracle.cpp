#include "impls/attention/oracle.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "impls/substrate/random.h"

namespace assay::attention {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// One row of a tensor as numbers.
template <class T>
void read_row(const substrate::View& from, int b, int h, int row, std::vector<T>& to) {
  if (from.dtype == DType::f32) {
    const auto* p = reinterpret_cast<const float*>(from.at(b, h, row));
    for (std::size_t c = 0; c < to.size(); ++c) to[c] = static_cast<T>(p[c]);
  } else if (from.dtype == DType::bf16) {
    const auto* p = reinterpret_cast<const substrate::BFloat16*>(from.at(b, h, row));
    for (std::size_t c = 0; c < to.size(); ++c) to[c] = static_cast<T>(substrate::to_float(p[c]));
  } else {
    const auto* p = reinterpret_cast<const substrate::Float16*>(from.at(b, h, row));
    for (std::size_t c = 0; c < to.size(); ++c) to[c] = static_cast<T>(substrate::to_float(p[c]));
  }
}

}  // namespace

ExactRow exact_row(const Problem& problem, const Tensors& tensors, int b, int h, int row) {
  const int visible = problem.visible(row);
  const int kv = problem.kv_head(h);
  const std::size_t d = static_cast<std::size_t>(problem.head_dim);
  ExactRow out{std::vector<double>(d, 0.0), -kInfinity};
  if (visible == 0) return out;

  std::vector<double> q(d), line(d), score(static_cast<std::size_t>(visible));
  read_row(tensors.q, b, h, row, q);
  double largest = -kInfinity;
  for (int j = 0; j < visible; ++j) {
    read_row(tensors.k, b, kv, j, line);
    double dot = 0;
    for (std::size_t c = 0; c < d; ++c) dot += q[c] * line[c];
    score[static_cast<std::size_t>(j)] = static_cast<double>(problem.scale) * dot;
    largest = std::max(largest, score[static_cast<std::size_t>(j)]);
  }
  double sum = 0;
  for (int j = 0; j < visible; ++j) {
    const double weight = std::exp(score[static_cast<std::size_t>(j)] - largest);
    sum += weight;
    read_row(tensors.v, b, kv, j, line);
    for (std::size_t c = 0; c < d; ++c) out.o[c] += weight * line[c];
  }
  for (double& o : out.o) o /= sum;
  out.lse = largest + std::log(sum);
  return out;
}

NaiveRow naive_row(const Problem& problem, const Tensors& tensors, int b, int h, int row) {
  const int visible = problem.visible(row);
  const int kv = problem.kv_head(h);
  const auto rounded = [&](float x) {
    if (problem.dtype == DType::bf16) return substrate::to_float(substrate::to_bf16(x));
    return problem.dtype == DType::f16 ? substrate::to_float(substrate::to_f16(x)) : x;
  };
  const std::size_t d = static_cast<std::size_t>(problem.head_dim);
  NaiveRow out{std::vector<float>(d, 0.0F), -std::numeric_limits<float>::infinity()};
  if (visible == 0) return out;

  std::vector<float> q(d), line(d), score(static_cast<std::size_t>(visible));
  read_row(tensors.q, b, h, row, q);
  float largest = -std::numeric_limits<float>::infinity();
  for (int j = 0; j < visible; ++j) {
    read_row(tensors.k, b, kv, j, line);
    float dot = 0;
    for (std::size_t c = 0; c < d; ++c) dot += q[c] * line[c];
    score[static_cast<std::size_t>(j)] = problem.scale * dot;
    largest = std::max(largest, score[static_cast<std::size_t>(j)]);
  }
  float sum = 0;
  for (float& s : score) {
    s = std::exp(s - largest);
    sum += s;
  }
  for (int j = 0; j < visible; ++j) {
    const float weight = rounded(score[static_cast<std::size_t>(j)] / sum);
    read_row(tensors.v, b, kv, j, line);
    for (std::size_t c = 0; c < d; ++c) out.o[c] += weight * line[c];
  }
  for (float& o : out.o) o = rounded(o);
  out.lse = largest + std::log(sum);
  return out;
}

std::vector<int> checked_rows(const Problem& problem, std::uint64_t seed) {
  const int n = problem.queries;
  std::set<int> rows;
  if (problem.flops() <= kFullCheckFlops || n <= kSampledRows) {
    for (int row = 0; row < n; ++row) rows.insert(row);
  } else {
    // Edges of the tiles the kernels use (32 queries, 128 and 256 keys) near both ends and in the middle, and where the
    // causal diagonal enters and leaves.
    for (const int edge : {0, 32, 128, 256, n / 2 / 128 * 128, n / 128 * 128, n / 32 * 32, n, -problem.diagonal}) {
      for (const int row : {edge - 1, edge}) {
        if (row >= 0 && row < n) rows.insert(row);
      }
    }
    substrate::Random random(seed ^ 0x6f7261636c65ULL);
    while (rows.size() < static_cast<std::size_t>(kSampledRows)) {
      rows.insert(static_cast<int>(random.below(static_cast<std::uint64_t>(n))));
    }
  }
  return {rows.begin(), rows.end()};
}

namespace {

// Half a unit in the last place at `value`: what rounding to the dtype may change.
double half_ulp(double value, DType dtype) {
  if (value == 0) return 0;
  const int significant_bits = dtype == DType::bf16 ? 8 : dtype == DType::f16 ? 11 : 24;
  return std::ldexp(1.0, std::ilogb(value) - significant_bits);
}

}  // namespace

Reference::Reference(const Problem& problem, const Tensors& inputs, std::uint64_t seed) : problem_(problem) {
  double o_error = 0;
  double lse_error = 0;
  double largest = 0;
  const std::vector<int> rows = checked_rows(problem, seed);
  for (int b = 0; b < problem.batch; ++b) {
    for (int h = 0; h < problem.heads; ++h) {
      for (const int row : rows) {
        ExactRow exact = exact_row(problem, inputs, b, h, row);
        const NaiveRow naive = naive_row(problem, inputs, b, h, row);
        for (std::size_t c = 0; c < exact.o.size(); ++c) {
          o_error = std::max(o_error, std::abs(static_cast<double>(naive.o[c]) - exact.o[c]));
        }
        for (const double value : exact.o) largest = std::max(largest, std::abs(value));
        if (std::isfinite(exact.lse))
          lse_error = std::max(lse_error, std::abs(static_cast<double>(naive.lse) - exact.lse));
        rows_.push_back({b, h, row, std::move(exact)});
      }
    }
  }
  // Few outputs lie in the highest binade, and naive may round those few luckily: the yardstick is never less than the
  // half unit in the last place that storing the largest output costs any kernel.
  o_tolerance_ = 2 * std::max(o_error, half_ulp(largest, problem.dtype)) + 1e-5;
  lse_tolerance_ = 2 * lse_error + 1e-5;
}

harness::Check Reference::compare(const Tensors& outputs) const {
  harness::Check check;
  check.error = 0;
  const auto worse = [&](double error, const Row& at, const std::string& what) {
    // Written so that a NaN counts as the worst there is.
    if (error <= check.error) return;
    check.error = std::isnan(error) ? kInfinity : error;
    check.detail = fmt::format("batch {} head {} row {}: {}", at.b, at.h, at.row, what);
  };
  for (const Row& at : rows_) {
    for (std::size_t c = 0; c < at.exact.o.size(); ++c) {
      const double got = outputs.o.load(at.b, at.h, at.row, static_cast<std::int64_t>(c));
      const double error = std::abs(got - at.exact.o[c]) / o_tolerance_;
      if (!(error <= check.error)) worse(error, at, fmt::format("O[{}] = {:.6g}, want {:.6g}", c, got, at.exact.o[c]));
    }
    if (outputs.lse == nullptr) continue;
    const double got = outputs.lse_at(problem_, at.b, at.h, at.row);
    const double error = got == at.exact.lse ? 0 : std::abs(got - at.exact.lse) / lse_tolerance_;
    if (!(error <= check.error)) worse(error, at, fmt::format("LSE = {:.7g}, want {:.7g}", got, at.exact.lse));
  }
  const double all = static_cast<double>(problem_.batch) * problem_.heads * problem_.queries;
  check.coverage = static_cast<double>(rows_.size()) / all;
  check.detail +=
      fmt::format("{}tolerance 2 err(naive {}) + 1e-5: O {:.2e}, LSE {:.2e}", check.detail.empty() ? "" : "; ",
                  substrate::to_string(problem_.dtype), o_tolerance_, lse_tolerance_);
  return check;
}

Problem small_problem(const Problem& problem) {
  Problem small = problem;
  small.batch = 1;
  small.kv_heads = std::min(problem.kv_heads, 2);
  small.heads = small.kv_heads * std::min(problem.group(), 2);
  // More than two key blocks and query tiles, none of them full at the end, and the sign of N - M kept.
  small.queries = std::min(problem.queries, 157);
  small.keys = problem.queries == problem.keys ? small.queries : std::min(problem.keys, 301);
  if (problem.queries > 157 && problem.queries == problem.keys) small.queries = small.keys = 301;
  small = aligned(small);
  small.scale = problem.scale;
  return small;
}

harness::Check check_small(const Problem& problem, const Execution& execution, MakeKernel make, std::uint64_t seed) {
  const Problem small = small_problem(problem);
  Storage storage(small);
  draw_inputs(small, InputLaw::normal, seed, storage.tensors());
  make(small, execution)(storage.tensors());
  return Reference(small, storage.tensors(), seed).compare(storage.tensors());
}

}  // namespace assay::attention
