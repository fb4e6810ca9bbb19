#include "impls/parallelism/data/collectives_claims.h"

#include <cmath>

#include "impls/parallelism/data/collectives_data.h"
#include "impls/substrate/cluster/cluster.h"
#include "impls/substrate/models/operator_time.h"

namespace assay::parallelism {

namespace {

using harness::claims::Projection;
using harness::claims::Setting;

constexpr std::int64_t kElementsOfAPart = 4096;
constexpr std::int64_t kLargeMessage = std::int64_t{1} << 30;

CollectiveProblem problem_of(const Setting& setting, std::int64_t elements) {
  return {.collective = setting.axes.text("collective"),
          .algorithm = setting.axes.text("algorithm"),
          .ranks = setting.ranks,
          .elements = elements,
          .node_ranks = setting.ranks};
}

// Every rank sends the same; a rank's count over 2 (P-1)/P n bytes or its number of messages.
std::optional<Projection> counted(const Setting& setting, const std::string& quantity) {
  const CollectiveProblem problem = problem_of(setting, setting.ranks * kElementsOfAPart);
  const substrate::RunReport run = count_program(collective_program(problem), problem.ranks);
  const double p = problem.ranks;
  const bool bytes = quantity == "comm_bytes";
  double formula = 0;
  if (bytes) {
    formula = 2 * (p - 1) / p * static_cast<double>(problem.elements) * 4;
  } else if (problem.algorithm == "halving-doubling") {
    formula = 2 * std::log2(p);
  } else {
    formula = 2 * (p - 1);
  }
  const auto& rank = run.ranks.front();
  const auto count = static_cast<double>(bytes ? rank.bytes_sent() : rank.messages_sent());
  Projection projection;
  projection.value = count / formula;
  projection.parts = {{"counted in the program", "none", count}, {"formula", "none", formula}};
  projection.note = "counted on a tensor that the ranks divide, float32";
  return projection;
}

std::optional<Projection> bus_bandwidth(const Setting& setting) {
  if (!setting.cluster || !setting.device) return std::nullopt;
  const CollectiveProblem problem = problem_of(setting, kLargeMessage / 4);
  const RankProgram program = collective_program(problem);
  substrate::ClusterFabric fabric(
      {.cluster = *setting.cluster,
       .operator_seconds =
           [&](const substrate::OpWork& work) { return substrate::operator_seconds(*setting.device, work); },
       .memory_bandwidth = setting.device->at("memory_bandwidth"),
       .ranks = problem.ranks});
  const double seconds =
      substrate::to_seconds(fabric.run([&](substrate::Rank& rank) { return program(rank, nullptr); }).makespan());
  const double p = problem.ranks;
  Projection projection;
  projection.value = 2 * (p - 1) / p * static_cast<double>(kLargeMessage) / seconds;
  projection.parts = {{"all-reduce of 1 GiB", "link", seconds}};
  projection.inside_domain = false;
  projection.note =
      "our ring on the links as fitted for point-to-point messages, additions after each step; the figure "
      "is the cap in a library's own model";
  return projection;
}

}  // namespace

std::optional<Projection> project_collectives(const Setting& setting, const std::string& quantity) {
  if (!setting.axes.has("collective") || setting.axes.text("collective") != "all-reduce") return std::nullopt;
  const std::string& algorithm = setting.axes.text("algorithm");
  if (algorithm != "ring" && algorithm != "halving-doubling") return std::nullopt;
  if (quantity == "comm_bytes" || quantity == "comm_messages") return counted(setting, quantity);
  if (quantity == "bus_bandwidth" && algorithm == "ring") return bus_bandwidth(setting);
  return std::nullopt;
}

}  // namespace assay::parallelism
