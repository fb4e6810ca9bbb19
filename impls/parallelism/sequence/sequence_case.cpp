#include "impls/parallelism/sequence/sequence_case.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>

#include "datasets/user_error.h"
#include "impls/parallelism/sequence/attention_oracle.h"
#include "impls/substrate/random.h"

namespace assay::parallelism {

using harness::Axis;
using harness::Check;
using harness::Value;
using substrate::DType;

namespace {

constexpr double kFullOracleFlops = 2e9;
constexpr std::size_t kSampledRows = 64;

// Where element (token slot, head, x) of batch b lies in a rank's part of a [batch][tokens][heads][d] tensor.
std::int64_t element(std::int64_t tokens, int heads, int d, int b, std::int64_t slot, int head) {
  return ((b * tokens + slot) * heads + head) * d;
}

// The largest error over elements, each against tolerance * (|want| + root mean square of all wanted).
struct Comparison {
  double tolerance;
  double worst = 0;
  std::string where;
  std::int64_t compared = 0;

  void add(const char* tensor, std::span<const double> got, std::span<const double> want) {
    double square = 0;
    for (const double w : want) square += w * w;
    const double typical = std::sqrt(square / static_cast<double>(std::max<std::size_t>(1, want.size())));
    for (std::size_t i = 0; i < want.size(); ++i) {
      const double scale = tolerance * (std::abs(want[i]) + typical);
      const double error = want[i] == got[i] ? 0 : std::abs(got[i] - want[i]) / scale;
      if (error > worst || std::isnan(error)) {
        worst = std::isnan(error) ? std::numeric_limits<double>::quiet_NaN() : error;
        where = fmt::format("{}[{}] is {:.6g}, the oracle says {:.6g}", tensor, i, got[i], want[i]);
        if (std::isnan(worst)) return;
      }
    }
    compared += static_cast<std::int64_t>(want.size());
  }
};

}  // namespace

SequenceData::SequenceData(const RingPlan& plan) : plan_(plan) {
  const auto cut = [&](ShardedTensor& tensor, auto bytes_of) {
    std::int64_t total = 0;
    for (int r = 0; r < plan_.problem.ranks; ++r) {
      tensor.offset.push_back(total);
      total += (bytes_of(r) + 63) / 64 * 64;
    }
    tensor.data.resize(static_cast<std::size_t>(total));
  };
  cut(q_, [&](int r) { return plan_.q_bytes(r); });
  cut(kv_, [&](int r) { return plan_.kv_bytes(r); });
  cut(o_, [&](int r) { return plan_.q_bytes(r); });
  cut(lse_, [&](int r) { return plan_.rows(r) * 4; });
  if (!plan_.problem.backward) return;
  cut(d_out_, [&](int r) { return plan_.q_bytes(r); });
  cut(dq_, [&](int r) { return plan_.q_elements(r) * 4; });
  cut(d_kv_, [&](int r) { return plan_.gradient_bytes(r); });
}

void SequenceData::draw(std::uint64_t seed) {
  substrate::Random random(seed);
  std::vector<float> values;
  const auto fill = [&](ShardedTensor& tensor, auto elements_of) {
    for (int r = 0; r < plan_.problem.ranks; ++r) {
      values.resize(static_cast<std::size_t>(elements_of(r)));
      for (float& value : values) value = static_cast<float>(random.normal());
      store(plan_.problem.dtype, values.data(), elements_of(r), tensor.part(r));
    }
  };
  fill(q_, [&](int r) { return plan_.q_elements(r); });
  fill(kv_, [&](int r) { return plan_.kv_elements(r); });
  if (plan_.problem.backward) fill(d_out_, [&](int r) { return plan_.q_elements(r); });
}

RingMemory SequenceData::memory(int rank) {
  RingMemory memory{.q = q_.part(rank), .kv = kv_.part(rank), .o = o_.part(rank), .lse = lse_.part(rank)};
  if (plan_.problem.backward) {
    memory.d_out = d_out_.part(rank);
    memory.dq = dq_.part(rank);
    memory.d_kv = d_kv_.part(rank);
  }
  return memory;
}

std::vector<harness::Output> SequenceData::outputs() {
  std::vector<harness::Output> all{{"o", o_.data}, {"lse", lse_.data}};
  if (plan_.problem.backward) {
    all.push_back({"dq", dq_.data});
    all.push_back({"dkv", d_kv_.data});
  }
  return all;
}

double SequenceData::at(const ShardedTensor& tensor, bool wide, int rank, std::int64_t index) const {
  const std::byte* part = tensor.part(rank);
  if (wide || plan_.problem.dtype == DType::f32) {
    float value = 0;
    std::memcpy(&value, part + index * 4, 4);
    return value;
  }
  substrate::BFloat16 value;
  std::memcpy(&value, part + index * 2, 2);
  return substrate::to_float(value);
}

Check SequenceData::compare(std::uint64_t seed) const {
  const SequenceProblem& p = plan_.problem;
  const int d = p.head_dim;
  const auto dz = static_cast<std::size_t>(d);

  // Into the global order of tokens. `second` picks V of a K, V pair.
  std::vector<std::vector<std::int64_t>> positions;
  for (int r = 0; r < p.ranks; ++r) positions.push_back(plan_.layout.positions(r));
  const auto gather = [&](const ShardedTensor& tensor, bool wide, int heads, int width, bool second) {
    std::vector<double> all(static_cast<std::size_t>(p.batch * p.length * heads * width));
    for (int r = 0; r < p.ranks; ++r) {
      const std::int64_t tokens = plan_.layout.tokens(r);
      const std::int64_t half = second ? plan_.kv_elements(r) / 2 : 0;
      for (int b = 0; b < p.batch; ++b)
        for (std::int64_t slot = 0; slot < tokens; ++slot) {
          const std::int64_t from = half + element(tokens, heads, width, b, slot, 0);
          const std::int64_t to = element(p.length, heads, width, b,
                                          positions[static_cast<std::size_t>(r)][static_cast<std::size_t>(slot)], 0);
          for (std::int64_t x = 0; x < std::int64_t{heads} * width; ++x)
            all[static_cast<std::size_t>(to + x)] = at(tensor, wide, r, from + x);
        }
    }
    return all;
  };
  OracleInputs in{.length = p.length,
                  .batch = p.batch,
                  .heads = p.heads,
                  .kv_heads = p.kv_heads,
                  .head_dim = d,
                  .causal = p.causal,
                  .q = gather(q_, false, p.heads, d, false),
                  .k = gather(kv_, false, p.kv_heads, d, false),
                  .v = gather(kv_, false, p.kv_heads, d, true)};
  const std::vector<double> o = gather(o_, false, p.heads, d, false);
  const std::vector<double> lse = gather(lse_, true, p.heads, 1, false);
  std::vector<double> dq, dk, dv;
  if (p.backward) {
    in.d_out = gather(d_out_, false, p.heads, d, false);
    dq = gather(dq_, true, p.heads, d, false);
    dk = gather(d_kv_, true, p.kv_heads, d, false);
    dv = gather(d_kv_, true, p.kv_heads, d, true);
  }

  // bf16: O is rounded to 8 bits, and the gradients see that O through delta. fp32: sums of a few thousand terms.
  Comparison comparison{.tolerance = p.dtype == DType::f32 ? 2e-5 : 1e-2};
  const auto total = static_cast<double>(o.size() + lse.size() + dq.size() + dk.size() + dv.size());
  if (p.flops() <= kFullOracleFlops) {
    const OracleOutputs want = attention_oracle(in);
    comparison.add("o", o, want.o);
    comparison.add("lse", lse, want.lse);
    if (p.backward) {
      comparison.add("dq", dq, want.dq);
      comparison.add("dk", dk, want.dk);
      comparison.add("dv", dv, want.dv);
    }
    return {.error = comparison.worst, .coverage = 1, .detail = comparison.where};
  }

  substrate::Random random(seed);
  for (int b = 0; b < p.batch; ++b)
    for (int h = 0; h < p.heads; ++h) {
      std::set<std::int64_t> rows{0, p.length - 1};
      for (const auto& shard : positions) {
        if (shard.empty()) continue;
        rows.insert(shard.front());
        rows.insert(shard.back());
      }
      while (rows.size() < std::min<std::size_t>(kSampledRows, static_cast<std::size_t>(p.length)))
        rows.insert(static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(p.length))));
      std::vector<double> got_o, got_lse, got_dq, want_o, want_lse, want_dq;
      for (const std::int64_t i : rows) {
        const OracleRow row = attention_oracle_row(in, b, h, i);
        const auto from = static_cast<std::size_t>(element(p.length, p.heads, d, b, i, h));
        want_o.insert(want_o.end(), row.o.begin(), row.o.end());
        want_dq.insert(want_dq.end(), row.dq.begin(), row.dq.end());
        want_lse.push_back(row.lse);
        got_lse.push_back(lse[from / dz]);
        got_o.insert(got_o.end(), o.begin() + static_cast<std::ptrdiff_t>(from),
                     o.begin() + static_cast<std::ptrdiff_t>(from + dz));
        if (p.backward)
          got_dq.insert(got_dq.end(), dq.begin() + static_cast<std::ptrdiff_t>(from),
                        dq.begin() + static_cast<std::ptrdiff_t>(from + dz));
      }
      comparison.add("o", got_o, want_o);
      comparison.add("lse", got_lse, want_lse);
      if (p.backward) comparison.add("dq", got_dq, want_dq);
    }
  const double coverage = static_cast<double>(comparison.compared) / total;
  if (p.backward) {
    const auto sum_over_tokens = [&](const std::vector<double>& tensor, int heads, int group) {
      std::vector<double> sums(static_cast<std::size_t>(p.batch) * static_cast<std::size_t>(heads / group) * dz);
      for (int b = 0; b < p.batch; ++b)
        for (std::int64_t i = 0; i < p.length; ++i)
          for (int h = 0; h < heads; ++h)
            for (std::size_t x = 0; x < dz; ++x)
              sums[static_cast<std::size_t>(b * (heads / group) + h / group) * dz + x] +=
                  tensor[static_cast<std::size_t>(element(p.length, heads, d, b, i, h)) + x];
      return sums;
    };
    comparison.add("sum of dv", sum_over_tokens(dv, p.kv_heads, 1),
                   sum_over_tokens(in.d_out, p.heads, p.heads / p.kv_heads));
    double of_keys = 0, of_queries = 0, size = 0;
    for (std::size_t i = 0; i < dk.size(); ++i) of_keys += dk[i] * in.k[i];
    for (std::size_t i = 0; i < dq.size(); ++i) {
      of_queries += dq[i] * in.q[i];
      size += dq[i] * dq[i] * in.q[i] * in.q[i];
    }
    // Both are sums of terms of either sign: hold the difference against their root sum of squares.
    comparison.add("<dk, k> - <dq, q>", std::vector<double>{std::sqrt(size) + of_keys - of_queries},
                   std::vector<double>{std::sqrt(size)});
  }
  return {.error = comparison.worst, .coverage = coverage, .detail = comparison.where};
}

namespace {
Value count(std::int64_t value) { return Value(value); }
Value word(const char* value) { return Value(std::string(value)); }
}  // namespace

std::vector<Axis> sequence_axes() {
  return {
      {.name = "sequence_length", .defaults = {count(1024)}, .help = "tokens L of one sequence, over all ranks"},
      {.name = "ranks", .defaults = {count(4)}, .help = "ranks P that share a sequence"},
      {.name = "heads", .defaults = {count(4)}, .help = "query heads H"},
      {.name = "kv_heads",
       .defaults = {count(0)},
       .help = "key/value heads Hk, a divisor of heads; 0 means heads",
       .minimum = 0},
      {.name = "head_dim", .defaults = {count(64)}, .help = "head size d (elements)"},
      {.name = "batch", .defaults = {count(1)}, .help = "sequences B"},
      {.name = "causal",
       .defaults = {count(1)},
       .help = "1: causal mask; 0: full",
       .allowed = {count(0), count(1)},
       .minimum = 0},
      {.name = "backward",
       .defaults = {count(0)},
       .help = "1: forward and backward; 0: forward",
       .allowed = {count(0), count(1)},
       .minimum = 0},
      {.name = "dtype",
       .defaults = {word("bf16")},
       .help = "storage of Q, K, V, O; accumulation is fp32",
       .allowed = {word("fp32"), word("bf16")}},
      {.name = "layout",
       .defaults = {word("contiguous")},
       .help = "contiguous as in the paper, or zigzag",
       .allowed = {word("contiguous"), word("zigzag")}},
  };
}

SequenceProblem sequence_problem(const harness::State& state) {
  const auto whole = [&](const char* axis) { return static_cast<int>(state.integer(axis)); };
  SequenceProblem p{.length = state.integer("sequence_length"),
                    .ranks = whole("ranks"),
                    .batch = whole("batch"),
                    .heads = whole("heads"),
                    .kv_heads = whole("kv_heads") == 0 ? whole("heads") : whole("kv_heads"),
                    .head_dim = whole("head_dim"),
                    .dtype = state.text("dtype") == "fp32" ? DType::f32 : DType::bf16,
                    .causal = state.flag("causal"),
                    .backward = state.flag("backward"),
                    .layout = layout_from(state.text("layout"))};
  if (p.heads % p.kv_heads != 0)
    throw UserError(fmt::format("kv_heads: found {}, expected a divisor of heads ({})", p.kv_heads, p.heads));
  const std::int64_t least = p.layout == Layout::zigzag ? 2 * p.ranks : p.ranks;
  if (p.length < least)
    throw UserError(
        fmt::format("sequence_length: found {}, expected at least {} for {} ranks", p.length, least, p.ranks));
  return p;
}

}  // namespace assay::parallelism
