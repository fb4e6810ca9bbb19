#include "impls/parallelism/sequence/sequence_case.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "datasets/user_error.h"
#include "impls/substrate/random.h"

namespace assay::parallelism {

using harness::Axis;
using harness::Check;
using harness::Value;
using substrate::DType;

namespace {

constexpr double kFullOracleFlops = 2e9;

// Where element (token slot, head, x) of batch b lies in a rank's part of a [batch][tokens][heads][d] tensor.
std::int64_t element(std::int64_t tokens, int heads, int d, int b, std::int64_t slot, int head) {
  return ((b * tokens + slot) * heads + head) * d;
}

}  // namespace

SequenceData::SequenceData(SequencePlan plan, std::optional<int> only) : plan_(std::move(plan)), only_(only) {
  const auto cut = [&](ShardedTensor& tensor, auto bytes_of) {
    std::int64_t total = 0;
    for (int r = 0; r < plan_.problem.ranks; ++r) {
      tensor.offset.push_back(total);
      tensor.bytes.push_back(only_.value_or(r) == r ? bytes_of(r) : 0);
      total += (tensor.bytes.back() + 63) / 64 * 64;
    }
    tensor.data.resize(static_cast<std::size_t>(total));
  };
  cut(q_, [&](int r) { return plan_.q_bytes(r); });
  cut(kv_, [&](int r) { return plan_.kv_bytes(r); });
  cut(o_, [&](int r) { return plan_.q_bytes(r); });
  cut(lse_, [&](int r) { return plan_.lse_rows(r) * 4; });
  if (!plan_.problem.backward) return;
  cut(d_out_, [&](int r) { return plan_.q_bytes(r); });
  cut(dq_, [&](int r) { return plan_.q_elements(r) * 4; });
  cut(d_kv_, [&](int r) { return plan_.gradient_bytes(r); });
}

void SequenceData::draw(std::uint64_t seed) {
  reference_.reset();
  substrate::Random random(seed);
  std::vector<float> values;
  const auto fill = [&](ShardedTensor& tensor, auto elements_of) {
    for (int r = 0; r < plan_.problem.ranks; ++r) {
      values.resize(static_cast<std::size_t>(elements_of(r)));
      for (float& value : values) value = static_cast<float>(random.normal());
      if (only_.value_or(r) != r) continue;  // drawn all the same: a rank's values do not depend on who draws them
      store(plan_.problem.dtype, values.data(), elements_of(r), tensor.part(r));
    }
  };
  fill(q_, [&](int r) { return plan_.q_elements(r); });
  fill(kv_, [&](int r) { return plan_.kv_elements(r); });
  if (plan_.problem.backward) fill(d_out_, [&](int r) { return plan_.q_elements(r); });
}

SequenceMemory SequenceData::memory(int rank) {
  SequenceMemory memory{.q = q_.part(rank), .kv = kv_.part(rank), .o = o_.part(rank), .lse = lse_.part(rank)};
  if (plan_.problem.backward) {
    memory.d_out = d_out_.part(rank);
    memory.dq = dq_.part(rank);
    memory.d_kv = d_kv_.part(rank);
  }
  return memory;
}

std::vector<std::span<std::byte>> SequenceData::outputs_of(int rank) {
  std::vector<std::span<std::byte>> parts;
  const auto add = [&](ShardedTensor& tensor) {
    parts.emplace_back(tensor.part(rank), static_cast<std::size_t>(tensor.bytes[static_cast<std::size_t>(rank)]));
  };
  add(o_);
  add(lse_);
  if (plan_.problem.backward) {
    add(dq_);
    add(d_kv_);
  }
  return parts;
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

// Into the global order of tokens. `second` picks V of a K, V pair.
std::vector<double> SequenceData::gather(const ShardedTensor& tensor, bool wide, int heads, int width,
                                         bool second) const {
  const SequenceProblem& p = plan_.problem;
  std::vector<double> all(static_cast<std::size_t>(p.batch * p.length * heads * width));
  for (int r = 0; r < p.ranks; ++r) {
    const std::int64_t half = second ? plan_.kv_elements(r) / 2 : 0;
    const std::vector<std::int64_t> positions = plan_.layout.positions(r);
    const auto tokens = static_cast<std::int64_t>(positions.size());
    for (int b = 0; b < p.batch; ++b)
      for (std::int64_t slot = 0; slot < tokens; ++slot) {
        const std::int64_t from = half + element(tokens, heads, width, b, slot, 0);
        const std::int64_t to = element(p.length, heads, width, b, positions[static_cast<std::size_t>(slot)], 0);
        for (std::int64_t x = 0; x < std::int64_t{heads} * width; ++x)
          all[static_cast<std::size_t>(to + x)] = at(tensor, wide, r, from + x);
      }
  }
  return all;
}

bool SequenceData::compares_all() const { return plan_.problem.flops() <= kFullOracleFlops; }

// [B][L][H] of parts [B][tokens of the group of ranks, in the order of the sequence][heads of the rank].
std::vector<double> SequenceData::gather_lse_by_heads() const {
  const SequenceProblem& p = plan_.problem;
  const int group = plan_.head_ranks, each = p.heads / group;
  std::vector<double> all(static_cast<std::size_t>(p.batch * p.length * p.heads));
  for (int r = 0; r < p.ranks; ++r) {
    std::vector<std::int64_t> tokens;
    for (int other = r / group * group; other < r / group * group + group; ++other) {
      const std::vector<std::int64_t> theirs = plan_.layout.positions(other);
      tokens.insert(tokens.end(), theirs.begin(), theirs.end());
    }
    std::ranges::sort(tokens);
    const auto count = static_cast<std::int64_t>(tokens.size());
    for (int b = 0; b < p.batch; ++b)
      for (std::int64_t t = 0; t < count; ++t)
        for (int h = 0; h < each; ++h) {
          const std::int64_t to = (b * p.length + tokens[static_cast<std::size_t>(t)]) * p.heads;
          all[static_cast<std::size_t>(to + (r % group) * each + h)] = at(lse_, true, r, (b * count + t) * each + h);
        }
  }
  return all;
}

void SequenceData::refer(std::uint64_t seed) const {
  const SequenceProblem& p = plan_.problem;
  OracleInputs in{.length = p.length,
                  .batch = p.batch,
                  .heads = p.heads,
                  .kv_heads = p.kv_heads,
                  .head_dim = p.head_dim,
                  .causal = p.causal,
                  .q = gather(q_, false, p.heads, p.head_dim, false),
                  .k = gather(kv_, false, p.kv_heads, p.head_dim, false),
                  .v = gather(kv_, false, p.kv_heads, p.head_dim, true),
                  .d_out = {}};
  if (p.backward) in.d_out = gather(d_out_, false, p.heads, p.head_dim, false);
  std::vector<std::int64_t> borders;
  for (int r = 0; r < p.ranks; ++r) {
    const std::vector<std::int64_t> shard = plan_.layout.positions(r);
    if (!shard.empty()) borders.insert(borders.end(), {shard.front(), shard.back()});
  }
  reference_ = std::make_shared<const SequenceReference>(std::move(in), p.dtype, compares_all(), borders, seed,
                                                         plan_.gradients_in_dtype);
}

Check SequenceData::compare(std::uint64_t seed) const {
  const SequenceProblem& p = plan_.problem;
  if (!reference_) refer(seed);
  OracleOutputs got{.o = gather(o_, false, p.heads, p.head_dim, false),
                    .lse = plan_.head_ranks > 1 ? gather_lse_by_heads() : gather(lse_, true, p.heads, 1, false)};
  if (p.backward) {
    got.dq = gather(dq_, true, p.heads, p.head_dim, false);
    got.dk = gather(d_kv_, true, p.kv_heads, p.head_dim, false);
    got.dv = gather(d_kv_, true, p.kv_heads, p.head_dim, true);
  }
  return reference_->compare(got);
}

SequenceMemory sequence_memory(ProgramData* data, int rank) {
  return data == nullptr ? SequenceMemory{} : static_cast<SequenceData*>(data)->memory(rank);
}

harness::Work attention_layer_work(const SequenceProblem& problem) {
  const double tokens = static_cast<double>(problem.length) * problem.batch;
  const double q = tokens * problem.heads * problem.head_dim;
  const double kv = 2 * tokens * problem.kv_heads * problem.head_dim;
  const double element = size_of(problem.dtype);
  double bytes = element * (2 * q + kv) + 4 * tokens * problem.heads;
  if (problem.backward) bytes += element * (2 * q + kv) + 4 * (q + kv);  // dO, O again, K and V again; dQ, dK, dV
  return {.flops = problem.flops(),
          .bytes = bytes,
          .exps = problem.flops() / (4.0 * problem.head_dim) * (problem.backward ? 4.0 / 7 : 1),
          .working_set = bytes,
          .roof = "fp32-fma"};
}

ProgramScheme sequence_scheme(const SequenceProblem& problem, const SequenceScheme& scheme,
                              std::vector<ProgramMutant> mutants) {
  const auto small = [problem, scheme] {
    SequenceProblem whole = problem;
    whole.batch = 1;
    while (scheme.work(whole).flops > 1e8 && whole.length > 4 * whole.ranks) whole.length = whole.length / 2 + 1;
    ProgramScheme same = sequence_scheme(whole, scheme, {});
    same.whole_name = fmt::format("at {} tokens", whole.length);
    return same;
  };
  return {.ranks = problem.ranks,
          .dtype = problem.dtype == DType::bf16 ? substrate::OpDtype::bf16 : substrate::OpDtype::fp32,
          .tokens = problem.length * problem.batch,
          .work = scheme.work(problem),
          .program = scheme.program(problem),
          .data = [problem, make = scheme.data](std::optional<int> only) { return make(problem, only); },
          .mutants = std::move(mutants),
          .whole = small,
          .fabric = scheme.fabric};
}

std::vector<Axis> without(std::vector<Axis> axes, std::initializer_list<std::string_view> names) {
  std::erase_if(axes, [&](const Axis& axis) { return std::ranges::find(names, axis.name) != names.end(); });
  return axes;
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
       .help = "which tokens a rank holds: a run; chunks r and 2P-1-r of 2P; every P-th",
       .allowed = {word("contiguous"), word("zigzag"), word("striped")}},
  };
}

int key_heads(const harness::State& state) {
  const auto heads = static_cast<int>(state.integer("heads"));
  const int shared = state.params().has("kv_heads") ? static_cast<int>(state.integer("kv_heads")) : 0;
  if (shared == 0) return heads;
  if (heads % shared != 0)
    throw UserError(fmt::format("kv_heads: found {}, expected a divisor of heads ({})", shared, heads));
  return shared;
}

DType storage(const harness::State& state) { return state.text("dtype") == "fp32" ? DType::f32 : DType::bf16; }

SequenceProblem sequence_problem(const harness::State& state) {
  const auto whole = [&](const char* axis) { return static_cast<int>(state.integer(axis)); };
  SequenceProblem p{.length = state.integer("sequence_length"),
                    .ranks = whole("ranks"),
                    .batch = whole("batch"),
                    .heads = whole("heads"),
                    .kv_heads = key_heads(state),
                    .head_dim = whole("head_dim"),
                    .dtype = storage(state),
                    .causal = !state.params().has("causal") || state.flag("causal"),
                    .backward = state.params().has("backward") && state.flag("backward"),
                    .layout = state.params().has("layout") ? layout_from(state.text("layout")) : Layout::contiguous};
  const std::int64_t least = p.layout == Layout::zigzag ? 2 * p.ranks : p.ranks;
  if (p.length < least)
    throw UserError(
        fmt::format("sequence_length: found {}, expected at least {} for {} ranks", p.length, least, p.ranks));
  return p;
}

}  // namespace assay::parallelism
