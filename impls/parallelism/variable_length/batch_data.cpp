#include "impls/parallelism/variable_length/batch_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "impls/substrate/random.h"

namespace assay::parallelism {

using harness::Check;

namespace {
constexpr double kFullOracleFlops = 2e9;
}

BatchData::BatchData(std::shared_ptr<const BatchPlan> plan, std::optional<int> only)
    : plan_(std::move(plan)), only_(only), item_of_(plan_->problem.lengths.size(), 0) {
  int parts = 0;
  for (const BatchItem& item : plan_->items) {
    sizes_.emplace_back(plan_->problem, item);
    first_.push_back(parts);
    parts += item.members();
    for (const int sequence : item.sequences)
      item_of_[static_cast<std::size_t>(sequence)] = static_cast<int>(sizes_.size()) - 1;
  }
  const auto cut = [&](ShardedTensor& tensor, auto bytes_of) {
    std::int64_t total = 0;
    for (std::size_t i = 0; i < plan_->items.size(); ++i)
      for (int m = 0; m < plan_->items[i].members(); ++m) {
        tensor.offset.push_back(total);
        tensor.bytes.push_back(held(static_cast<int>(i), m) ? bytes_of(sizes_[i], m) : 0);
        total += (tensor.bytes.back() + 63) / 64 * 64;
      }
    tensor.data.resize(static_cast<std::size_t>(total));
  };
  cut(q_, [](const ItemSizes& s, int m) { return s.q_bytes(m); });
  cut(kv_, [](const ItemSizes& s, int m) { return s.kv_bytes(m); });
  cut(o_, [](const ItemSizes& s, int m) { return s.q_bytes(m); });
  cut(lse_, [](const ItemSizes& s, int m) { return s.lse_rows(m) * 4; });
  if (!plan_->problem.backward) return;
  cut(d_out_, [](const ItemSizes& s, int m) { return s.q_bytes(m); });
  cut(dq_, [](const ItemSizes& s, int m) { return s.q_elements(m) * 4; });
  cut(d_kv_, [](const ItemSizes& s, int m) { return s.kv_elements(m) * 4; });
}

bool BatchData::held(int item, int member) const {
  const int rank = plan_->items[static_cast<std::size_t>(item)].ranks[static_cast<std::size_t>(member)];
  return only_.value_or(rank) == rank;
}

void BatchData::draw(std::uint64_t seed) {
  references_.clear();
  substrate::Random random(seed);
  std::vector<float> values;
  const auto fill = [&](ShardedTensor& tensor, auto elements_of) {
    for (std::size_t i = 0; i < plan_->items.size(); ++i)
      for (int m = 0; m < plan_->items[i].members(); ++m) {
        values.resize(static_cast<std::size_t>(elements_of(sizes_[i], m)));
        for (float& value : values) value = static_cast<float>(random.normal());
        if (!held(static_cast<int>(i), m)) continue;  // drawn all the same: values do not depend on who draws them
        store(plan_->problem.dtype, values.data(), static_cast<std::int64_t>(values.size()),
              tensor.part(part(static_cast<int>(i), m)));
      }
  };
  fill(q_, [](const ItemSizes& s, int m) { return s.q_elements(m); });
  fill(kv_, [](const ItemSizes& s, int m) { return s.kv_elements(m); });
  if (plan_->problem.backward) fill(d_out_, [](const ItemSizes& s, int m) { return s.q_elements(m); });
}

SequenceMemory BatchData::memory(int item, int member) {
  const int p = part(item, member);
  SequenceMemory memory{.q = q_.part(p), .kv = kv_.part(p), .o = o_.part(p), .lse = lse_.part(p)};
  if (plan_->problem.backward) {
    memory.d_out = d_out_.part(p);
    memory.dq = dq_.part(p);
    memory.d_kv = d_kv_.part(p);
  }
  return memory;
}

std::vector<std::span<std::byte>> BatchData::outputs_of(int rank) {
  std::vector<std::span<std::byte>> parts;
  const auto add = [&](ShardedTensor& tensor, int p) {
    parts.emplace_back(tensor.part(p), static_cast<std::size_t>(tensor.bytes[static_cast<std::size_t>(p)]));
  };
  for (std::size_t i = 0; i < plan_->items.size(); ++i) {
    const auto& ranks = plan_->items[i].ranks;
    const auto found = std::ranges::lower_bound(ranks, rank);
    if (found == ranks.end() || *found != rank) continue;
    const int p = part(static_cast<int>(i), static_cast<int>(found - ranks.begin()));
    add(o_, p);
    add(lse_, p);
    if (!plan_->problem.backward) continue;
    add(dq_, p);
    add(d_kv_, p);
  }
  return parts;
}

std::vector<harness::Output> BatchData::outputs() {
  std::vector<harness::Output> all{{"o", o_.data}, {"lse", lse_.data}};
  if (plan_->problem.backward) {
    all.push_back({"dq", dq_.data});
    all.push_back({"dkv", d_kv_.data});
  }
  return all;
}

double BatchData::at(const ShardedTensor& tensor, bool wide, int part, std::int64_t index) const {
  const std::byte* data = tensor.part(part);
  if (wide || plan_->problem.dtype == substrate::DType::f32) {
    float value = 0;
    std::memcpy(&value, data + index * 4, 4);
    return value;
  }
  substrate::BFloat16 value;
  std::memcpy(&value, data + index * 2, 2);
  return substrate::to_float(value);
}

std::vector<double> BatchData::gather(int sequence, const ShardedTensor& tensor, bool wide, int heads, int width,
                                      bool second) const {
  const int item = item_of_[static_cast<std::size_t>(sequence)];
  const ItemSizes& sizes = sizes_[static_cast<std::size_t>(item)];
  const std::int64_t each = std::int64_t{heads} * width;
  std::vector<double> all(static_cast<std::size_t>(plan_->problem.lengths[static_cast<std::size_t>(sequence)] * each));
  const auto& shares = plan_->items[static_cast<std::size_t>(item)].shares;
  for (std::size_t m = 0; m < shares.size(); ++m) {
    std::int64_t row = second ? sizes.tokens[m] : 0;
    for (const Slice& slice : shares[m]) {
      if (slice.sequence == sequence)
        for (std::int64_t x = 0; x < slice.tokens() * each; ++x)
          all[static_cast<std::size_t>(slice.begin * each + x)] =
              at(tensor, wide, part(item, static_cast<int>(m)), row * each + x);
      row += slice.tokens();
    }
  }
  return all;
}

std::vector<double> BatchData::gather_lse(int sequence) const {
  const int item = item_of_[static_cast<std::size_t>(sequence)];
  const ItemSizes& sizes = sizes_[static_cast<std::size_t>(item)];
  const int heads = plan_->problem.heads;
  if (!sizes.by_heads) return gather(sequence, lse_, true, heads, 1, false);
  const BatchItem& of = plan_->items[static_cast<std::size_t>(item)];
  std::int64_t first = 0;
  for (const int other : of.sequences)
    if (other < sequence) first += plan_->problem.lengths[static_cast<std::size_t>(other)];
  const std::int64_t length = plan_->problem.lengths[static_cast<std::size_t>(sequence)];
  std::vector<double> all(static_cast<std::size_t>(length * heads));
  for (int m = 0; m < of.members(); ++m)
    for (std::int64_t t = 0; t < length; ++t)
      for (int h = 0; h < sizes.q_heads; ++h)
        all[static_cast<std::size_t>(t * heads + m * sizes.q_heads + h)] =
            at(lse_, true, part(item, m), (first + t) * sizes.q_heads + h);
  return all;
}

bool BatchData::compares_all() const { return plan_->problem.flops() <= kFullOracleFlops; }

void BatchData::refer(std::uint64_t seed) const {
  const BatchProblem& p = plan_->problem;
  references_.clear();
  for (int s = 0; s < static_cast<int>(p.lengths.size()); ++s) {
    const int item = item_of_[static_cast<std::size_t>(s)];
    OracleInputs in{.length = p.lengths[static_cast<std::size_t>(s)],
                    .batch = 1,
                    .heads = p.heads,
                    .kv_heads = p.kv_heads,
                    .head_dim = p.head_dim,
                    .causal = true,
                    .q = gather(s, q_, false, p.heads, p.head_dim, false),
                    .k = gather(s, kv_, false, p.kv_heads, p.head_dim, false),
                    .v = gather(s, kv_, false, p.kv_heads, p.head_dim, true),
                    .d_out = {}};
    if (p.backward) in.d_out = gather(s, d_out_, false, p.heads, p.head_dim, false);
    std::vector<std::int64_t> borders;
    for (const Share& share : plan_->items[static_cast<std::size_t>(item)].shares)
      for (const Slice& slice : share)
        if (slice.sequence == s) borders.insert(borders.end(), {slice.begin, slice.end - 1});
    references_.emplace_back(std::move(in), p.dtype, compares_all(), borders, seed + static_cast<std::uint64_t>(s),
                             sizes_[static_cast<std::size_t>(item)].by_heads);
  }
}

Check BatchData::compare(std::uint64_t seed) const {
  const BatchProblem& p = plan_->problem;
  if (references_.empty()) refer(seed);
  Check worst{.error = 0, .coverage = 0, .detail = {}};
  for (int s = 0; s < static_cast<int>(p.lengths.size()); ++s) {
    OracleOutputs got{.o = gather(s, o_, false, p.heads, p.head_dim, false), .lse = gather_lse(s)};
    if (p.backward) {
      got.dq = gather(s, dq_, true, p.heads, p.head_dim, false);
      got.dk = gather(s, d_kv_, true, p.kv_heads, p.head_dim, false);
      got.dv = gather(s, d_kv_, true, p.kv_heads, p.head_dim, true);
    }
    const Check check = references_[static_cast<std::size_t>(s)].compare(got);
    worst.coverage += check.coverage * static_cast<double>(p.lengths[static_cast<std::size_t>(s)]);
    if (std::isnan(worst.error) || check.error <= worst.error) continue;
    worst.error = check.error;
    worst.detail = fmt::format("sequence {} of {} tokens: {}", s, p.lengths[static_cast<std::size_t>(s)], check.detail);
  }
  worst.coverage /= static_cast<double>(p.tokens());
  return worst;
}

}  // namespace assay::parallelism
