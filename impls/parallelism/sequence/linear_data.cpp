#include "impls/parallelism/sequence/linear_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "impls/parallelism/sequence/attention_block.h"
#include "impls/substrate/random.h"

namespace assay::parallelism {

using harness::Check;
using substrate::DType;

LinearData::LinearData(LinearPlan plan, std::optional<int> only) : plan_(std::move(plan)), only_(only) {
  q_ = make(false, 1);
  kv_ = make(false, 2);
  o_ = make(false, 1);
  const bool gated = plan_.decay == Decay::token;
  if (gated) log_decay_ = make(true, 1);
  if (!plan_.problem.backward) return;
  d_out_ = make(false, 1);
  dq_ = make(true, 1);
  d_kv_ = make(true, 2);
  if (gated) d_log_decay_ = make(true, 1);
}

LinearData::Shards LinearData::make(bool wide, int copies) const {
  Shards shards{.part = {}, .wide = wide};
  for (int r = 0; r < plan_.problem.ranks; ++r) {
    const std::int64_t bytes = wide ? plan_.elements(r) * 4 : plan_.bytes(r);
    shards.part.emplace_back(only_.value_or(r) == r ? static_cast<std::size_t>(bytes * copies) : 0);
  }
  return shards;
}

void LinearData::draw(std::uint64_t seed) {
  exact_.reset();
  naive_.reset();
  substrate::Random random(seed);
  std::vector<float> values;
  const auto fill = [&](Shards& to, int copies, auto next) {
    for (int r = 0; r < plan_.problem.ranks; ++r) {
      values.resize(static_cast<std::size_t>(plan_.elements(r) * copies));
      for (float& value : values) value = next();
      if (only_.value_or(r) != r) continue;  // drawn all the same: a rank's values do not depend on who draws them
      store(to.wide ? DType::f32 : plan_.problem.dtype, values.data(), plan_.elements(r) * copies,
            to.part[static_cast<std::size_t>(r)].data());
    }
  };
  const auto normal = [&] { return static_cast<float>(random.normal()); };
  fill(q_, 1, normal);
  fill(kv_, 2, normal);
  if (plan_.decay == Decay::token) fill(log_decay_, 1, [&] { return static_cast<float>(-0.1 * random.uniform()); });
  if (plan_.problem.backward) fill(d_out_, 1, normal);
}

LinearMemory LinearData::memory(int rank) {
  const auto data = [&](Shards& shards) {
    return shards.part.empty() ? nullptr : shards.part[static_cast<std::size_t>(rank)].data();
  };
  return {.q = data(q_),
          .kv = data(kv_),
          .log_decay = data(log_decay_),
          .o = data(o_),
          .d_out = data(d_out_),
          .dq = data(dq_),
          .d_kv = data(d_kv_),
          .d_log_decay = data(d_log_decay_)};
}

std::vector<std::span<std::byte>> LinearData::outputs_of(int rank) {
  std::vector<std::span<std::byte>> parts;
  for (Shards* shards : {&o_, &dq_, &d_kv_, &d_log_decay_})
    if (!shards->part.empty()) parts.emplace_back(shards->part[static_cast<std::size_t>(rank)]);
  return parts;
}

std::vector<harness::Output> LinearData::outputs() {
  std::vector<harness::Output> all;
  const auto add = [&](const char* name, Shards& shards) {
    for (std::size_t r = 0; r < shards.part.size(); ++r)
      all.push_back({fmt::format("{} of rank {}", name, r), shards.part[r]});
  };
  add("o", o_);
  add("dq", dq_);
  add("dkv", d_kv_);
  add("dlog decay", d_log_decay_);
  return all;
}

// Runs are contiguous: a batch's rows of the ranks one after the other are the sequence.
std::vector<double> LinearData::gather(const Shards& from, int which) const {
  const SequenceProblem& p = plan_.problem;
  const std::int64_t row = std::int64_t{p.heads} * p.head_dim;
  std::vector<double> all(static_cast<std::size_t>(p.batch * p.length * row));
  std::vector<float> values;
  std::int64_t begin = 0;
  for (int r = 0; r < p.ranks; ++r) {
    const std::int64_t tokens = plan_.layout.tokens(r), count = plan_.elements(r);
    values.resize(static_cast<std::size_t>(count));
    load(from.wide ? DType::f32 : p.dtype, from.part[static_cast<std::size_t>(r)].data(), which * count, count,
         values.data());
    for (int b = 0; b < p.batch; ++b)
      std::copy_n(values.begin() + static_cast<std::ptrdiff_t>(b * tokens * row), tokens * row,
                  all.begin() + static_cast<std::ptrdiff_t>((b * p.length + begin) * row));
    begin += tokens;
  }
  return all;
}

void LinearData::refer(std::uint64_t) const {
  const SequenceProblem& p = plan_.problem;
  LinearOracleInputs in{.length = p.length,
                        .batch = p.batch,
                        .heads = p.heads,
                        .head_dim = p.head_dim,
                        .scale = 1 / std::sqrt(static_cast<double>(p.head_dim)),
                        .q = gather(q_, 0),
                        .k = gather(kv_, 0),
                        .v = gather(kv_, 1),
                        .decay = {},
                        .d_out = {}};
  if (plan_.decay == Decay::token) {
    in.decay = gather(log_decay_, 0);
    for (double& each : in.decay) each = std::exp(each);
  } else {
    in.decay.assign(in.q.size(), 1);
    for (std::size_t i = 0; i < in.decay.size() && plan_.decay == Decay::head; ++i)
      in.decay[i] = head_decay(static_cast<int>(i / static_cast<std::size_t>(p.head_dim)) % p.heads);
  }
  if (p.backward) in.d_out = gather(d_out_, 0);
  exact_ = std::make_shared<const LinearOracleOutputs>(linear_exact(in));
  naive_ = std::make_shared<const LinearOracleOutputs>(linear_naive(in, p.dtype));
}

Check LinearData::compare(std::uint64_t seed) const {
  if (!exact_) refer(seed);
  Check check;
  const auto hold = [&](const char* name, const std::vector<double>& got, const std::vector<double>& want,
                        const std::vector<double>& naive) {
    double distance = 0, largest = 0;
    for (std::size_t i = 0; i < want.size(); ++i) {
      distance = std::max(distance, std::abs(naive[i] - want[i]));
      largest = std::max(largest, std::abs(want[i]));
    }
    const double allowed = 2 * distance + 2e-6 * largest;
    for (std::size_t i = 0; i < want.size(); ++i) {
      const double error = std::abs(got[i] - want[i]) / allowed;
      if (error <= check.error || std::isnan(check.error)) continue;
      check.error = error;
      check.detail = fmt::format("{} element {} is {:.6g}, the oracle says {:.6g} within {:.2g}", name, i, got[i],
                                 want[i], allowed);
    }
  };
  hold("o", gather(o_, 0), exact_->o, naive_->o);
  if (!plan_.problem.backward) return check;
  hold("dq", gather(dq_, 0), exact_->dq, naive_->dq);
  hold("dk", gather(d_kv_, 0), exact_->dk, naive_->dk);
  hold("dv", gather(d_kv_, 1), exact_->dv, naive_->dv);
  if (plan_.decay == Decay::token)
    hold("dlog decay", gather(d_log_decay_, 0), exact_->d_log_decay, naive_->d_log_decay);
  return check;
}

}  // namespace assay::parallelism
