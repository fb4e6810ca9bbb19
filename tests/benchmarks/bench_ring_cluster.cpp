// How fast the cluster fabric projects ring attention: one layer forward and backward on 64, 256, 1,024 ranks of DGX
// A100 (4,096 with --all: 134 million events). `cpu s` is processor time, which other load on the machine disturbs
// less.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <string_view>
#include <vector>

#include "impls/parallelism/sequence/ring_attention.h"
#include "impls/substrate/cluster/cluster.h"

int main(int argc, char** argv) {
  using namespace assay;
  datasets::Cluster cluster;
  cluster.id = "dgx-a100";
  cluster.devices_per_node = 8;
  cluster.nodes = 560;
  cluster.intra = {.bandwidth = 3e11, .latency = 1.32e-5};
  cluster.inter = {.bandwidth = 2.5e10, .latency = 1.5e-5};
  cluster.nics_per_node = 8;
  std::vector<int> sizes{64, 256, 1024};
  if (argc > 1 && std::string_view(argv[1]) == "--all") sizes.push_back(4096);
  fmt::print("{:>6} {:>7} {:>9} {:>9} {:>12} {:>12} {:>14} {:>14}\n", "ranks", "causal", "wall s", "cpu s", "events",
             "events/cpu s", "step ms", "exposed ms");
  for (const int ranks : sizes) {
    for (const bool causal : {false, true}) {
      const parallelism::RingPlan plan({.length = std::int64_t{1024} * ranks,
                                        .ranks = ranks,
                                        .batch = 1,
                                        .heads = 32,
                                        .kv_heads = 32,
                                        .head_dim = 128,
                                        .causal = causal,
                                        .backward = true});
      substrate::ClusterFabric fabric({.cluster = cluster,
                                       .operator_seconds =
                                           [](const substrate::OpWork& work) {
                                             return std::max(work.flops / 312e12, work.bytes / 2.039e12) + 4e-6;
                                           },
                                       .memory_bandwidth = 2.039e12,
                                       .ranks = ranks});
      const std::clock_t cpu = std::clock();
      const auto start = std::chrono::steady_clock::now();
      const substrate::RunReport report =
          fabric.run([&](substrate::Rank& rank) { return parallelism::ring_attention_layer(rank, plan, {}); });
      const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      const auto& last = report.ranks[static_cast<std::size_t>(report.critical_rank())];
      const double busy = static_cast<double>(std::clock() - cpu) / CLOCKS_PER_SEC;
      fmt::print("{:>6} {:>7} {:>9.3f} {:>9.3f} {:>12} {:>12.3g} {:>14.3f} {:>14.3f}\n", ranks, causal ? "yes" : "no",
                 seconds, busy, report.events, static_cast<double>(report.events) / busy,
                 substrate::to_seconds(report.makespan()) * 1e3, substrate::to_seconds(last.exposed) * 1e3);
    }
  }
  return EXIT_SUCCESS;
}
