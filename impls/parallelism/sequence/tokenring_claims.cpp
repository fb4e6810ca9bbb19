#include "impls/parallelism/sequence/tokenring_claims.h"

#include <string_view>
#include <vector>

#include "impls/parallelism/sequence/ring_attention_case.h"
#include "impls/parallelism/sequence/sequence_claims.h"
#include "impls/substrate/cluster/cluster.h"
#include "impls/substrate/models/operator_time.h"

namespace assay::parallelism {

namespace {

using harness::claims::Projection;
using harness::claims::Setting;

// When rank 0 begins each of its steps, and when it ends the last.
std::vector<double> step_borders(const Setting& setting, const SequenceProblem& problem, const RankProgram& program) {
  substrate::ClusterFabric fabric(
      {.cluster = *setting.cluster,
       .operator_seconds =
           [&](const substrate::OpWork& work) { return substrate::operator_seconds(*setting.device, work); },
       .memory_bandwidth = setting.device->at("memory_bandwidth"),
       .ranks = problem.ranks});
  const substrate::RunReport run =
      fabric.run([&](substrate::Rank& rank) { return program(rank, nullptr); }, {.ranks = 1});
  std::vector<double> borders;
  for (const substrate::Interval& each : run.intervals)
    if (each.lane == substrate::Lane::compute && std::string_view(each.name) == "attention")
      borders.push_back(substrate::to_seconds(each.start));
  borders.push_back(substrate::to_seconds(run.ranks.front().finish));
  return borders;
}

}  // namespace

std::optional<Projection> project_token_ring(const Setting& setting, const std::string& quantity) {
  if (quantity != "operator_time" || !setting.axes.has("arm") || !setting.device || !setting.cluster)
    return std::nullopt;
  auto problem = layer_shape(setting, false);
  if (!problem) return std::nullopt;
  problem->ranks = setting.ranks;
  problem->layout = Layout::zigzag;
  const bool ring = setting.axes.text("arm") == "ring";
  // Any full step of a ring is like another; its first one is taken.
  const auto step = static_cast<std::size_t>(setting.axes.has("step") ? setting.axes.integer("step") : 0);
  const std::vector<double> borders =
      step_borders(setting, *problem, ring ? ring_program(*problem) : token_ring_program(*problem));
  if (step + 1 >= borders.size()) return std::nullopt;
  Projection projection;
  projection.value = borders[step + 1] - borders[step];
  projection.parts = {{"one step", "link", projection.value}};
  projection.inside_domain = false;
  projection.note =
      "causal, zigzag; PCIe at the full rate of its datasheet both ways and without contention in switches";
  return projection;
}

}  // namespace assay::parallelism
