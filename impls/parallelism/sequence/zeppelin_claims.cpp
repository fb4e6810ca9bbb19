#include "impls/parallelism/sequence/zeppelin_claims.h"

#include <fmt/format.h>

#include <string>
#include <utility>

#include "datasets/workloads/length_distribution.h"
#include "impls/parallelism/sequence/batch_claims.h"
#include "impls/parallelism/sequence/sequence_claims.h"
#include "impls/parallelism/variable_length/batch_case.h"
#include "impls/parallelism/variable_length/batch_costs.h"
#include "impls/parallelism/variable_length/zeppelin_planner.h"
#include "impls/substrate/cluster/cluster.h"
#include "impls/substrate/models/operator_time.h"
#include "impls/substrate/models/operator_work.h"

namespace assay::parallelism {

namespace {

using harness::claims::Projection;
using harness::claims::Setting;
using substrate::OpWork;

constexpr std::uint64_t kBatches = 3;
// Tokens a rank may hold over an even share: the paper's capacity is not at hand.
constexpr std::int64_t kRoomOverShare = 2;

// Products of one layer over `tokens`; backward twice.
std::vector<OpWork> products(const datasets::Model& model, std::int64_t tokens, bool backward) {
  const auto whole = [&](const char* key) { return static_cast<std::int64_t>(model.at(key)); };
  const std::int64_t hidden = whole("hidden"), ffn = whole("ffn");
  const std::int64_t q = whole("heads") * whole("head_dim"), kv = whole("kv_heads") * whole("head_dim");
  std::vector<OpWork> all;
  for (int pass = 0; pass < (backward ? 2 : 1); ++pass)
    for (const auto& [n, k] :
         {std::pair{q + 2 * kv, hidden}, std::pair{hidden, q}, std::pair{2 * ffn, hidden}, std::pair{hidden, ffn}})
      all.push_back(substrate::gemm_work(tokens, n, k, substrate::OpDtype::bf16));
  return all;
}

std::optional<Projection> step(const Setting& setting, const std::string& quantity, const std::string& arm) {
  if (!has_step_model(setting) || !setting.device || !setting.cluster) return std::nullopt;
  if (quantity != "throughput" && quantity != "step_time") return std::nullopt;
  const datasets::Model& model = *setting.model;
  const std::int64_t tokens = setting.axes.integer("tokens");
  double seconds = 0, computing = 0, exposed = 0;
  bool inside = true;
  for (std::uint64_t seed = 1; seed <= kBatches; ++seed) {
    // Several claims ask for the same step.
    const std::string name = fmt::format("zeppelin {} {} {} {} {}", arm, model.id, setting.workload, tokens, seed);
    const LayerRun run = run_layer(setting, name, setting.ranks, [&] {
      const auto distribution = datasets::load_length_distribution(setting.workload, datasets::data_root());
      BatchProblem problem = batch_shape(setting);
      problem.lengths = datasets::draw_tokens(distribution, tokens, tokens, datasets::Overlong::cut, seed);
      BatchPlan plan = plan_zeppelin(problem, arm, setting.cluster->devices_per_node,
                                     kRoomOverShare * ((tokens + setting.ranks - 1) / setting.ranks));
      plan.linear = [&model](std::int64_t n, bool backward) { return products(model, n, backward); };
      return batch_program(std::move(plan));
    });
    seconds += run.seconds * model.at("layers");
    computing += run.computing * model.at("layers");
    exposed += run.exposed * model.at("layers");
    inside = inside && run.inside_domain;
  }
  const double batches = static_cast<double>(kBatches);
  Projection projection;
  projection.value = quantity == "throughput" ? static_cast<double>(tokens) * batches / seconds : seconds / batches;
  projection.inside_domain = inside;
  projection.parts = {{"computing on the rank that ends last", "attention", computing / batches},
                      {"exposed transfers and waiting", "link", exposed / batches}};
  projection.note = fmt::format(
      "mean of {} batches of {} tokens of the histogram, products and attention of all layers; gradient traffic, norms "
      "and the optimizer are the same on both sides and left out; a rank may hold twice an even share; legs of routed "
      "transfers one after the other",
      kBatches, tokens);
  return projection;
}

// One round of a ring over one sequence, nothing computed.
std::optional<Projection> round_of_a_ring(const Setting& setting) {
  const std::string& arm = setting.axes.text("arm");
  if (arm != "te-cp" && arm != "routed") return std::nullopt;
  BatchProblem problem = batch_shape(setting);
  problem.backward = false;
  problem.lengths = {setting.axes.integer("sequence_length")};
  BatchPlan plan = plan_zeppelin(problem, arm == "routed" ? "routing" : "te-cp", setting.cluster->devices_per_node,
                                 problem.lengths[0]);
  substrate::ClusterFabric fabric({.cluster = *setting.cluster,
                                   .operator_seconds = [](const OpWork&) { return 0.0; },
                                   .memory_bandwidth = setting.device->at("memory_bandwidth"),
                                   .ranks = setting.ranks});
  const RankProgram program = batch_program(std::move(plan));
  Projection projection;
  projection.value =
      substrate::to_seconds(fabric.run([&](substrate::Rank& rank) { return program(rank, nullptr); }).makespan()) /
      (setting.ranks - 1);
  projection.parts = {{"one round of the ring", "link", projection.value}};
  projection.note = "a ring without computing, time over its rounds";
  return projection;
}

}  // namespace

bool is_zeppelin_batch(const Setting& setting) {
  return setting.axes.has("tokens") && !setting.axes.has("capacity") && !setting.workload.empty();
}

std::optional<Projection> project_zeppelin(const Setting& setting, const std::string& quantity) {
  if (quantity == "comm_time" && setting.axes.has("sequence_length") && setting.axes.has("arm") && setting.device &&
      setting.cluster && model_has(setting, {"heads", "kv_heads", "head_dim"}))
    return round_of_a_ring(setting);
  if (!is_zeppelin_batch(setting)) return std::nullopt;
  return step(setting, quantity, setting.axes.has("arm") ? setting.axes.text("arm") : "all");
}

std::optional<Projection> project_te_cp(const Setting& setting, const std::string& quantity) {
  return step(setting, quantity, "te-cp");
}

}  // namespace assay::parallelism
