// Balanced context parallelism beyond what every technique over ranks promises.
#include <gtest/gtest.h>

#include "harness/case_state.h"
#include "impls/parallelism/sequence/sequence_case.h"

namespace assay::parallelism {
namespace {

harness::Reply project(const char* exchange, const char* layout, int ranks = 8) {
  harness::Job job{.kind = harness::JobKind::time,
                   .technique = "parallelism/sequence/cp-balance",
                   .backend = "cpu",
                   .fabric = "cluster"};
  for (const harness::Axis& axis : sequence_axes()) job.params.set(axis.name, axis.defaults.front());
  job.params.set("cluster", std::string("dgx-a100"));
  job.params.set("sequence_length", std::int64_t{1} << 18);
  job.params.set("heads", std::int64_t{32});
  job.params.set("head_dim", std::int64_t{128});
  job.params.set("ranks", std::int64_t{ranks});
  job.params.set("layout", std::string(layout));
  job.params.set("exchange", std::string(exchange));
  return harness::run_job(job);
}

double metric(const harness::Reply& reply, const std::string& name) {
  for (const results_db::Metric& each : reply.launch.metrics)
    if (each.name == name) return each.value;
  ADD_FAILURE() << name << " is not reported: " << reply.reason;
  return 0;
}

TEST(CpBalance, GatheringSendsWhatARingSendsAndHoldsTheWholeSequence) {
  const harness::Reply ring = project("p2p", "zigzag"), gather = project("all-gather", "zigzag");
  EXPECT_EQ(metric(ring, "comm_bytes"), metric(gather, "comm_bytes"));
  EXPECT_EQ(metric(ring, "comm_messages"), metric(gather, "comm_messages"));
  EXPECT_GT(metric(gather, "memory_peak"), metric(ring, "memory_peak"));
}

TEST(CpBalance, WhatTheRingHidesTheGatherShows) {
  EXPECT_LT(metric(project("p2p", "zigzag"), "step_time"), metric(project("all-gather", "zigzag"), "step_time"));
}

TEST(CpBalance, BothBalancedLayoutsBeatRunsOfTokens) {
  const double runs = metric(project("p2p", "contiguous"), "step_time");
  EXPECT_LT(metric(project("p2p", "zigzag"), "step_time"), 0.6 * runs);
  EXPECT_LT(metric(project("p2p", "striped"), "step_time"), 0.7 * runs);
}

}  // namespace
}  // namespace assay::parallelism
