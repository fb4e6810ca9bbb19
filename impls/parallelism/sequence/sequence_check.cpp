#include "impls/parallelism/sequence/sequence_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <set>
#include <span>
#include <string>

#include "impls/substrate/random.h"

namespace assay::parallelism {

namespace {

using harness::Check;
using substrate::DType;

constexpr std::size_t kSampledPositions = 64;
constexpr double kIdentityTolerance = 1e-4;
// Rounding a term to bf16 moves it by at most 2^-9 of itself, a sum by the root of its squared terms times this: six
// standard deviations of an even spread.
const double kStoredTolerance = 6 * std::ldexp(1.0, -9) / std::sqrt(3.0);

// 0 for [0, 64), 1 for [64, 192), 2 for [192, 448) ...
std::size_t range_of(std::int64_t position) {
  return static_cast<std::size_t>(std::bit_width(static_cast<std::uint64_t>(position / 64 + 1)) - 1);
}
constexpr std::size_t kRanges = 58;

// Keeps the worst error, in units of its tolerance, and where it is. A NaN is the worst there is.
class Worst {
 public:
  // Tensors [B][positions][width]; `positions` of the second index, or empty: all of them from 0 on.
  void add(const char* tensor, std::span<const double> got, std::span<const double> exact,
           std::span<const double> naive, std::size_t width, std::span<const std::int64_t> positions,
           std::int64_t length) {
    const std::size_t count = positions.empty() ? static_cast<std::size_t>(length) : positions.size();
    const auto position_of = [&](std::size_t i) {
      const std::size_t slot = i / width % count;
      return positions.empty() ? static_cast<std::int64_t>(slot) : positions[slot];
    };
    std::array<double, kRanges> tolerance{};
    for (std::size_t i = 0; i < exact.size(); ++i) {
      double& most = tolerance[range_of(position_of(i))];
      most = std::max(most, std::abs(naive[i] - exact[i]));
    }
    for (double& each : tolerance) each = 2 * each + 1e-5;
    for (std::size_t i = 0; i < exact.size(); ++i) {
      const double allowed = tolerance[range_of(position_of(i))];
      hold(std::abs(got[i] - exact[i]) / allowed, [&] {
        return fmt::format("{} at position {}, element {}, is {:.6g}, the oracle says {:.6g} within {:.2g}", tensor,
                           position_of(i), i % width, got[i], exact[i], allowed);
      });
    }
    compared_ += static_cast<double>(exact.size());
  }

  template <class Describe>
  void hold(double error, Describe&& describe) {
    if (error <= check_.error) return;
    if (std::isnan(check_.error)) return;
    check_.error = error;
    check_.detail = describe();
  }

  Check result(double elements) const {
    Check check = check_;
    check.coverage = compared_ / elements;
    return check;
  }

 private:
  Check check_{.error = 0, .coverage = 0, .detail = {}};
  double compared_ = 0;
};

std::size_t wide(int heads, int head_dim) {
  return static_cast<std::size_t>(heads) * static_cast<std::size_t>(head_dim);
}

double elements(const OracleOutputs& out) {
  return static_cast<double>(out.o.size() + out.lse.size() + out.dq.size() + out.dk.size() + out.dv.size());
}

}  // namespace

SequenceReference::SequenceReference(OracleInputs inputs, DType dtype, bool all,
                                     const std::vector<std::int64_t>& borders, std::uint64_t seed,
                                     bool gradients_in_dtype)
    : in_(std::move(inputs)), dtype_(dtype), gradients_in_dtype_(gradients_in_dtype) {
  if (all) {
    exact_ = attention_exact(in_);
    naive_ = attention_naive(in_, dtype_);
    store_gradients(naive_.dq);
    store_gradients(naive_.dk);
    store_gradients(naive_.dv);
    return;
  }
  std::set<std::int64_t> chosen{0, in_.length - 1};
  chosen.insert(borders.begin(), borders.end());
  substrate::Random random(seed);
  const std::size_t least = std::min(kSampledPositions, static_cast<std::size_t>(in_.length));
  while (chosen.size() < least)
    chosen.insert(static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(in_.length))));
  sampled_.assign(chosen.begin(), chosen.end());
  const auto append = [](OracleOutputs& to, const OracleRow& row) {
    to.o.insert(to.o.end(), row.o.begin(), row.o.end());
    to.dq.insert(to.dq.end(), row.dq.begin(), row.dq.end());
    to.lse.push_back(row.lse);
  };
  for (int b = 0; b < in_.batch; ++b)
    for (const std::int64_t i : sampled_)
      for (int h = 0; h < in_.heads; ++h) {
        append(exact_, attention_exact_row(in_, b, h, i));
        append(naive_, attention_naive_row(in_, b, h, i, dtype_));
      }
  store_gradients(naive_.dq);
}

void SequenceReference::store_gradients(std::vector<double>& values) const {
  if (!gradients_in_dtype_ || dtype_ != DType::bf16) return;
  for (double& value : values) value = substrate::to_float(substrate::to_bf16(static_cast<float>(value)));
}

Check SequenceReference::compare(const OracleOutputs& got) const {
  return sampled_.empty() ? compare_all(got) : compare_sampled(got);
}

Check SequenceReference::compare_all(const OracleOutputs& got) const {
  Worst worst;
  const std::size_t q = wide(in_.heads, in_.head_dim), kv = wide(in_.kv_heads, in_.head_dim);
  worst.add("o", got.o, exact_.o, naive_.o, q, {}, in_.length);
  worst.add("lse", got.lse, exact_.lse, naive_.lse, static_cast<std::size_t>(in_.heads), {}, in_.length);
  worst.add("dq", got.dq, exact_.dq, naive_.dq, q, {}, in_.length);
  worst.add("dk", got.dk, exact_.dk, naive_.dk, kv, {}, in_.length);
  worst.add("dv", got.dv, exact_.dv, naive_.dv, kv, {}, in_.length);
  return worst.result(elements(got));
}

Check SequenceReference::compare_sampled(const OracleOutputs& got) const {
  Worst worst;
  const std::size_t q = wide(in_.heads, in_.head_dim), kv = wide(in_.kv_heads, in_.head_dim);
  const auto length = static_cast<std::size_t>(in_.length);
  const auto pick = [&](const std::vector<double>& all, std::size_t width) {
    std::vector<double> some;
    for (std::size_t b = 0; b < static_cast<std::size_t>(in_.batch) && !all.empty(); ++b)
      for (const std::int64_t i : sampled_) {
        const auto from = all.begin() + static_cast<std::ptrdiff_t>((b * length + static_cast<std::size_t>(i)) * width);
        some.insert(some.end(), from, from + static_cast<std::ptrdiff_t>(width));
      }
    return some;
  };
  const auto heads = static_cast<std::size_t>(in_.heads);
  worst.add("o", pick(got.o, q), exact_.o, naive_.o, q, sampled_, in_.length);
  worst.add("lse", pick(got.lse, heads), exact_.lse, naive_.lse, heads, sampled_, in_.length);
  if (in_.d_out.empty()) return worst.result(elements(got));
  worst.add("dq", pick(got.dq, q), exact_.dq, naive_.dq, q, sampled_, in_.length);

  OracleColumn exact, naive;
  const auto append = [](OracleColumn& to, const OracleColumn& column) {
    to.dk.insert(to.dk.end(), column.dk.begin(), column.dk.end());
    to.dv.insert(to.dv.end(), column.dv.begin(), column.dv.end());
  };
  for (int b = 0; b < in_.batch; ++b)
    for (const std::int64_t j : sampled_)
      for (int h = 0; h < in_.kv_heads; ++h) {
        append(exact, attention_exact_column(in_, got.lse, got.o, b, h, j));
        append(naive, attention_naive_column(in_, got.lse, got.o, b, h, j, dtype_));
      }
  store_gradients(naive.dk);
  store_gradients(naive.dv);
  worst.add("dk", pick(got.dk, kv), exact.dk, naive.dk, kv, sampled_, in_.length);
  worst.add("dv", pick(got.dv, kv), exact.dv, naive.dv, kv, sampled_, in_.length);

  const double stored = gradients_in_dtype_ && dtype_ == DType::bf16 ? kStoredTolerance : 0;
  const auto d = static_cast<std::size_t>(in_.head_dim);
  const auto group = static_cast<std::size_t>(in_.heads / in_.kv_heads);
  for (std::size_t b = 0; b < static_cast<std::size_t>(in_.batch); ++b)
    for (std::size_t h = 0; h < static_cast<std::size_t>(in_.kv_heads); ++h) {
      std::vector<double> values(d, 0), seeds(d, 0), squares(d, 0), value_squares(d, 0);
      double keys = 0, queries = 0, square = 0, key_square = 0;
      for (std::size_t i = b * length; i < (b + 1) * length; ++i) {
        for (std::size_t x = 0; x < d; ++x) {
          const std::size_t key = i * kv + h * d + x;
          values[x] += got.dv[key];
          value_squares[x] += got.dv[key] * got.dv[key];
          const double term = got.dk[key] * in_.k[key];
          keys += term;
          key_square += term * term;
        }
        for (std::size_t query = i * q + h * group * d; query < i * q + (h + 1) * group * d; ++query) {
          seeds[query % d] += in_.d_out[query];
          squares[query % d] += in_.d_out[query] * in_.d_out[query];
          const double term = got.dq[query] * in_.q[query];
          queries += term;
          square += term * term;
        }
      }
      for (std::size_t x = 0; x < d; ++x)
        worst.hold(std::abs(values[x] - seeds[x]) /
                       (kIdentityTolerance * std::sqrt(squares[x]) + stored * std::sqrt(value_squares[x])),
                   [&] {
                     return fmt::format("the dv of head {} sum to {:.6g} in element {}, the do to {:.6g}", h, values[x],
                                        x, seeds[x]);
                   });
      worst.hold(
          std::abs(keys - queries) / (kIdentityTolerance * std::sqrt(square) + stored * std::sqrt(square + key_square)),
          [&] { return fmt::format("<dk, k> of head {} is {:.6g}, <dq, q> is {:.6g}", h, keys, queries); });
    }
  return worst.result(elements(got));
}

}  // namespace assay::parallelism
