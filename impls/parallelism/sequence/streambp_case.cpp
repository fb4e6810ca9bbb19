#include "impls/parallelism/sequence/streambp_case.h"

#include <fmt/format.h>

#include <memory>
#include <utility>

#include "datasets/user_error.h"
#include "impls/parallelism/sequence/sequence_case.h"
#include "impls/parallelism/sequence/streambp_data.h"

namespace assay::parallelism {
namespace {

// Every element of a real case is compared with float64, so that it must not cost more than this.
constexpr double kMostFlops = 8e9;

harness::Work stream_work(const StreamPlan& plan) {
  const SequenceProblem& p = plan.problem;
  const auto rows = static_cast<double>(p.length * p.batch * plan.hidden);
  const double weights = static_cast<double>(plan.weights()) * p.ranks, element = size_of(p.dtype);
  const double bytes = element * (2 * rows + weights) + 4 * (rows + weights);  // x, z, weights; gradients
  double scores = 0;
  for (int r = 0; r < p.ranks; ++r) scores += static_cast<double>(plan.layout.pairs(r, r, p.causal));
  return {.flops = plan.flops(),
          .bytes = bytes,
          .exps = 2 * scores * plan.layers * p.batch * p.heads,
          .working_set = bytes,
          .roof = "fp32-fma"};
}

}  // namespace

RankProgram stream_program(StreamPlan plan) {
  return [plan = std::make_shared<const StreamPlan>(std::move(plan))](substrate::Rank& rank, ProgramData* data) {
    return stream_backpropagation(rank, *plan,
                                  data == nullptr ? StreamMemory{} : static_cast<StreamData*>(data)->memory(rank.id()));
  };
}

std::vector<harness::Axis> stream_axes() {
  std::vector<harness::Axis> axes = without(sequence_axes(), {"layout", "backward"});
  for (harness::Axis& axis : axes) {
    if (axis.name == "sequence_length")
      axis.help = "tokens of all ranks together; each has a sequence of its own of L/P";
    if (axis.name == "ranks") {
      axis.defaults = {harness::Value(std::int64_t{1})};
      axis.help = "ranks P, each with all weights";
    }
    if (axis.name == "batch") axis.help = "sequences B of a rank";
  }
  axes.push_back({.name = "chunks",
                  .defaults = {harness::Value(std::int64_t{3})},
                  .help = "chunks D of a sequence; 1: gradient checkpointing"});
  const auto shape = [&](const char* name, std::int64_t value, const char* help) {
    axes.push_back({.name = name, .defaults = {harness::Value(value)}, .help = help, .minimum = 0});
  };
  axes.push_back({.name = "layers", .defaults = {harness::Value(std::int64_t{1})}, .help = "layers under the head"});
  shape("hidden", 0, "hidden size h; 0: heads * head_dim");
  shape("inner", 0, "width f of the inner layer; 0: 3 h");
  axes.push_back({.name = "vocab", .defaults = {harness::Value(std::int64_t{512})}, .help = "words V of the head"});
  return axes;
}

void check_rotary(int head_dim) {
  if (head_dim % 2 != 0)
    throw UserError(
        fmt::format("head_dim: found {}, expected an even number: positions turn pairs of elements", head_dim));
}

ProgramScheme stream_scheme(const harness::State& state) {
  SequenceProblem problem = sequence_problem(state);
  problem.backward = true;
  const auto chunks = static_cast<int>(state.integer("chunks"));
  check_rotary(problem.head_dim);
  const DecoderShape decoder{.layers = static_cast<int>(state.integer("layers")),
                             .hidden = state.integer("hidden"),
                             .inner = state.integer("inner"),
                             .vocab = state.integer("vocab")};
  const StreamPlan plan(problem, chunks, decoder);
  if (chunks > plan.tokens(problem.ranks - 1))
    throw UserError(fmt::format("chunks: found {}, expected at most the {} tokens of a rank", chunks,
                                plan.tokens(problem.ranks - 1)));
  if (state.fabric() != "cluster" && plan.flops() > kMostFlops)
    throw UserError(
        fmt::format("sequence_length: found {}, {:.1f} GFLOP; expected at most {:.0f} with real data, where every "
                    "element is compared with float64",
                    problem.length, plan.flops() / 1e9, kMostFlops / 1e9));
  std::vector<ProgramMutant> mutants;
  const auto wrong = [&](const char* name, auto change) {
    StreamPlan changed = plan;
    change(changed);
    mutants.push_back({name, stream_program(std::move(changed))});
  };
  if (chunks > 1) {
    wrong("weight-gradients-of-a-chunk-left-out", [](StreamPlan& each) { each.forgets = each.chunks - 1; });
    wrong("key-gradients-of-the-last-chunk-only", [](StreamPlan& each) { each.last_keys_only = true; });
    wrong("positions-counted-from-the-chunk", [](StreamPlan& each) { each.positions_of_chunk = true; });
  }
  if (problem.ranks > 1) {
    wrong("loss-averaged-on-a-rank", [](StreamPlan& each) { each.own_mean = true; });
    wrong("gradients-not-reduced", [](StreamPlan& each) { each.not_reduced = true; });
  }
  if (problem.dtype == substrate::DType::f32)
    wrong("lower-precision", [](StreamPlan& each) { each.round_gradient = true; });
  wrong("norm-divisor-constant", [](StreamPlan& each) { each.divisor_constant = true; });
  wrong("wrong-scale", [](StreamPlan& each) { each.block.scale *= 1.25F; });
  const auto planned = [chunks, decoder](const SequenceProblem& layer) { return StreamPlan(layer, chunks, decoder); };
  return sequence_scheme(
      problem,
      {.program = [planned](const SequenceProblem& layer) { return stream_program(planned(layer)); },
       .data = [planned](const SequenceProblem& layer, std::optional<int> only) -> std::unique_ptr<ProgramData> {
         return std::make_unique<StreamData>(planned(layer), only);
       },
       .work = [planned](const SequenceProblem& layer) { return stream_work(planned(layer)); }},
      std::move(mutants));
}

}  // namespace assay::parallelism
