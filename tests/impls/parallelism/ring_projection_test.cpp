// What a projected row says besides its value: its interval and whether the models were calibrated for it.
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "harness/case_state.h"
#include "harness/claims/residuals.h"
#include "impls/parallelism/sequence/sequence_case.h"

namespace assay::parallelism {
namespace {

using harness::claims::move_constants;
using harness::claims::Reach;

harness::Reply project(const char* dtype, std::int64_t ranks, const char* cluster = "dgx-a100",
                       const char* layout = "contiguous") {
  harness::Job job{.kind = harness::JobKind::time,
                   .technique = "parallelism/sequence/ring-attention",
                   .backend = "cpu",
                   .fabric = "cluster"};
  for (const harness::Axis& axis : sequence_axes()) job.params.set(axis.name, axis.defaults.front());
  job.params.set("sequence_length", std::int64_t{1} << 18);
  job.params.set("heads", std::int64_t{32});
  job.params.set("head_dim", std::int64_t{128});
  job.params.set("backward", std::int64_t{1});
  job.params.set("ranks", ranks);
  job.params.set("dtype", std::string(dtype));
  job.params.set("cluster", std::string(cluster));
  job.params.set("layout", std::string(layout));
  return harness::run_job(job);
}

results_db::Metric metric(const harness::Reply& reply, const std::string& name) {
  for (const results_db::Metric& each : reply.launch.metrics)
    if (each.name == name) return each;
  ADD_FAILURE() << name << " is not reported: " << reply.reason;
  return {};
}

TEST(RingProjectionInterval, HoldsTheStepAndItsRates) {
  const harness::Reply reply = project("bf16", 8);
  for (const char* name : {"step_time", "throughput", "device_flops"}) {
    const results_db::Metric found = metric(reply, name);
    ASSERT_TRUE(found.low && found.high) << name;
    EXPECT_LT(*found.low, found.value) << name;
    EXPECT_GT(*found.high, found.value) << name;
  }
}

TEST(RingProjectionInterval, FollowsTheAttentionModelWhereComputeHidesTheRing) {
  // One rank has no links; its step is attention but for a thousandth, and so is its interval.
  const auto device = datasets::load_device("a100-80g-sxm", datasets::data_root());
  const results_db::Metric step = metric(project("bf16", 1), "step_time");
  const double gemm = device.constants.at("eff_gemm").p90_error;
  const double attention = device.constants.at("eff_attention").p90_error;
  const double slower = std::hypot(1 / (1 - gemm) - 1, 1 / (1 - attention) - 1);
  EXPECT_GT(*step.high / step.value - 1, 0.3 * slower);
  EXPECT_LT(*step.high / step.value - 1, 1.05 * slower);
}

TEST(RingProjection, ZigzagIsNearlyTwiceAsFastWhereComputeHidesTheRing) {
  const double contiguous = metric(project("bf16", 8), "step_time").value;
  const double zigzag = metric(project("bf16", 8, "dgx-a100", "zigzag"), "step_time").value;
  EXPECT_NEAR(contiguous / zigzag, 15.0 / 8, 0.1);  // (2P - 1) / P
}

TEST(RingProjectionDomain, IsToldWithTheRow) {
  const auto says = [](const harness::Reply& reply, const char* text) {
    return reply.launch.descriptors_json.find(text) != std::string::npos;
  };
  // Sums of gradients are float32; the measured pointwise operators are 16 bit.
  EXPECT_TRUE(says(project("bf16", 8), R"("domain:calibrated":"outside: pointwise fp32")"));
  EXPECT_TRUE(says(project("fp32", 8), R"("domain:calibrated":"outside: attention fp32, pointwise fp32")"));
  EXPECT_TRUE(says(project("bf16", 8, "dgx-h100"), R"("carried:h100-80g-sxm":"a100-80g-sxm")"));
  EXPECT_FALSE(says(project("bf16", 8), "carried"));
}

TEST(Residuals, EffectsAddInSquaresOnEachSide) {
  Reach reach(10);
  reach.add("a", 13);
  reach.add("a", 9);
  reach.add("b", 14);
  reach.add("b", 12);
  EXPECT_DOUBLE_EQ(reach.high(), 15);
  EXPECT_DOUBLE_EQ(reach.low(), 9);
}

TEST(Residuals, OnlyFittedConstantsMoveAndClustersFollowThem) {
  const auto cluster = datasets::load_cluster("dgx-a100", datasets::data_root());
  int visits = 0;
  move_constants(cluster, [&](const std::string& key, const datasets::Cluster& moved) {
    ++visits;
    EXPECT_GT(cluster.constants.at(key).p90_error, 0);
    const bool of_links = key == "intra_latency" || key == "eff_intra";  // the others are of library collectives
    EXPECT_EQ(moved.intra.bandwidth != cluster.intra.bandwidth || moved.intra.latency != cluster.intra.latency,
              of_links)
        << key;
    EXPECT_NE(moved.constants.at(key).value, cluster.constants.at(key).value);
    EXPECT_EQ(moved.inter.bandwidth, cluster.inter.bandwidth);
  });
  EXPECT_EQ(visits, 10);  // intra_latency, eff_intra and three of all-reduces, both ways
}

}  // namespace
}  // namespace assay::parallelism
