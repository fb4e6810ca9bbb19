#include "impls/parallelism/sequence/linear_claims.h"

#include <memory>

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
  StateExchange exchange;
  Decay decay;
  int blocks;
  bool knows_nodes;
};

std::optional<LinearPlan> plan_of(const Setting& setting, const Schedule& schedule, bool backward) {
  // What a throughput of data parallelism alone is compared with has no exchange; it is no schedule of ours.
  if (setting.axes.has("arm")) return std::nullopt;
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

std::optional<Projection> answer(const Setting& setting, const std::string& quantity, const Schedule& schedule) {
  const bool backward = setting.axes.has("backward") ? setting.axes.flag("backward") : quantity != "comm_bytes";
  const auto plan = plan_of(setting, schedule, backward);
  if (!plan) return std::nullopt;
  if (quantity == "comm_bytes") return sent_by_a_rank(count_program(program_of(*plan, schedule), plan->problem.ranks));
  if (quantity == "throughput")
    return project_layer_step(setting, quantity, plan->problem, [&](const SequenceProblem& layer) {
      LinearPlan training(layer, schedule.decay, schedule.blocks);
      training.state_element = 2;
      return program_of(training, schedule);
    });
  if (!setting.device || !setting.cluster) return std::nullopt;
  const bool alone = quantity == "comm_time";
  if (!alone && quantity != "operator_time") return std::nullopt;
  const LayerRun run =
      run_layer(setting, alone ? exchange_alone(*plan, schedule) : program_of(*plan, schedule), plan->problem.ranks);
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
  return answer(setting, quantity, {passed_state, Decay::head, 1, false});
}
std::optional<Projection> project_lasp_2(const Setting& setting, const std::string& quantity) {
  // A statement about steps and one about two lengths at once are not single values of a program.
  if (quantity == "comm_bytes" || quantity == "count") return std::nullopt;
  return answer(setting, quantity, {gathered_state, Decay::none, 1, true});
}
std::optional<Projection> project_zeco(const Setting& setting, const std::string& quantity) {
  return answer(setting, quantity, {passed_state, Decay::token, kBlocks, false});
}

}  // namespace assay::parallelism
