// Intervals of serving projections: the parts of an iteration at either end of their residuals.
#include "impls/serving/iteration_reach.h"

#include <gtest/gtest.h>

#include <cmath>

#include "datasets/workloads/generator.h"
#include "harness/claims/residuals.h"
#include "impls/serving/pipeline.h"
#include "impls/serving/schedulers.h"
#include "impls/serving/summary.h"

namespace assay::serving {
namespace {

using harness::claims::Reach;

class Reaches : public testing::Test {
 protected:
  Reaches() {
    const std::string root = datasets::data_root();
    deployment_ = {.model = datasets::load_model("llama2-7b", root),
                   .device = datasets::load_device("a100-80g-sxm", root),
                   .cluster = datasets::load_cluster("dgx-a100", root)};
  }
  std::shared_ptr<const IterationReach> reach() const { return std::make_shared<const IterationReach>(deployment_); }
  // From one constant after the other, exactly.
  template <class Part>
  Reach exact(Part&& part) const {
    Reach found(part(IterationTime(deployment_)));
    for (const auto& [cause, moved] : moved_deployments(IterationTime(deployment_).deployment()))
      found.add(cause, part(IterationTime(moved)));
    return found;
  }
  Deployment deployment_;
};

TEST_F(Reaches, OfAProductAreThoseOfItsConstantsOrOfItsNeighbours) {
  const auto parts = reach();
  for (const std::int64_t tokens : {1, 16, 37, 100, 128, 511, 700, 2048, 5000}) {
    const auto seconds = [&](const IterationTime& time) { return time.linear_seconds(tokens); };
    const double nominal = seconds(IterationTime(deployment_));
    const Reach want = exact(seconds);
    const RelativeReach got = parts->linear(tokens);
    const double slack = tokens <= 64 || (tokens & (tokens - 1)) == 0 ? 1e-12 : 0.06;
    EXPECT_NEAR(got.down, 1 - want.low() / nominal, slack) << tokens;
    EXPECT_NEAR(got.up, want.high() / nominal - 1, slack) << tokens;
    EXPECT_GT(got.up, 0.02) << tokens;
  }
}

TEST_F(Reaches, OfTheHostAreItsOwn) {
  const auto parts = reach();
  const double stated = deployment_.device.constants.at("host_iteration_seconds").p90_error;
  EXPECT_NEAR(parts->host_iteration().up, stated, 1e-12);
  EXPECT_NEAR(parts->host_sequence().down, stated, 1e-12);
  // A device that says nothing of the host has the same work, with the same residual.
  std::erase_if(deployment_.device.constants, [](const auto& entry) { return entry.first.starts_with("host_"); });
  EXPECT_NEAR(reach()->host_iteration().up, stated, 1e-12);
}

TEST_F(Reaches, WithoutResidualsNothingMoves) {
  for (auto& [key, constant] : deployment_.device.constants) constant.p90_error = 0;
  const auto parts = reach();
  IterationTime nominal(deployment_), slow(parts, Edge::slow), fast(parts, Edge::fast);
  EXPECT_EQ(slow.linear(300), nominal.linear(300));
  EXPECT_EQ(fast.prefill({300, 800}), nominal.prefill({300, 800}));
  EXPECT_EQ(slow.with_host(slow.decode(8, 4000), 8), nominal.with_host(nominal.decode(8, 4000), 8));
}

// What the header promises: two simulations reach at least as far as one constant at a time added in squares, and not
// much farther.
TEST_F(Reaches, TwoSimulationsHoldTheIntervalOfOneConstantAtATime) {
  const auto trace =
      datasets::at_rate(datasets::generate_trace("azure-conv", 300, 1), datasets::ArrivalLaw::trace, 2, 1);
  double (*const metrics[])(const Summary&) = {
      [](const Summary& s) { return s.ttft.mean; }, [](const Summary& s) { return s.tpot.mean; },
      [](const Summary& s) { return s.tbt.p99; },   [](const Summary& s) { return s.e2e.p50; },
      [](const Summary& s) { return s.e2e.p99; },
  };
  for (const auto schedule : {schedule_sarathi, schedule_vllm}) {
    const EngineOptions options{
        .schedule = schedule, .blocks = 6000, .max_tokens = schedule == schedule_vllm ? 8192 : 512};
    const auto run = [&](IterationTime time) { return summarize(serve(trace, time, options), trace, {}); };
    const auto parts = reach();
    const Summary nominal = run(IterationTime(deployment_)), fast = run(IterationTime(parts, Edge::fast)),
                  slow = run(IterationTime(parts, Edge::slow));
    std::vector<Reach> singly;
    for (const auto metric : metrics) singly.emplace_back(metric(nominal));
    for (const auto& [cause, moved] : moved_deployments(IterationTime(deployment_).deployment())) {
      const Summary other = run(IterationTime(moved));
      for (std::size_t k = 0; k < singly.size(); ++k) singly[k].add(cause, metrics[k](other));
    }
    for (std::size_t k = 0; k < singly.size(); ++k) {
      const double value = metrics[k](nominal), low = metrics[k](fast), high = metrics[k](slow);
      EXPECT_LE(low, singly[k].low() + 0.02 * value) << k;
      EXPECT_GE(high, singly[k].high() - 0.02 * value) << k;
      // A high percentile of single gaps may jump to another kind of iteration.
      const double wider = (high - low) / (singly[k].high() - singly[k].low());
      EXPECT_LE(wider, k == 2 ? 5 : 2.5) << k;
      RecordProperty("wider_" + std::to_string(k), std::to_string(wider));
    }
  }
}

}  // namespace
}  // namespace assay::serving
