// RoPE (arXiv 2104.09864, RoFormer) on a CPU: one pass over Q and K with a table of angles.
#include "impls/positional/rope.h"

#include <fmt/format.h>

#include <bit>
#include <cmath>
#include <memory>

#include "datasets/user_error.h"
#include "impls/substrate/elements.h"
#include "impls/substrate/random.h"

namespace assay::positional {

using harness::Axis;
using harness::Value;
using substrate::DType;
using substrate::load_element;
using substrate::store_element;

harness::Work RopeProblem::work() const {
  harness::Work work;
  work.flops = 3 * static_cast<double>(elements());  // a pair: four products and two sums
  work.bytes = 2 * static_cast<double>(bytes()) + 4 * static_cast<double>(table_elements());
  work.working_set = work.bytes;
  return work;
}

std::vector<Axis> rope_axes(const std::vector<std::string>& dtypes) {
  const auto count = [](std::int64_t value) { return Value(value); };
  const auto word = [](const char* value) { return Value(std::string(value)); };
  std::vector<Value> types;
  for (const std::string& each : dtypes) types.emplace_back(each);
  return {{.name = "tokens", .defaults = {count(4096)}, .help = "tokens N"},
          {.name = "first_position", .defaults = {count(0)}, .help = "position of the first token", .minimum = 0},
          {.name = "heads", .defaults = {count(32)}, .help = "query heads Hq"},
          {.name = "kv_heads", .defaults = {count(8)}, .help = "key heads Hkv"},
          {.name = "head_dim", .defaults = {count(128)}, .help = "head size d, a multiple of 16", .minimum = 16},
          {.name = "pairs",
           .defaults = {word("half")},
           .help = "elements that turn together: half (i, i + d/2) or interleaved (2i, 2i + 1)",
           .allowed = {word("half"), word("interleaved")}},
          {.name = "dtype",
           .defaults = {types.front()},
           .help = "storage; angles and products are fp32",
           .allowed = types}};
}

RopeProblem rope_problem(const harness::State& state) {
  const std::string& dtype = state.text("dtype");
  RopeProblem problem{.tokens = state.integer("tokens"),
                      .first_position = state.integer("first_position"),
                      .heads = static_cast<int>(state.integer("heads")),
                      .kv_heads = static_cast<int>(state.integer("kv_heads")),
                      .head_dim = static_cast<int>(state.integer("head_dim")),
                      .interleaved = state.text("pairs") == "interleaved",
                      .dtype = dtype == "fp32"   ? DType::f32
                               : dtype == "fp16" ? DType::f16
                                                 : DType::bf16};
  if (problem.head_dim % 16 != 0 || problem.head_dim > 1024)
    throw UserError(fmt::format("head_dim: found {}, expected a multiple of 16 up to 1024", problem.head_dim));
  if (problem.elements() > std::int64_t{1} << 31)
    throw UserError(fmt::format("tokens: found {}, expected at most {} for these heads", problem.tokens,
                                (std::int64_t{1} << 31) / (problem.all_heads() * problem.head_dim)));
  return problem;
}

std::vector<float> rope_table(const RopeProblem& p, std::int64_t shift) {
  std::vector<float> table(static_cast<std::size_t>(p.table_elements()));
  auto at = table.begin();
  for (std::int64_t token = 0; token < p.tokens; ++token) {
    for (int i = 0; i < p.head_dim / 2; ++i) {
      const double angle =
          static_cast<double>(p.first_position + token + shift) * std::pow(p.base, -2.0 * i / p.head_dim);
      *at++ = static_cast<float>(std::cos(angle));
      *at++ = static_cast<float>(std::sin(angle));
    }
  }
  return table;
}

void RopeTensors::draw(const RopeProblem& p, std::uint64_t seed) {
  substrate::Random random(seed);
  for (std::int64_t i = 0; i < p.elements(); ++i)
    store_element(p.dtype, static_cast<float>(random.normal()), in.data(), i);
}

std::vector<std::pair<std::string, RopeFault>> rope_faults(const RopeProblem& problem) {
  std::vector<std::pair<std::string, RopeFault>> faults = {{"last-head-skipped", {.heads_left_out = 1}},
                                                           {"next-position", {.shift = 1}},
                                                           {"other-pairs", {.other_pairs = true}},
                                                           {"lower-precision", {.coarse = true}}};
  // The first position is turned by nothing, with any pairs.
  if (problem.first_position + problem.tokens < 2)
    std::erase_if(faults, [](const auto& each) { return each.second.other_pairs; });
  return faults;
}

RopeProblem with_fault(RopeProblem problem, const RopeFault& fault) {
  if (fault.other_pairs) problem.interleaved = !problem.interleaved;
  return problem;
}

void coarsen(const RopeProblem& problem, const std::byte* from, std::byte* to) {
  for (std::int64_t i = 0; i < problem.elements(); ++i) {
    const auto bits = std::bit_cast<std::uint32_t>(load_element(problem.dtype, from, i));
    store_element(problem.dtype, std::bit_cast<float>((bits + 0x80000U) & 0xfff00000U), to, i);
  }
}

harness::Check compare_rope(const RopeProblem& p, const RopeTensors& t) {
  const double u = substrate::unit_roundoff(p.dtype);
  harness::Check check;
  const int half = p.head_dim / 2;
  for (std::int64_t token = 0; token < p.tokens; ++token) {
    for (int i = 0; i < half; ++i) {
      const double angle = static_cast<double>(p.first_position + token) * std::pow(p.base, -2.0 * i / p.head_dim);
      const double c = std::cos(angle);
      const double s = std::sin(angle);
      for (std::int64_t head = 0; head < p.all_heads(); ++head) {
        const std::int64_t first = (token * p.all_heads() + head) * p.head_dim;
        const std::int64_t at[2] = {first + (p.interleaved ? 2 * i : i),
                                    first + (p.interleaved ? 2 * i + 1 : i + half)};
        const double a = load_element(p.dtype, t.in.data(), at[0]);
        const double b = load_element(p.dtype, t.in.data(), at[1]);
        const double want[2] = {a * c - b * s, b * c + a * s};
        for (int e = 0; e < 2; ++e) {
          const double got = load_element(p.dtype, t.out.data(), at[e]);
          const double error = std::abs(got - want[e]) /
                               (1.01 * u * std::abs(want[e]) + 4e-7 * std::max(std::abs(a), std::abs(b)) + 1e-7);
          if (error <= check.error) continue;
          check.error = std::isnan(error) ? HUGE_VAL : error;
          check.detail = fmt::format("token {}, head {}, element {}, is {:g}, the oracle says {:g}", token, head,
                                     at[e] - first, got, want[e]);
        }
      }
    }
  }
  return check;
}

namespace {

template <DType kType, bool kInterleaved>
void turn(const RopeProblem& p, std::int64_t heads, const float* table, const std::byte* from, std::byte* to) {
  const int half = p.head_dim / 2;
  for (std::int64_t token = 0; token < p.tokens; ++token) {
    const float* const angles = table + token * p.head_dim;
    for (std::int64_t head = 0; head < heads; ++head) {
      const std::int64_t first = (token * p.all_heads() + head) * p.head_dim;
      for (int i = 0; i < half; ++i) {
        const std::int64_t x = first + (kInterleaved ? 2 * i : i);
        const std::int64_t y = first + (kInterleaved ? 2 * i + 1 : i + half);
        const float a = load_element(kType, from, x);
        const float b = load_element(kType, from, y);
        const float c = angles[2 * i];
        const float s = angles[2 * i + 1];
        store_element(kType, a * c - b * s, to, x);
        store_element(kType, b * c + a * s, to, y);
      }
    }
  }
}

template <DType kType>
void turn(const RopeProblem& p, std::int64_t heads, const float* table, const std::byte* from, std::byte* to) {
  if (p.interleaved) return turn<kType, true>(p, heads, table, from, to);
  turn<kType, false>(p, heads, table, from, to);
}

void turn(const RopeProblem& p, std::int64_t heads, const float* table, const std::byte* from, std::byte* to) {
  if (p.dtype == DType::f32) return turn<DType::f32>(p, heads, table, from, to);
  if (p.dtype == DType::bf16) return turn<DType::bf16>(p, heads, table, from, to);
  turn<DType::f16>(p, heads, table, from, to);
}

void run(harness::State& state) {
  const RopeProblem problem = rope_problem(state);
  state.declare(problem.work());
  const auto tensors = std::make_shared<RopeTensors>(problem);
  const auto table = std::make_shared<const std::vector<float>>(rope_table(problem));
  state.inputs([=](std::uint64_t seed) { tensors->draw(problem, seed); });
  state.output({"out", tensors->out.span()});
  state.oracle([=] { return compare_rope(problem, *tensors); });
  for (const auto& [name, each] : rope_faults(problem)) {
    state.mutant(name, [=, fault = each] {
      const RopeProblem wrong = with_fault(problem, fault);
      substrate::AlignedBuffer<std::byte> coarse(problem.bytes());
      if (fault.coarse) coarsen(problem, tensors->in.data(), coarse.data());
      turn(wrong, problem.all_heads() - fault.heads_left_out, rope_table(wrong, fault.shift).data(),
           fault.coarse ? coarse.data() : tensors->in.data(), tensors->out.data());
    });
  }
  state.measure([=] { turn(problem, problem.all_heads(), table->data(), tensors->in.data(), tensors->out.data()); });
}

const harness::Registration registration({
    .id = "positional/rope",
    .title = "RoFormer: Enhanced Transformer with Rotary Position Embedding",
    .paper = "arXiv 2104.09864",
    .summary = "queries and keys turned by their positions; bound by memory",
    .implementations = {{.axes = rope_axes({"bf16", "fp32", "fp16"}), .run = run, .source_file = __FILE__}},
});

}  // namespace
}  // namespace assay::positional
