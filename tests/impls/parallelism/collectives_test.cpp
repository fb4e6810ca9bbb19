// The collectives as cases: every algorithm of every collective, on threads and on emulated links.
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "harness/case_state.h"
#include "harness/registry.h"

namespace assay::parallelism {
namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

const Pairs& every_algorithm() {
  static const Pairs all{{"all-reduce", "ring"},
                         {"all-reduce", "halving-doubling"},
                         {"all-reduce", "double-tree"},
                         {"all-reduce", "hierarchical"},
                         {"all-reduce", "star"},
                         {"reduce-scatter", "ring"},
                         {"reduce-scatter", "direct"},
                         {"all-gather", "ring"},
                         {"all-gather", "direct"},
                         {"broadcast", "binomial"},
                         {"broadcast", "chain"},
                         {"all-to-all", "direct"},
                         {"all-to-all", "pairwise"},
                         {"all-to-all", "by-nodes"},
                         {"scan", "serial"},
                         {"scan", "pipelined"}};
  return all;
}

harness::Reply run(harness::JobKind kind, const char* fabric, const std::string& collective,
                   const std::string& algorithm, std::int64_t ranks, std::int64_t bytes, const char* dtype = "fp32",
                   const char* cluster = "dgx-a100") {
  harness::Job job{.kind = kind, .technique = "parallelism/data/collectives", .backend = "cpu", .fabric = fabric};
  for (const harness::Axis& axis : harness::resolve_technique("collectives").implementations.front().axes)
    job.params.set(axis.name, axis.defaults.front());
  job.params.set("collective", collective);
  job.params.set("algorithm", algorithm);
  job.params.set("ranks", ranks);
  job.params.set("message_bytes", bytes);
  job.params.set("dtype", std::string(dtype));
  job.params.set("cluster", std::string(cluster));
  job.seed = 9;
  job.mutant_budget_seconds = 1e9;
  return harness::run_job(job);
}

TEST(Collectives, EveryAlgorithmIsTheSumAndRejectsItsMutants) {
  for (const auto& [collective, algorithm] : every_algorithm())
    for (const std::int64_t ranks : {1, 2, 3, 6, 8})
      for (const char* dtype : {"fp32", "bf16"}) {
        if (collective == "scan" && ranks == 1) continue;  // refused, see below
        const harness::Reply reply =
            run(harness::JobKind::gate, "threads", collective, algorithm, ranks, 4 * 501, dtype);
        ASSERT_EQ(reply.status, results_db::Status::ok)
            << collective << " " << algorithm << " on " << ranks << ": " << reply.reason;
        EXPECT_EQ(reply.gate.mutants_caught, reply.gate.mutants_total)
            << collective << " " << algorithm << " " << ranks;
        EXPECT_EQ(reply.gate.coverage, 1);
      }
}

TEST(Collectives, FewerElementsThanRanksAreStillSummed) {
  for (const auto& [collective, algorithm] : every_algorithm()) {
    const harness::Reply reply = run(harness::JobKind::gate, "threads", collective, algorithm, 8, 4 * 3);
    EXPECT_EQ(reply.status, results_db::Status::ok) << collective << " " << algorithm << ": " << reply.reason;
  }
}

TEST(Collectives, AnAlgorithmThatACollectiveDoesNotHaveIsRefused) {
  const harness::Reply reply = run(harness::JobKind::describe, "threads", "broadcast", "star", 4, 1024);
  EXPECT_TRUE(reply.user_error);
  EXPECT_EQ(reply.reason, "algorithm: found star, expected one that broadcast has: auto, binomial, chain");
  EXPECT_TRUE(run(harness::JobKind::describe, "threads", "scan", "serial", 1, 1024).user_error);
}

TEST(Collectives, RunOnEmulatedLinksAndSaySo) {
  const harness::Reply gate =
      run(harness::JobKind::gate, "emulated", "all-reduce", "ring", 2, 4096, "fp32", "edge-emulated");
  EXPECT_EQ(gate.status, results_db::Status::ok) << gate.reason;
  const harness::Reply timed =
      run(harness::JobKind::time, "emulated", "all-reduce", "star", 2, 4096, "fp32", "edge-emulated");
  ASSERT_EQ(timed.status, results_db::Status::ok) << timed.reason;
  ASSERT_FALSE(timed.launch.metrics.empty());
  for (const results_db::Metric& each : timed.launch.metrics)
    if (each.name == "time") EXPECT_EQ(each.provenance, results_db::Provenance::emulated);
}

TEST(Collectives, ChooseOneAlgorithmForEveryFabric) {
  const auto messages = [](const harness::Reply& reply) {
    for (const results_db::Metric& each : reply.launch.metrics)
      if (each.name == "comm_messages") return each.value;
    return -1.0;
  };
  for (const std::int64_t bytes : {1 << 10, 1 << 24})
    EXPECT_EQ(messages(run(harness::JobKind::time, "cluster", "all-reduce", "auto", 8, bytes)),
              messages(run(harness::JobKind::time, "threads", "all-reduce", "auto", 8, bytes)));
}

TEST(Collectives, OnlyAFabricWithALibraryHasItsAlgorithm) {
  const harness::Reply reply = run(harness::JobKind::gate, "threads", "all-reduce", "native", 4, 4096);
  EXPECT_TRUE(reply.user_error);
  EXPECT_EQ(reply.reason, "algorithm: found native on fabric threads, expected mpi, whose library has collectives");
}

}  // namespace
}  // namespace assay::parallelism
