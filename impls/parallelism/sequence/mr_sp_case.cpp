#include "impls/parallelism/sequence/mr_sp_case.h"

#include <fmt/format.h>

#include <memory>
#include <utility>

#include "datasets/machine.h"
#include "datasets/user_error.h"
#include "impls/parallelism/sequence/mr_sp_data.h"
#include "impls/parallelism/sequence/sequence_case.h"
#include "impls/parallelism/sequence/streambp_case.h"

namespace assay::parallelism {
namespace {

// Every element of a real case is compared with float64, so that it must not cost more than this.
constexpr double kMostFlops = 8e9;

}  // namespace

RankProgram mr_sp_program(MrSpPlan plan) {
  return [plan = std::make_shared<const MrSpPlan>(std::move(plan))](substrate::Rank& rank, ProgramData* data) {
    return mr_sp_step(rank, *plan, data == nullptr ? MrSpMemory{} : static_cast<MrSpData*>(data)->memory(rank.id()));
  };
}

std::vector<harness::Axis> mr_sp_axes() {
  const auto count = [](std::int64_t value) { return harness::Value(value); };
  const auto word = [](const char* text) { return harness::Value(std::string(text)); };
  std::vector<harness::Axis> axes =
      without(sequence_axes(), {"sequence_length", "batch", "causal", "backward", "layout"});
  axes.push_back({.name = "frames", .defaults = {count(6)}, .help = "frames F of the video"});
  axes.push_back({.name = "frame_tokens", .defaults = {count(8)}, .help = "tokens p of a frame"});
  axes.push_back({.name = "rollouts", .defaults = {count(2)}, .help = "rollouts G of the group"});
  axes.push_back({.name = "response", .defaults = {count(7)}, .help = "tokens R of a rollout's response"});
  axes.push_back(
      {.name = "inner", .defaults = {count(0)}, .help = "width f of the inner layers; 0: 3 h", .minimum = 0});
  axes.push_back({.name = "vocab", .defaults = {count(256)}, .help = "words V of the head"});
  axes.push_back({.name = "stages",
                  .defaults = {word("prefill")},
                  .help = "none: the video is encoded for every use; cache: once; encode: and its frames over ranks; "
                          "prefill: and a rollout's tokens over ranks",
                  .allowed = {word("none"), word("cache"), word("encode"), word("prefill")}});
  return axes;
}

ProgramScheme mr_sp_scheme(const harness::State& state) {
  const auto whole = [&](const char* axis) { return static_cast<int>(state.integer(axis)); };
  VideoProblem problem{.ranks = whole("ranks"),
                       .frames = whole("frames"),
                       .frame_tokens = whole("frame_tokens"),
                       .rollouts = whole("rollouts"),
                       .response = whole("response"),
                       .heads = whole("heads"),
                       .kv_heads = key_heads(state),
                       .head_dim = whole("head_dim"),
                       .inner = state.integer("inner"),
                       .vocab = state.integer("vocab"),
                       .dtype = storage(state),
                       .stages = video_stages_from(state.text("stages"))};
  check_rotary(problem.head_dim);
  if (state.fabric() == "cluster")
    problem.node_ranks = datasets::load_cluster(state.text("cluster"), datasets::data_root()).devices_per_node;
  const MrSpPlan plan(problem);
  if (state.fabric() != "cluster" && plan.flops() > kMostFlops)
    throw UserError(
        fmt::format("frames: found {}, {:.1f} GFLOP; expected at most {:.0f} with real data, where every element is "
                    "compared with float64",
                    problem.frames, plan.flops() / 1e9, kMostFlops / 1e9));
  std::vector<ProgramMutant> mutants;
  const auto wrong = [&](const char* name, auto change) {
    MrSpPlan changed = plan;
    change(changed);
    mutants.push_back({name, mr_sp_program(std::move(changed))});
  };
  if (problem.ranks > 1) {
    if (plan.parallel_encode())
      wrong("frames-of-the-last-rank-lost", [](MrSpPlan& each) { each.lost_frames = each.problem.ranks - 1; });
    if (plan.shards_rollouts()) wrong("first-rank-not-heard", [](MrSpPlan& each) { each.sharded.deaf_to = 0; });
    wrong("gradients-not-reduced", [](MrSpPlan& each) { each.not_reduced = true; });
  }
  if (problem.dtype == substrate::DType::f32)
    wrong("lower-precision", [](MrSpPlan& each) { each.round_gradient = true; });
  wrong("reference-does-not-count", [](MrSpPlan& each) { each.without_kl = true; });
  wrong("wrong-scale", [](MrSpPlan& each) {
    each.sharded.block.scale *= 1.25F;
    each.local.block.scale *= 1.25F;
  });
  const auto bytes = static_cast<double>(plan.decoder.bytes(2 * plan.decoder.weights() + plan.encoder.weights() +
                                                            problem.video_tokens() * plan.decoder.hidden));
  const auto length = static_cast<double>(problem.length());
  return {.ranks = problem.ranks,
          .dtype = problem.dtype == substrate::DType::bf16 ? substrate::OpDtype::bf16 : substrate::OpDtype::fp32,
          .tokens = problem.length() * problem.rollouts,
          .work = {.flops = plan.flops(),
                   .bytes = bytes + 4.0 * static_cast<double>(plan.decoder.weights()),
                   .exps = 1.5 * length * (length + 1) * problem.heads * problem.rollouts,
                   .working_set = bytes,
                   .roof = "fp32-fma"},
          .program = mr_sp_program(plan),
          .data = [plan](std::optional<int> only) -> std::unique_ptr<ProgramData> {
            return std::make_unique<MrSpData>(plan, only);
          },
          .mutants = std::move(mutants)};
}

}  // namespace assay::parallelism
