#include "impls/attention/registration.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "datasets/user_error.h"
#include "impls/attention/oracle.h"
#include "impls/substrate/simd/tile_kernels.h"

namespace assay::attention {

using harness::Axis;
using harness::Value;

namespace {

Value count(std::int64_t value) { return Value(value); }
Value text(const char* value) { return Value(std::string(value)); }

int bounded(const harness::State& state, const char* axis, std::int64_t low, std::int64_t high) {
  const std::int64_t found = state.integer(axis);
  if (found < low || found > high)
    throw UserError(fmt::format("{}: found {}, expected {} to {}", axis, found, low, high));
  return static_cast<int>(found);
}

[[noreturn]] void unknown(const char* axis, const std::string& found, const char* expected) {
  throw UserError(fmt::format("{}: found '{}', expected {}", axis, found, expected));
}

}  // namespace

void coarsen(const Problem& problem, const substrate::View& view, int heads, int rows) {
  const int dropped = problem.dtype == DType::f32 ? 16 : 20;  // of the 23 bits of an fp32 mantissa
  const std::uint32_t half = 1U << (dropped - 1);
  for (int b = 0; b < problem.batch; ++b) {
    for (int h = 0; h < heads; ++h) {
      for (int r = 0; r < rows; ++r) {
        for (int c = 0; c < problem.head_dim; ++c) {
          const auto bits = std::bit_cast<std::uint32_t>(view.load(b, h, r, c)) + half;
          view.store(b, h, r, c, std::bit_cast<float>(bits >> dropped << dropped));
        }
      }
    }
  }
}

std::vector<Axis> axes() {
  return {
      {.name = "sequence_length", .defaults = {count(1024)}, .help = "queries N (tokens)"},
      {.name = "context",
       .defaults = {count(0)},
       .help = "keys M (tokens); 0 means as many as queries",
       .minimum = 0,
       .legacy_default = count(0)},
      {.name = "batch", .defaults = {count(1)}, .help = "sequences B"},
      {.name = "heads", .defaults = {count(4)}, .help = "query heads Hq"},
      {.name = "kv_heads",
       .defaults = {count(0)},
       .help = "key/value heads Hkv, a divisor of heads; 0 means heads",
       .minimum = 0,
       .legacy_default = count(0)},
      {.name = "head_dim", .defaults = {count(128)}, .help = "head size d of Q, K and V (elements)"},
      {.name = "causal",
       .defaults = {count(1)},
       .help = "1: causal mask, aligned bottom-right; 0: full",
       .allowed = {count(0), count(1)},
       .minimum = 0},
      {.name = "dtype",
       .defaults = {text("bf16")},
       .help = "element type; accumulation is fp32",
       .allowed = {text("fp32"), text("bf16")}},
      {.name = "threads", .defaults = {count(1)}, .help = "CPU threads, each pinned"},
      {.name = "isa",
       .defaults = {text("auto")},
       .help = "instruction set; auto takes the best here for the dtype; amx is unverified: it has run on emulated "
               "tiles only",
       .allowed = {text("auto"), text("portable"), text("avx2"), text("avx512"), text("avx512-bf16"), text("amx")}},
      {.name = "inputs",
       .defaults = {text("normal")},
       .help = "normal: N(0,1); outlier: plus N(0,100) in 1 of 1000",
       .allowed = {text("normal"), text("outlier")},
       .legacy_default = text("normal")},
  };
}

Problem read_shape(const harness::State& state) {
  Problem problem;
  constexpr std::int64_t kLongest = 1 << 24;
  problem.queries = bounded(state, "sequence_length", 1, kLongest);
  problem.keys = bounded(state, "context", 0, kLongest);
  if (problem.keys == 0) problem.keys = problem.queries;
  problem.batch = bounded(state, "batch", 1, 1 << 16);
  problem.heads = bounded(state, "heads", 1, 1 << 16);
  problem.kv_heads = bounded(state, "kv_heads", 0, 1 << 16);
  if (problem.kv_heads == 0) problem.kv_heads = problem.heads;
  if (problem.heads % problem.kv_heads != 0) {
    throw UserError(
        fmt::format("kv_heads: found {}, expected a divisor of heads ({})", problem.kv_heads, problem.heads));
  }
  problem.head_dim = bounded(state, "head_dim", 1, kLargestHeadDim);
  problem.causal = bounded(state, "causal", 0, 1) == 1;
  return aligned(problem);
}

Problem read_problem(const harness::State& state) {
  Problem problem = read_shape(state);
  const std::string& dtype = state.text("dtype");
  if (dtype != "fp32" && dtype != "bf16") unknown("dtype", dtype, "fp32 or bf16");
  problem.dtype = dtype == "fp32" ? DType::f32 : DType::bf16;
  return problem;
}

Execution read_execution(harness::State& state, const Problem& problem) {
  Execution execution;
  execution.threads = bounded(state, "threads", 1, 4096);
  const std::size_t cpus = substrate::allowed_cpus().size();
  if (static_cast<std::size_t>(execution.threads) > cpus) {
    state.skip(fmt::format("{} threads asked for, {} CPUs may be used here", execution.threads, cpus));
  }
  const std::string isa = state.params().has("isa") ? state.text("isa") : "auto";
  if (isa == "auto") {
    execution.isa = substrate::best_isa(problem.dtype);
    return execution;
  }
  for (const Isa candidate : {Isa::portable, Isa::avx2, Isa::avx512, Isa::avx512_bf16, Isa::amx}) {
    if (substrate::to_string(candidate) != isa) continue;
    if (problem.dtype == DType::f32 && (candidate == Isa::avx512_bf16 || candidate == Isa::amx)) {
      throw UserError(fmt::format("isa: found {} with dtype=fp32, expected dtype=bf16", isa));
    }
    if (const std::string lack = substrate::missing(candidate); !lack.empty()) state.skip(lack);
    execution.isa = candidate;
    return execution;
  }
  unknown("isa", isa, "auto, portable, avx2, avx512, avx512-bf16 or amx");
}

void run(harness::State& state, MakeKernel make, IssuedFlops issued) {
  const Problem problem = read_problem(state);
  run(state, problem, read_execution(state, problem), make, issued);
}

void run(harness::State& state, const Problem& problem, const Execution& execution, MakeKernel make, IssuedFlops issued,
         Gives gives) {
  const std::string& law = state.text("inputs");
  if (law != "normal" && law != "outlier") unknown("inputs", law, "normal or outlier");
  const InputLaw input_law = law == "normal" ? InputLaw::normal : InputLaw::outlier;
  const bool bf16_units = execution.isa == Isa::avx512_bf16 || execution.isa == Isa::amx;

  harness::Work work;
  work.flops = problem.flops();
  work.flops_issued = issued(problem, execution);
  work.bytes = problem.least_bytes();
  work.exps = problem.exps();
  work.working_set = work.bytes;
  work.roof = bf16_units ? "bf16-matrix-exp" : "fp32-fma";
  work.second_roof = bf16_units ? "bf16-matrix" : "";
  state.declare(work);

  struct Case {
    Storage storage;
    std::uint64_t seed = 0;
    std::unique_ptr<Reference> reference;  // of the inputs last drawn, made on the first comparison
  };
  const auto held = std::make_shared<Case>(Case{Storage(problem), 0, nullptr});
  if (gives == Gives::output_only) held->storage.drop_lse();
  const Tensors tensors = held->storage.tensors();

  state.inputs([held, problem, input_law](std::uint64_t seed) {
    held->seed = seed;
    held->reference.reset();
    draw_inputs(problem, input_law, seed, held->storage.tensors());
  });
  state.output({"O", held->storage.output()});
  if (gives == Gives::output_and_lse) state.output({"LSE", held->storage.lse()});
  state.oracle([held, problem, execution, make] {
    if (!held->reference) held->reference = std::make_unique<Reference>(problem, held->storage.tensors(), held->seed);
    harness::Check check = held->reference->compare(held->storage.tensors());
    if (check.coverage < 1) {
      const harness::Check small = check_small(problem, execution, make, held->seed);
      check.detail += fmt::format("; small shape in full: error {:.3g}", small.error);
      if (!(small.error <= check.error)) check.error = small.error;
    }
    return check;
  });

  // Wrong versions the gate must reject.
  if (problem.keys > 1) {
    state.mutant("last-tile-skipped", [problem, execution, make, tensors] {
      Problem shorter = problem;  // the diagonal stays where it was: only the last keys go missing
      shorter.keys -= std::min(problem.keys / 2, kSampledRows);
      make(shorter, execution)(tensors);
    });
    state.mutant("wrong-scale", [problem, execution, make, tensors] {
      Problem wrong = problem;
      wrong.scale *= 1.02F;
      make(wrong, execution)(tensors);
    });
  }
  state.mutant("lower-precision", [problem, execution, make, tensors] {
    Storage coarse(problem);
    const Tensors& to = coarse.tensors();
    const auto copy = [&](const substrate::View& from, const substrate::View& into, int heads, int rows) {
      std::copy_n(from.data,
                  static_cast<std::size_t>(problem.batch) * heads * rows * problem.head_dim * size_of(problem.dtype),
                  into.data);
      coarsen(problem, into, heads, rows);
    };
    copy(tensors.q, to.q, problem.heads, problem.queries);
    copy(tensors.k, to.k, problem.kv_heads, problem.keys);
    copy(tensors.v, to.v, problem.kv_heads, problem.keys);
    Tensors mixed = to;
    mixed.o = tensors.o;
    mixed.lse = tensors.lse;
    make(problem, execution)(mixed);
  });

  state.measure([kernel = make(problem, execution), held] { kernel(held->storage.tensors()); });
}

}  // namespace assay::attention
