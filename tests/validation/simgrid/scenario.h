#pragma once
// A collective on a fat tree or torus, by the cluster fabric and by SimGrid's S4U in a process of its own.
#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>

#include "impls/substrate/cluster/cluster.h"
#include "impls/substrate/fabric/all_reduce.h"
#include "impls/substrate/fabric/collectives.h"

namespace assay::validation {

struct Scenario {
  std::string kind;  // fat-tree: leaf_nodes, leaves (of a pod), uplinks of a leaf; torus: three extents
  int a = 1, b = 1, c = 1;
  int pods = 1, above = 1;  // of a fat tree of three levels, with so many links up from a switch of the second
  std::string collective;   // ring, halving-doubling: bytes of the tensor; all-to-all, pairwise: bytes of a part
  std::int64_t bytes = 0;
  double latency = 0;  // of a link
  double bandwidth = 1e10;

  int ranks() const { return kind == "fat-tree" ? a * b * pods : a * b * c; }
  std::string name() const {
    return fmt::format("{} {}x{}x{}{} {} {} B, {} us a link", kind, a, b, c,
                       pods > 1 ? fmt::format(", {} pods, {} up", pods, above) : "", collective, bytes, latency * 1e6);
  }
};

struct Outcome {
  double seconds = 0;  // virtual
  double messages = 0;
  double wall = 0;
  double rate() const { return messages / wall; }
};

inline Outcome by_assay(const Scenario& of) {
  using namespace substrate;
  datasets::Cluster cluster;
  cluster.file = "scenario";
  cluster.topology = of.kind;
  cluster.nodes = of.ranks();
  cluster.nics_per_node = 1;
  const auto set = [&](const char* key, double value) { cluster.constants[key].value = value; };
  set("hop_latency", of.latency);
  if (of.kind == "fat-tree") {
    cluster.inter = {.bandwidth = of.bandwidth, .latency = 2 * of.latency};  // up to the leaf and down from it
    set("leaf_nodes", of.a);
    set("leaf_uplinks", of.c);
    set("uplink_bandwidth", of.bandwidth);
    if (of.pods > 1) {
      set("pod_nodes", of.a * of.b);
      set("core_uplinks", of.c * of.above);
      set("core_bandwidth", of.bandwidth);
    }
  } else {
    cluster.inter = {.bandwidth = 1e18, .latency = 0};  // only the links between neighbours bound anything
    set("torus_x", of.a);
    set("torus_y", of.b);
    set("torus_z", of.c);
    set("torus_bandwidth", of.bandwidth);
  }
  ClusterFabric fabric({.cluster = cluster,
                        .operator_seconds = [](const OpWork&) { return 0.0; },
                        .memory_bandwidth = 1e15,
                        .ranks = of.ranks()});
  static constexpr Tag tag{.value = 1, .name = "part"};
  const auto program = [&of](Rank& rank) -> Task<> {
    if (of.collective == "ring" || of.collective == "halving-doubling") {
      Buffer tensor = rank.allocate("tensor", Memory::workspace, of.bytes);
      co_await all_reduce(rank, tensor,
                          {.algorithm = of.collective == "ring" ? AllReduce::ring : AllReduce::halving_doubling},
                          DType::f32, tag);
      co_return;
    }
    std::vector<Buffer> parts;
    for (int r = 0; r < rank.size(); ++r) parts.push_back(rank.allocate("part", Memory::workspace, of.bytes));
    const std::vector<std::int64_t> expected(static_cast<std::size_t>(rank.size()), of.bytes);
    if (of.collective == "pairwise") {
      const auto got = co_await all_to_all_pairwise(rank, std::move(parts), expected, tag, "part");
    } else {
      const auto got = co_await all_to_all(rank, std::move(parts), expected, tag, "part");
    }
  };
  const auto start = std::chrono::steady_clock::now();
  const RunReport run = fabric.run(program);
  Outcome outcome;
  outcome.wall = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  outcome.seconds = to_seconds(run.makespan());
  for (const RankReport& rank : run.ranks) outcome.messages += static_cast<double>(rank.messages_sent());
  return outcome;
}

inline Outcome by_simgrid(const Scenario& of, const std::string& program) {
  // The model that is pinned: fluid max-min without corrections, no acknowledgements, no window.
  const std::string command = fmt::format(
      "{} {} {} {} {} {} {} {} {} {} {} --cfg=network/model:CM02 --cfg=network/crosstraffic:0 "
      "--cfg=network/TCP-gamma:0 --cfg=contexts/stack-size:64 --log=root.thres:error 2>/dev/null",
      program, of.kind, of.a, of.b, of.c, of.pods, of.above, of.bandwidth, of.latency, of.collective, of.bytes);
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> pipe(popen(command.c_str(), "r"), pclose);
  Outcome outcome;
  if (!pipe || std::fscanf(pipe.get(), "%lf %lf %lf", &outcome.seconds, &outcome.messages, &outcome.wall) != 3)
    throw std::runtime_error("SimGrid gave no result: " + command);
  return outcome;
}

}  // namespace assay::validation
