#include "impls/parallelism/sequence/linear_claims.h"

#include <fmt/format.h>

#include <memory>
#include <string>
#include <utility>

#include "impls/parallelism/sequence/linear_layer.h"
#include "impls/parallelism/sequence/sequence_claims.h"

namespace assay::parallelism {

namespace {

using harness::claims::Projection;
using harness::claims::Setting;
using substrate::Buffer;
using substrate::Memory;
using substrate::Rank;
using substrate::Task;

constexpr int kBlocks = 8;  // of the pipeline; the paper does not say how many

struct Schedule {
  const char* name;
  StateExchange exchange;
  Decay decay;
  int blocks;
  bool knows_nodes;
};

// Data parallelism alone, what the papers call the ideal, is any schedule on one rank: nothing is exchanged.
bool known_arm(const Setting& setting) {
  if (!setting.axes.has("arm")) return true;
  return setting.axes.text("arm") == "dp" && setting.axes.has("sequence_parallel") &&
         setting.axes.integer("sequence_parallel") == 1;
}

std::optional<LinearPlan> plan_of(const Setting& setting, const Schedule& schedule, bool backward) {
  if (!known_arm(setting)) return std::nullopt;
  auto layer = layer_shape(setting, backward);
  if (!layer) return std::nullopt;
  if (schedule.knows_nodes && setting.cluster) layer->node_ranks = setting.cluster->devices_per_node;
  LinearPlan plan(*layer, schedule.decay, schedule.blocks);
  plan.state_element = 2;
  return plan;
}

RankProgram program_of(const LinearPlan& plan, const Schedule& schedule) {
  return linear_program(plan, schedule.exchange);
}

// Every rank has its state at hand and wants the one before it.
RankProgram exchange_alone(const LinearPlan& plan, const Schedule& schedule) {
  return [plan = std::make_shared<const LinearPlan>(plan), exchange = schedule.exchange](Rank& rank,
                                                                                         ProgramData*) -> Task<> {
    Buffer own = rank.allocate("own state", Memory::workspace, plan->state_bytes());
    const Buffer total = rank.allocate("total decay", Memory::workspace, plan->decay_bytes());
    const Buffer before = co_await exchange(rank, *plan, std::move(own), total, false);
  };
}

// A training step of `layer`, its linear attention by the schedule.
std::optional<Projection> step_of(const Setting& setting, const std::string& quantity, const SequenceProblem& layer,
                                  const Schedule& schedule) {
  const auto make = [&](const SequenceProblem& problem) {
    LinearPlan training(problem, schedule.decay, schedule.blocks);
    training.state_element = 2;
    return program_of(training, schedule);
  };
  auto step = project_layer_step(setting, quantity, layer, {schedule.name, make});
  if (!step || setting.role == "baseline") return step;
  // Beside whatever a quadratic baseline takes here: what its FLOPs alone would make of the comparison.
  SequenceProblem training = layer;
  training.backward = true;
  const datasets::Model& model = *setting.model;
  const double products = 6 * model.at("parameters");
  const double recurrence = model.at("layers") * LinearPlan(training, schedule.decay, schedule.blocks).flops() /
                            static_cast<double>(layer.length * layer.batch);
  step->note += fmt::format("; at equal MFU a step with causal softmax attention would take {:.3g} times as long",
                            flops_of_token(model, layer.length, false) / (products + recurrence));
  return step;
}

// Weak scaling: the time of one device on its tokens over that of all on all.
std::optional<Projection> efficiency(const Setting& setting, const Schedule& schedule) {
  if (!setting.axes.has("tokens_per_rank")) return std::nullopt;
  Setting alone = setting;
  alone.ranks = 1;
  alone.axes.set("sequence_parallel", std::int64_t{1});
  alone.axes.set("sequence_length", setting.axes.integer("tokens_per_rank"));
  const auto layer = plan_of(setting, schedule, true), part = plan_of(alone, schedule, true);
  if (!layer || !part || layer->problem.length != part->problem.length * layer->problem.ranks) return std::nullopt;
  const auto all = step_of(setting, "step_time", layer->problem, schedule),
             one = step_of(alone, "step_time", part->problem, schedule);
  if (!all || !one) return std::nullopt;
  Projection projection;
  projection.value = one->value / all->value;
  projection.inside_domain = one->inside_domain && all->inside_domain;
  projection.parts = {{"step of one device on its tokens", "none", one->value},
                      {"step of all devices on all", "none", all->value}};
  projection.note = "states of the optimizer over all devices (ZeRO-3), whole on the one";
  return projection;
}

// How often the ranks of a layer exchange states, one collective each.
std::optional<Projection> collectives(const Setting& setting, const Schedule& schedule) {
  if (!setting.axes.has("sequence_length") || !setting.axes.has("sequence_parallel")) return std::nullopt;
  const SequenceProblem layer{.length = setting.axes.integer("sequence_length"),
                              .ranks = static_cast<int>(setting.axes.integer("sequence_parallel")),
                              .backward = setting.axes.has("backward") && setting.axes.flag("backward")};
  int times = 0;
  Schedule counted = schedule;
  counted.exchange = [&](Rank& rank, const LinearPlan& plan, Buffer own, const Buffer& total, bool reverse) {
    if (rank.id() == 0) ++times;
    return schedule.exchange(rank, plan, std::move(own), total, reverse);
  };
  count_program(program_of(LinearPlan(layer, schedule.decay, schedule.blocks), counted), layer.ranks);
  Projection projection;
  projection.value = times;
  projection.note = "collectives of one layer, counted in the program";
  return projection;
}

// 1 where a rank sends as many bytes for half the sequence.
std::optional<Projection> same_for_half_the_length(const Setting& setting, const Schedule& schedule) {
  const auto plan = plan_of(setting, schedule, true);
  if (!plan) return std::nullopt;
  const auto sent = [&](const LinearPlan& layer) {
    return sent_by_a_rank(count_program(program_of(layer, schedule), layer.problem.ranks)).value;
  };
  SequenceProblem half = plan->problem;
  half.length /= 2;
  LinearPlan shorter(half, schedule.decay, schedule.blocks);
  shorter.state_element = plan->state_element;
  const double whole = sent(*plan), of_half = sent(shorter);
  Projection projection;
  projection.value = whole == of_half ? 1 : 0;
  projection.parts = {{"bytes sent by a rank", "none", whole}, {"for half the length", "none", of_half}};
  projection.note = "counted in the program, forward and backward";
  return projection;
}

// States over all ranks, activations of its own tokens on each, and a state of each layer kept for the backward pass.
std::optional<Projection> longest(const Setting& setting) {
  if (!setting.device || !model_has(setting, {"layers", "hidden", "heads", "head_dim", "parameters"}) ||
      !setting.axes.has("sequence_parallel"))
    return std::nullopt;
  const datasets::Model& model = *setting.model;
  const double states = held_states(setting), each = held_by_token(model);
  const double kept = 4 * model.at("layers") * model.at("heads") * model.at("head_dim") * model.at("head_dim");
  const double room = setting.device->at("memory_bytes") - states - kept;
  if (room <= 0) return std::nullopt;
  Projection projection;
  projection.value = room / each * static_cast<double>(setting.axes.integer("sequence_parallel"));
  projection.parts = {{"state", "none", states},
                      {"states of linear attention kept", "none", kept},
                      {"activations a token", "none", each}};
  projection.note =
      "memory ledger: 16 bytes of state a parameter over all ranks (ZeRO-3), activations of every layer kept as in the "
      "ledger of Ulysses, no logits";
  return projection;
}

std::optional<Projection> answer(const Setting& setting, const std::string& quantity, const Schedule& schedule) {
  if (quantity == "scaling_efficiency") return efficiency(setting, schedule);
  if (quantity == "max_sequence") return longest(setting);
  const bool backward = setting.axes.has("backward") ? setting.axes.flag("backward") : quantity != "comm_bytes";
  const auto plan = plan_of(setting, schedule, backward);
  if (!plan) return std::nullopt;
  if (quantity == "comm_bytes") return sent_by_a_rank(count_program(program_of(*plan, schedule), plan->problem.ranks));
  if (quantity == "throughput") return step_of(setting, quantity, plan->problem, schedule);
  if (!setting.device || !setting.cluster) return std::nullopt;
  const bool alone = quantity == "comm_time";
  if (!alone && quantity != "operator_time") return std::nullopt;
  const std::string name =
      fmt::format("{}{} {}", schedule.name, alone ? " exchange" : " operator", name_of(plan->problem));
  const LayerRun run = run_layer(setting, name, plan->problem.ranks,
                                 [&] { return alone ? exchange_alone(*plan, schedule) : program_of(*plan, schedule); });
  Projection projection;
  projection.value = run.seconds;
  projection.inside_domain = run.inside_domain;
  projection.parts = {{"computing on the critical rank", "gemm", run.computing},
                      {"composing states", "copy", run.copying},
                      {"exposed exchange", "link", run.exposed}};
  projection.note = alone ? "16-bit states, one message of ours after the other"
                          : "one layer's operator, forward and backward, 16-bit states";
  return projection;
}

}  // namespace

std::optional<Projection> project_lasp_1(const Setting& setting, const std::string& quantity) {
  return answer(setting, quantity, {"lasp-1", passed_state, Decay::head, 1, false});
}
std::optional<Projection> project_lasp_2(const Setting& setting, const std::string& quantity) {
  const Schedule gather{"lasp-2", gathered_state, Decay::none, 1, true};
  if (quantity == "count") return collectives(setting, gather);
  if (quantity == "comm_bytes" && setting.claim == "volume-indep-of-length")
    return same_for_half_the_length(setting, gather);
  return answer(setting, quantity, gather);
}
std::optional<Projection> project_zeco(const Setting& setting, const std::string& quantity) {
  return answer(setting, quantity, {"zeco", passed_state, Decay::token, kBlocks, false});
}

}  // namespace assay::parallelism
