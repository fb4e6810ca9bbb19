// One scan, three schedules: the ring of LASP, the gather of LASP-2 and the pipeline of ZeCO on the same inputs.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "impls/parallelism/sequence/linear_claims.h"
#include "impls/parallelism/sequence/linear_data.h"
#include "impls/parallelism/sequence/linear_layer.h"
#include "impls/substrate/fabric/threads.h"

namespace assay::parallelism {
namespace {

using substrate::Rank;
using substrate::RunReport;

LinearPlan plan_with(int ranks, Decay decay, int blocks = 1, std::int64_t length = 93) {
  return {{.length = length,
           .ranks = ranks,
           .batch = 2,
           .heads = 3,
           .kv_heads = 3,
           .head_dim = 8,
           .dtype = substrate::DType::f32,
           .backward = true},
          decay,
          blocks};
}

std::vector<float> results(const LinearPlan& plan, const StateExchange& exchange) {
  LinearData data(plan, {});
  data.draw(4);
  const RankProgram program = linear_program(plan, exchange);
  substrate::ThreadsFabric(plan.problem.ranks).run([&](Rank& rank) { return program(rank, &data); });
  std::vector<float> all;
  for (int r = 0; r < plan.problem.ranks; ++r)
    for (const std::span<std::byte> part : data.outputs_of(r)) {
      const auto* values = reinterpret_cast<const float*>(part.data());
      all.insert(all.end(), values, values + part.size() / sizeof(float));
    }
  return all;
}

TEST(LinearAttention, TheThreeSchedulesGiveOneResult) {
  for (const Decay decay : {Decay::none, Decay::head, Decay::token}) {
    const std::vector<float> ring = results(plan_with(4, decay), passed_state);
    const std::vector<float> gather = results(plan_with(4, decay), gathered_state);
    const std::vector<float> pipeline = results(plan_with(4, decay, 3), passed_state);
    ASSERT_EQ(ring.size(), gather.size());
    EXPECT_EQ(ring, pipeline) << "blocks change when a sum is made, not its order";
    for (std::size_t i = 0; i < ring.size(); ++i)
      ASSERT_NEAR(ring[i], gather[i], 1e-4 * std::max(1.0F, std::abs(ring[i]))) << i;
  }
}

RunReport counts(const LinearPlan& plan, const StateExchange& exchange) {
  return count_program(linear_program(plan, exchange), plan.problem.ranks);
}

TEST(LinearAttention, SendsOneStateAPassInTheRingAndAsManyAsThereAreOthersInTheGather) {
  for (const std::int64_t length : {64, 1024}) {
    const LinearPlan plan = plan_with(8, Decay::none, 1, length);
    const RunReport ring = counts(plan, passed_state), gather = counts(plan, gathered_state);
    EXPECT_EQ(ring.ranks[3].bytes_sent(), 2 * plan.state_bytes());
    EXPECT_EQ(ring.ranks[3].messages_sent(), 2);
    EXPECT_EQ(gather.ranks[3].bytes_sent(), 2 * 7 * plan.state_bytes());
    EXPECT_EQ(gather.ranks[3].messages_sent(), 2 * 7);
  }
  const LinearPlan blocks = plan_with(8, Decay::token, 4);
  EXPECT_EQ(counts(blocks, passed_state).ranks[3].bytes_sent(), 2 * blocks.state_bytes());
  EXPECT_EQ(counts(blocks, passed_state).ranks[3].messages_sent(), 2 * 4);
}

TEST(LinearAttention, GradientsOfTheDecaysAreThoseOfDifferences) {
  // The oracle itself, against central differences of its own output.
  LinearOracleInputs in{.length = 5, .batch = 1, .heads = 1, .head_dim = 2, .scale = 0.7};
  for (int i = 0; i < 10; ++i) {
    in.q.push_back(std::sin(i + 1));
    in.k.push_back(std::cos(2 * i));
    in.v.push_back(std::sin(3 * i));
    in.decay.push_back(0.8 + 0.01 * i);
    in.d_out.push_back(std::cos(5 * i));
  }
  const LinearOracleOutputs exact = linear_exact(in);
  const auto loss = [](const LinearOracleInputs& at) {
    const LinearOracleOutputs out = linear_exact(at);
    double sum = 0;
    for (std::size_t i = 0; i < out.o.size(); ++i) sum += out.o[i] * at.d_out[i];
    return sum;
  };
  const auto difference = [&](std::vector<double> LinearOracleInputs::*tensor, std::size_t i, double by) {
    LinearOracleInputs more = in, less = in;
    (more.*tensor)[i] += by;
    (less.*tensor)[i] -= by;
    return (loss(more) - loss(less)) / (2 * by);
  };
  for (std::size_t i = 0; i < 10; ++i) {
    EXPECT_NEAR(exact.dq[i], difference(&LinearOracleInputs::q, i, 1e-5), 1e-7);
    EXPECT_NEAR(exact.dk[i], difference(&LinearOracleInputs::k, i, 1e-5), 1e-7);
    EXPECT_NEAR(exact.dv[i], difference(&LinearOracleInputs::v, i, 1e-5), 1e-7);
    EXPECT_NEAR(exact.d_log_decay[i], in.decay[i] * difference(&LinearOracleInputs::decay, i, 1e-5), 1e-7);
  }
}

harness::claims::Setting scan_setting(int ranks) {
  const std::string root = datasets::data_root();
  harness::claims::Setting setting;
  setting.dtype = "bf16";
  setting.ranks = ranks;
  setting.device = datasets::load_device("h100-80g-sxm", root);
  setting.cluster = datasets::load_cluster("dgx-h100", root);
  for (const auto& [name, value] : std::map<std::string, std::int64_t>{
           {"sequence_length", 8192 * ranks}, {"heads", 32}, {"head_dim", 128}, {"sequence_parallel", ranks}})
    setting.axes.set(name, value);
  return setting;
}

TEST(LinearClaims, TheScanSendsOneStateOfSixteenBitNumbers) {
  const auto found = project_zeco(scan_setting(8), "comm_bytes");
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->value, 32 * 128 * 128 * 2);
}

TEST(LinearClaims, ThePipelineGrowsSlowerWithTheRanksThanTheGather) {
  const auto ratio = [](int ranks) {
    return project_lasp_2(scan_setting(ranks), "comm_time")->value /
           project_zeco(scan_setting(ranks), "comm_time")->value;
  };
  EXPECT_GT(ratio(64), ratio(8));
}

TEST(LinearClaims, DataParallelismAloneIsTheScheduleOnOneRank) {
  harness::claims::Setting alone = scan_setting(8), together = scan_setting(8);
  alone.axes.set("sequence_length", std::int64_t{8192});
  alone.axes.set("sequence_parallel", std::int64_t{1});
  alone.axes.set("arm", std::string("dp"));
  const auto ideal = project_zeco(alone, "operator_time"), scan = project_zeco(together, "operator_time");
  ASSERT_TRUE(ideal && scan);
  EXPECT_LT(ideal->value, scan->value);
  EXPECT_EQ(project_zeco(alone, "comm_bytes")->value, 0);
  together.axes.set("arm", std::string("dp"));
  EXPECT_FALSE(project_zeco(together, "operator_time")) << "an arm of data parallelism over eight ranks";
}

TEST(LinearClaims, TheGatherIsOneCollectiveAPassWhateverTheRanks) {
  for (const std::int64_t ranks : {4, 16}) {
    harness::claims::Setting setting;
    setting.axes.set("sequence_length", std::int64_t{4096});
    setting.axes.set("sequence_parallel", ranks);
    EXPECT_EQ(project_lasp_2(setting, "count")->value, 1);
    setting.axes.set("backward", std::int64_t{1});
    EXPECT_EQ(project_lasp_2(setting, "count")->value, 2);
  }
}

TEST(LinearClaims, TheGatherSendsAsMuchForHalfTheLength) {
  harness::claims::Setting setting = scan_setting(8);
  setting.claim = "volume-indep-of-length";
  const auto same = project_lasp_2(setting, "comm_bytes");
  ASSERT_TRUE(same.has_value());
  EXPECT_EQ(same->value, 1);
  EXPECT_GT(same->parts.at(0).value, 0);
}

harness::claims::Setting training_setting(int ranks) {
  harness::claims::Setting setting = scan_setting(ranks);
  setting.model.emplace();
  setting.model->id = "of this test";
  setting.model->numbers = {{"layers", 16},    {"hidden", 2048}, {"heads", 16},    {"kv_heads", 16},
                            {"head_dim", 128}, {"ffn", 8192},    {"vocab", 50257}, {"parameters", 1e9}};
  setting.axes.set("heads", std::int64_t{16});
  setting.axes.set("tokens_per_rank", std::int64_t{8192});
  return setting;
}

TEST(LinearClaims, WeakScalingLosesWhatTheScanAndTheStatesCost) {
  const double few = project_zeco(training_setting(8), "scaling_efficiency")->value,
               many = project_zeco(training_setting(64), "scaling_efficiency")->value;
  EXPECT_LT(many, few);
  EXPECT_GT(many, 0.5);
  harness::claims::Setting uneven = training_setting(8);
  uneven.axes.set("tokens_per_rank", std::int64_t{4096});
  EXPECT_FALSE(project_zeco(uneven, "scaling_efficiency"));
}

TEST(LinearClaims, TheLongestSequenceGrowsWithTheRanks) {
  const double eight = project_lasp_1(training_setting(8), "max_sequence")->value,
               many = project_lasp_1(training_setting(64), "max_sequence")->value;
  EXPECT_GT(many, 8 * eight) << "states are shared by more ranks as well";
}

}  // namespace
}  // namespace assay::parallelism
