#include "impls/attention/oracle.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "impls/attention/rows_in_parallel.h"
#include "impls/substrate/random.h"

namespace assay::attention {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// K and V of keys [0, keys) of a head as numbers, for every query that sees them.
template <class Real>
struct KeyHead {
  std::vector<Real> k, v;
  std::size_t d;

  KeyHead(const Problem& problem, const Tensors& tensors, int b, int kv, int keys)
      : k(static_cast<std::size_t>(keys) * static_cast<std::size_t>(problem.head_dim)),
        v(k.size()),
        d(static_cast<std::size_t>(problem.head_dim)) {
    read_rows(tensors.k, b, kv, 0, keys, problem.head_dim, k.data());
    read_rows(tensors.v, b, kv, 0, keys, problem.head_dim, v.data());
  }
  const Real* key(std::size_t j) const { return k.data() + j * d; }
  const Real* value(std::size_t j) const { return v.data() + j * d; }
};

ExactRow exact_row_of(const Problem& problem, const Tensors& tensors, const KeyHead<double>& head, int b, int h,
                      int row) {
  const auto visible = static_cast<std::size_t>(problem.visible(row));
  ExactRow out{std::vector<double>(head.d, 0.0), -kInfinity};
  if (visible == 0) return out;
  std::vector<double> q(head.d), score(visible);
  read_rows(tensors.q, b, h, row, 1, problem.head_dim, q.data());
  double largest = -kInfinity;
  for (std::size_t j = 0; j < visible; ++j) {
    score[j] = static_cast<double>(problem.scale) * dot(q.data(), head.key(j), head.d);
    largest = std::max(largest, score[j]);
  }
  double sum = 0;
  for (std::size_t j = 0; j < visible; ++j) {
    const double weight = std::exp(score[j] - largest);
    sum += weight;
    const double* const value = head.value(j);
    for (std::size_t c = 0; c < head.d; ++c) out.o[c] += weight * value[c];
  }
  for (double& o : out.o) o /= sum;
  out.lse = largest + std::log(sum);
  return out;
}

NaiveRow naive_row_of(const Problem& problem, const Tensors& tensors, const KeyHead<float>& head, int b, int h,
                      int row) {
  const auto visible = static_cast<std::size_t>(problem.visible(row));
  const auto rounded = [&](float x) {
    if (problem.dtype == DType::bf16) return substrate::to_float(substrate::to_bf16(x));
    return problem.dtype == DType::f16 ? substrate::to_float(substrate::to_f16(x)) : x;
  };
  NaiveRow out{std::vector<float>(head.d, 0.0F), -std::numeric_limits<float>::infinity()};
  if (visible == 0) return out;
  std::vector<float> q(head.d), score(visible);
  read_rows(tensors.q, b, h, row, 1, problem.head_dim, q.data());
  float largest = -std::numeric_limits<float>::infinity();
  for (std::size_t j = 0; j < visible; ++j) {
    score[j] = problem.scale * dot(q.data(), head.key(j), head.d);
    largest = std::max(largest, score[j]);
  }
  float sum = 0;
  for (float& s : score) {
    s = std::exp(s - largest);
    sum += s;
  }
  for (std::size_t j = 0; j < visible; ++j) {
    const float weight = rounded(score[j] / sum);
    const float* const value = head.value(j);
    for (std::size_t c = 0; c < head.d; ++c) out.o[c] += weight * value[c];
  }
  for (float& o : out.o) o = rounded(o);
  out.lse = largest + std::log(sum);
  return out;
}

}  // namespace

ExactRow exact_row(const Problem& problem, const Tensors& tensors, int b, int h, int row) {
  const KeyHead<double> head(problem, tensors, b, problem.kv_head(h), problem.visible(row));
  return exact_row_of(problem, tensors, head, b, h, row);
}

NaiveRow naive_row(const Problem& problem, const Tensors& tensors, int b, int h, int row) {
  const KeyHead<float> head(problem, tensors, b, problem.kv_head(h), problem.visible(row));
  return naive_row_of(problem, tensors, head, b, h, row);
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
  const std::vector<int> rows = checked_rows(problem, seed);
  // A task is some rows of all query heads of a key head, so that its keys become numbers once. 64 tasks or more keep
  // any machine's CPUs busy.
  const auto heads = static_cast<std::size_t>(problem.batch) * static_cast<std::size_t>(problem.kv_heads);
  const std::size_t parts = std::clamp<std::size_t>(64 / std::max<std::size_t>(heads, 1), 1, (rows.size() + 7) / 8);
  struct Found {
    double o_error = 0, lse_error = 0, largest = 0;
  };
  std::vector<Found> found(heads * parts);
  rows_.resize(static_cast<std::size_t>(problem.batch) * static_cast<std::size_t>(problem.heads) * rows.size());
  in_parallel(static_cast<std::int64_t>(found.size()), [&](std::int64_t task) {
    const std::size_t head = static_cast<std::size_t>(task) / parts;
    // The last rows see the most keys: they come first.
    const std::size_t part = parts - 1 - static_cast<std::size_t>(task) % parts;
    const std::size_t first = rows.size() * part / parts;
    const std::size_t end = rows.size() * (part + 1) / parts;
    if (first == end) return;
    const auto b = static_cast<int>(head) / problem.kv_heads;
    const int kv = static_cast<int>(head) % problem.kv_heads;
    const int seen = problem.visible(rows[end - 1]);
    const KeyHead<double> exact_head(problem, inputs, b, kv, seen);
    const KeyHead<float> naive_head(problem, inputs, b, kv, seen);
    Found& own = found[static_cast<std::size_t>(task)];
    for (int h = kv * problem.group(); h < (kv + 1) * problem.group(); ++h) {
      for (std::size_t r = first; r < end; ++r) {
        ExactRow exact = exact_row_of(problem, inputs, exact_head, b, h, rows[r]);
        const NaiveRow naive = naive_row_of(problem, inputs, naive_head, b, h, rows[r]);
        for (std::size_t c = 0; c < exact.o.size(); ++c)
          own.o_error = std::max(own.o_error, std::abs(static_cast<double>(naive.o[c]) - exact.o[c]));
        for (const double value : exact.o) own.largest = std::max(own.largest, std::abs(value));
        if (std::isfinite(exact.lse))
          own.lse_error = std::max(own.lse_error, std::abs(static_cast<double>(naive.lse) - exact.lse));
        const std::size_t row_of_heads = static_cast<std::size_t>(b * problem.heads + h);
        rows_[row_of_heads * rows.size() + r] = {b, h, rows[r], std::move(exact)};
      }
    }
  });
  Found all;
  for (const Found& each : found) {
    all.o_error = std::max(all.o_error, each.o_error);
    all.lse_error = std::max(all.lse_error, each.lse_error);
    all.largest = std::max(all.largest, each.largest);
  }
  // Few outputs lie in the highest binade, and naive may round those few luckily: the yardstick is never less than the
  // half unit in the last place that storing the largest output costs any kernel.
  o_tolerance_ = 2 * std::max(all.o_error, half_ulp(all.largest, problem.dtype)) + 1e-5;
  lse_tolerance_ = 2 * all.lse_error + 1e-5;
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
