#include "impls/parallelism/sequence/megatron_sp_data.h"

#include <fmt/format.h>

#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <utility>

#include "impls/parallelism/sequence/decoder_data.h"
#include "impls/parallelism/sequence/token_wise.h"
#include "impls/substrate/random.h"

namespace assay::parallelism {
namespace {

using substrate::DType;
using Matrix = std::vector<double>;

std::size_t index(std::int64_t value) { return static_cast<std::size_t>(value); }

// The weights of a rank as parts of the whole matrices: row r of a part begins at `first` + r * `stride` of the shard.
struct Part {
  Matrix TransformerInputs::*whole;
  Matrix TransformerOutputs::*gradient;
  std::int64_t rows, columns;  // of the whole
  std::int64_t row, column;    // where the part begins
  std::int64_t part_rows, part_columns;
  std::int64_t first, stride;
};

std::array<Part, 6> parts_of(const MegatronPlan& plan, int rank) {
  using In = TransformerInputs;
  using Out = TransformerOutputs;
  const std::int64_t h = plan.hidden, qw = plan.q_width, kw = plan.kv_width, w = plan.qkv_width, f = plan.inner_mine;
  const std::int64_t ranks = plan.problem.ranks, inner = plan.qkv_weights() + plan.output_weights();
  return {{
      {&In::wq, &Out::dwq, h, qw * ranks, 0, rank * qw, h, qw, 0, w},
      {&In::wk, &Out::dwk, h, kw * ranks, 0, rank * kw, h, kw, qw, w},
      {&In::wv, &Out::dwv, h, kw * ranks, 0, rank * kw, h, kw, qw + kw, w},
      {&In::wo, &Out::dwo, h, h, rank * qw, 0, qw, h, plan.qkv_weights(), h},
      {&In::w1, &Out::dw1, h, plan.inner, 0, rank * f, h, f, inner, f},
      {&In::w2, &Out::dw2, plan.inner, h, rank * f, 0, f, h, inner + plan.inner_weights(), h},
  }};
}

constexpr std::size_t kRanges = 58;
std::size_t range_of(std::int64_t position) {
  return index(std::bit_width(static_cast<std::uint64_t>(position / 64 + 1)) - 1);
}

// Worst error in units of its tolerance. `row`: elements of one position, 0 for weights.
void hold(const char* tensor, const Matrix& got, const Matrix& exact, const Matrix& naive, std::int64_t row,
          harness::Check& check) {
  const auto range = [&](std::size_t i) { return row == 0 ? 0 : range_of(static_cast<std::int64_t>(i) / row); };
  std::array<double, kRanges> allowed{};
  for (std::size_t i = 0; i < exact.size(); ++i) {
    double& most = allowed[range(i)];
    most = std::max(most, std::abs(naive[i] - exact[i]));
  }
  for (double& each : allowed) each = 2 * each + 1e-5;
  for (std::size_t i = 0; i < exact.size(); ++i) {
    const double error = std::abs(got[i] - exact[i]) / allowed[range(i)];
    if (std::isnan(check.error) || error <= check.error) continue;
    check.error = error;
    check.detail = fmt::format("{} element {} is {:.6g}, the oracle says {:.6g} within {:.2g}", tensor, i, got[i],
                               exact[i], allowed[range(i)]);
  }
}

}  // namespace

MegatronData::MegatronData(MegatronPlan plan, std::optional<int> only)
    : plan_(std::move(plan)), only_(only), shards_(index(plan_.problem.ranks)) {
  for (int r = 0; r < plan_.problem.ranks; ++r) {
    if (only_.value_or(r) != r) continue;
    Shard& shard = shards_[index(r)];
    const auto rows = index(plan_.rows(r) * plan_.hidden), weights = index(plan_.weights());
    const auto element = index(size_of(plan_.problem.dtype));
    shard.x.resize(rows * element);
    shard.z.resize(rows * element);
    shard.weights.resize(weights * element);
    if (!plan_.problem.backward) continue;
    shard.dz.resize(rows * element);
    shard.dx.resize(rows * 4);
    shard.d_weights.resize(weights * 4);
  }
}

void MegatronData::draw(std::uint64_t seed) {
  reference_.reset();
  const SequenceProblem& p = plan_.problem;
  substrate::Random random(seed);
  // All of everything, whoever holds it: a rank's values do not depend on who draws them.
  const auto drawn = [&](std::int64_t count, double deviation) {
    return drawn_normal(random, count, deviation, p.dtype);
  };
  const std::int64_t h = plan_.hidden, f = plan_.inner, kv = std::int64_t{p.kv_heads} * p.head_dim;
  const double by_h = 1 / std::sqrt(static_cast<double>(h)), by_f = 1 / std::sqrt(static_cast<double>(f));
  inputs_ = {.length = p.length,
             .batch = p.batch,
             .heads = p.heads,
             .kv_heads = p.kv_heads,
             .head_dim = p.head_dim,
             .inner = f,
             .causal = p.causal,
             .epsilon = kNormEpsilon,
             .x = drawn(plan_.all_rows() * h, 1),
             .wq = drawn(h * h, by_h),
             .wk = drawn(h * kv, by_h),
             .wv = drawn(h * kv, by_h),
             .wo = drawn(h * h, by_h),
             .w1 = drawn(h * f, by_h),
             .w2 = drawn(f * h, by_f),
             .dz = p.backward ? drawn(plan_.all_rows() * h, 1) : Matrix{}};
  std::int64_t row = 0;
  for (int r = 0; r < p.ranks; row += plan_.rows(r), ++r) {
    if (only_.value_or(r) != r) continue;
    Shard& shard = shards_[index(r)];
    const auto give = [&](const Matrix& from, std::int64_t first, std::int64_t count, std::byte* to) {
      const std::vector<float> narrow(from.begin() + first, from.begin() + first + count);
      store(p.dtype, narrow.data(), count, to);
    };
    give(inputs_.x, row * h, plan_.rows(r) * h, shard.x.data());
    if (p.backward) give(inputs_.dz, row * h, plan_.rows(r) * h, shard.dz.data());
    for (const Part& part : parts_of(plan_, r))
      for (std::int64_t k = 0; k < part.part_rows; ++k)
        give(inputs_.*part.whole, (part.row + k) * part.columns + part.column, part.part_columns,
             shard.weights.data() + plan_.bytes(part.first + k * part.stride));
  }
}

MegatronMemory MegatronData::memory(int rank) {
  Shard& shard = shards_[index(rank)];
  return {.x = shard.x.data(),
          .weights = shard.weights.data(),
          .z = shard.z.data(),
          .dz = shard.dz.data(),
          .dx = shard.dx.data(),
          .d_weights = shard.d_weights.data()};
}

// Where a rank of many has its own shard only, the first takes theirs as they come.
std::vector<std::span<std::byte>> MegatronData::outputs_of(int rank) {
  Shard& shard = shards_[index(rank)];
  std::vector<std::span<std::byte>> parts{shard.z};
  if (plan_.problem.backward) parts.insert(parts.end(), {shard.dx, shard.d_weights});
  return parts;
}

std::vector<harness::Output> MegatronData::outputs() {
  std::vector<harness::Output> all;
  for (int r = 0; r < plan_.problem.ranks; ++r) {
    Shard& shard = shards_[index(r)];
    if (shard.x.empty()) continue;
    all.push_back({fmt::format("z of rank {}", r), shard.z});
    if (!plan_.problem.backward) continue;
    all.push_back({fmt::format("dx of rank {}", r), shard.dx});
    all.push_back({fmt::format("weight gradients of rank {}", r), shard.d_weights});
  }
  return all;
}

TransformerOutputs MegatronData::gathered() const {
  const SequenceProblem& p = plan_.problem;
  TransformerOutputs all;
  const auto take = [](DType dtype, const std::byte* from, std::int64_t first, std::int64_t count, double* to) {
    std::vector<float> values(index(count));
    load(dtype, from, first, count, values.data());
    std::copy(values.begin(), values.end(), to);
  };
  const std::int64_t h = plan_.hidden;
  all.z.resize(index(plan_.all_rows() * h));
  if (p.backward) all.dx.resize(all.z.size());
  std::int64_t row = 0;
  for (int r = 0; r < p.ranks; row += plan_.rows(r), ++r) {
    const Shard& shard = shards_[index(r)];
    take(p.dtype, shard.z.data(), 0, plan_.rows(r) * h, all.z.data() + row * h);
    if (!p.backward) continue;
    take(DType::f32, shard.dx.data(), 0, plan_.rows(r) * h, all.dx.data() + row * h);
    for (const Part& part : parts_of(plan_, r)) {
      Matrix& whole = all.*part.gradient;
      whole.resize(index(part.rows * part.columns));
      for (std::int64_t k = 0; k < part.part_rows; ++k)
        take(DType::f32, shard.d_weights.data(), part.first + k * part.stride, part.part_columns,
             whole.data() + (part.row + k) * part.columns + part.column);
    }
  }
  return all;
}

void MegatronData::refer(std::uint64_t /*seed*/) const {
  reference_ = std::make_shared<const Reference>(
      Reference{transformer_exact(inputs_), transformer_naive(inputs_, plan_.problem.dtype)});
}

harness::Check MegatronData::compare(std::uint64_t seed) const {
  if (!reference_) refer(seed);
  const TransformerOutputs got = gathered(), &exact = reference_->exact, &naive = reference_->naive;
  harness::Check check{.error = 0, .coverage = 1, .detail = {}};
  const std::int64_t row = plan_.hidden * plan_.problem.batch;
  hold("z", got.z, exact.z, naive.z, row, check);
  hold("dx", got.dx, exact.dx, naive.dx, row, check);
  hold("dWq", got.dwq, exact.dwq, naive.dwq, 0, check);
  hold("dWk", got.dwk, exact.dwk, naive.dwk, 0, check);
  hold("dWv", got.dwv, exact.dwv, naive.dwv, 0, check);
  hold("dWo", got.dwo, exact.dwo, naive.dwo, 0, check);
  hold("dW1", got.dw1, exact.dw1, naive.dw1, 0, check);
  hold("dW2", got.dw2, exact.dw2, naive.dw2, 0, check);
  return check;
}

}  // namespace assay::parallelism
