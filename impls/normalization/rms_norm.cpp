// RMSNorm (arXiv 1910.07467): LayerNorm without the mean. Two passes over a row that stays in the first cache; float32
// throughout, sums in eight lanes so that the compiler can keep them in a register.
#include "impls/normalization/rms_norm.h"

#include <fmt/format.h>

#include <bit>
#include <cmath>
#include <cstring>

#include "datasets/user_error.h"
#include "impls/substrate/elements.h"
#include "impls/substrate/random.h"

namespace assay::normalization {

using harness::Axis;
using harness::Value;
using substrate::DType;
using substrate::load_element;
using substrate::store_element;

harness::Work NormProblem::work() const {
  const auto n = static_cast<double>(elements());
  const double each = size_of(dtype);
  harness::Work work;
  work.flops = (residual ? 5 : 4) * n;
  work.bytes = (residual ? 4 : 2) * n * each + static_cast<double>(hidden) * each;
  work.working_set = work.bytes;
  return work;
}

std::vector<Axis> norm_axes(const std::vector<std::string>& dtypes) {
  const auto count = [](std::int64_t value) { return Value(value); };
  std::vector<Value> types;
  for (const std::string& each : dtypes) types.emplace_back(each);
  return {{.name = "tokens", .defaults = {count(4096)}, .help = "rows (tokens)"},
          {.name = "hidden", .defaults = {count(4096)}, .help = "elements of a row, a multiple of 8", .minimum = 8},
          {.name = "residual",
           .defaults = {count(1)},
           .help = "1: a residual is added first and the sum written too; 0: the norm alone",
           .allowed = {count(0), count(1)},
           .minimum = 0},
          {.name = "dtype", .defaults = {types.front()}, .help = "storage; arithmetic is fp32", .allowed = types}};
}

NormProblem norm_problem(const harness::State& state) {
  const std::string& dtype = state.text("dtype");
  NormProblem problem{.tokens = state.integer("tokens"),
                      .hidden = state.integer("hidden"),
                      .residual = state.flag("residual"),
                      .dtype = dtype == "fp32"   ? DType::f32
                               : dtype == "fp16" ? DType::f16
                                                 : DType::bf16};
  if (problem.hidden % 8 != 0)
    throw UserError(fmt::format("hidden: found {}, expected a multiple of 8", problem.hidden));
  if (problem.elements() > std::int64_t{1} << 31)
    throw UserError(fmt::format("tokens: found {}, expected at most {} for hidden = {}", problem.tokens,
                                (std::int64_t{1} << 31) / problem.hidden, problem.hidden));
  return problem;
}

NormTensors::NormTensors(const NormProblem& p)
    : x(p.bytes()),
      residual(p.residual ? p.bytes() : 0),
      weight(static_cast<std::size_t>(p.hidden * size_of(p.dtype))),
      sum(p.residual ? p.bytes() : 0),
      y(p.bytes()) {}

void NormTensors::draw(const NormProblem& p, std::uint64_t seed) {
  substrate::Random random(seed);
  for (std::int64_t i = 0; i < p.elements(); ++i)
    store_element(p.dtype, static_cast<float>(random.normal()), x.data(), i);
  for (std::int64_t i = 0; p.residual && i < p.elements(); ++i)
    store_element(p.dtype, static_cast<float>(2 * random.normal()), residual.data(), i);
  for (std::int64_t i = 0; i < p.hidden; ++i)
    store_element(p.dtype, static_cast<float>(1 + 0.2 * random.normal()), weight.data(), i);
}

float coarsened(float value) {
  return std::bit_cast<float>((std::bit_cast<std::uint32_t>(value) + 0x80000U) & 0xfff00000U);
}

std::vector<std::pair<std::string, NormFault>> norm_faults(const NormProblem& problem) {
  std::vector<std::pair<std::string, NormFault>> faults = {{"last-columns-skipped", {.columns_left_out = 8}},
                                                           {"wrong-scale", {.scale = 1.05F}},
                                                           {"lower-precision", {.coarse = true}}};
  if (problem.residual) faults.push_back({"without-residual", {.forgets_residual = true}});
  return faults;
}

harness::Check compare_norm(const NormProblem& p, const NormTensors& t) {
  const double u = 2.5 * substrate::unit_roundoff(p.dtype);
  harness::Check check;
  const auto hold = [&](const char* name, std::int64_t row, std::int64_t at, double got, double want) {
    const double error = std::abs(got - want) / (u * std::abs(want) + 1e-6);
    if (error <= check.error) return;
    check.error = std::isnan(error) ? HUGE_VAL : error;
    check.detail = fmt::format("{} of row {}, element {}, is {:g}, the oracle says {:g}", name, row, at, got, want);
  };
  std::vector<double> h(static_cast<std::size_t>(p.hidden));
  for (std::int64_t row = 0; row < p.tokens; ++row) {
    const std::int64_t first = row * p.hidden;
    double squares = 0;
    for (std::int64_t i = 0; i < p.hidden; ++i) {
      double& each = h[static_cast<std::size_t>(i)];
      each = load_element(p.dtype, t.x.data(), first + i);
      if (p.residual) each += load_element(p.dtype, t.residual.data(), first + i);
      squares += each * each;
    }
    const double scale = 1 / std::sqrt(squares / static_cast<double>(p.hidden) + static_cast<double>(p.epsilon));
    for (std::int64_t i = 0; i < p.hidden; ++i) {
      const double each = h[static_cast<std::size_t>(i)];
      if (p.residual) hold("the sum", row, i, load_element(p.dtype, t.sum.data(), first + i), each);
      hold("y", row, i, load_element(p.dtype, t.y.data(), first + i),
           each * scale * load_element(p.dtype, t.weight.data(), i));
    }
  }
  return check;
}

namespace {

template <DType kType>
void norm_rows(const NormProblem& p, const NormFault& fault, NormTensors& t) {
  constexpr int kLanes = 8;
  std::vector<float> h(static_cast<std::size_t>(p.hidden));
  const std::int64_t written = p.hidden - fault.columns_left_out;
  for (std::int64_t row = 0; row < p.tokens; ++row) {
    const std::int64_t first = row * p.hidden;
    float squares[kLanes] = {};
    for (std::int64_t i = 0; i < p.hidden; i += kLanes) {
      for (int lane = 0; lane < kLanes; ++lane) {
        float value = load_element(kType, t.x.data(), first + i + lane);
        if (p.residual && !fault.forgets_residual) {
          value += load_element(kType, t.residual.data(), first + i + lane);
          // The sum is what the next layer reads, so it is what is normalised.
          store_element(kType, value, t.sum.data(), first + i + lane);
          value = load_element(kType, t.sum.data(), first + i + lane);
        }
        if (fault.coarse) value = coarsened(value);
        h[static_cast<std::size_t>(i + lane)] = value;
        squares[lane] += value * value;
      }
    }
    float sum = 0;
    for (const float part : squares) sum += part;
    const float scale = fault.scale / std::sqrt(sum / static_cast<float>(p.hidden) + p.epsilon);
    for (std::int64_t i = 0; i < written; ++i)
      store_element(kType, h[static_cast<std::size_t>(i)] * scale * load_element(kType, t.weight.data(), i), t.y.data(),
                    first + i);
  }
}

void norm(const NormProblem& p, const NormFault& fault, NormTensors& t) {
  if (p.dtype == DType::f32) return norm_rows<DType::f32>(p, fault, t);
  if (p.dtype == DType::bf16) return norm_rows<DType::bf16>(p, fault, t);
  norm_rows<DType::f16>(p, fault, t);
}

void run(harness::State& state) {
  const NormProblem problem = norm_problem(state);
  state.declare(problem.work());
  const auto tensors = std::make_shared<NormTensors>(problem);
  state.inputs([=](std::uint64_t seed) { tensors->draw(problem, seed); });
  state.output({"y", tensors->y.span()});
  if (problem.residual) state.output({"sum", tensors->sum.span()});
  state.oracle([=] { return compare_norm(problem, *tensors); });
  for (const auto& [name, fault] : norm_faults(problem))
    state.mutant(name, [=, wrong = fault] { norm(problem, wrong, *tensors); });
  state.measure([=] { norm(problem, {}, *tensors); });
}

const harness::Registration registration({
    .id = "normalization/rms-norm",
    .title = "Root Mean Square Layer Normalization",
    .paper = "arXiv 1910.07467",
    .summary = "fused with the residual addition before it; bound by memory",
    .implementations = {{.axes = norm_axes({"bf16", "fp32", "fp16"}), .run = run, .source_file = __FILE__}},
});

}  // namespace
}  // namespace assay::normalization
