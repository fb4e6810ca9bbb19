#include "impls/parallelism/sequence/megatron_sp.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "harness/case_state.h"
#include "impls/parallelism/sequence/megatron_sp_case.h"
#include "impls/parallelism/sequence/megatron_sp_claims.h"
#include "impls/parallelism/sequence/megatron_sp_data.h"
#include "impls/parallelism/sequence/megatron_training_claims.h"
#include "impls/parallelism/sequence/ulysses_claims.h"
#include "impls/substrate/fabric/threads.h"
#include "tests/impls/parallelism/one_node_for_tests.h"

namespace assay::parallelism {
namespace {

using substrate::DType;
using substrate::Rank;
using substrate::RunReport;

RunReport run_virtual(const MegatronPlan& plan) {
  return run_on_one_node(plan.problem.ranks, [&](Rank& rank) { return megatron_layer(rank, plan, {}); });
}

RunReport run_real(const MegatronPlan& plan, MegatronData& data) {
  substrate::ThreadsFabric fabric(plan.problem.ranks);
  return fabric.run([&](Rank& rank) { return megatron_layer(rank, plan, data.memory(rank.id())); });
}

struct Shape {
  const char* name;
  SequenceProblem problem;
  std::int64_t inner = 0;
};
std::ostream& operator<<(std::ostream& out, const Shape& shape) { return out << shape.name; }

SequenceProblem with(std::int64_t length, int ranks, DType dtype, bool causal, int heads, int kv_heads,
                     int node_ranks = 0) {
  return {.length = length,
          .ranks = ranks,
          .batch = 2,
          .heads = heads,
          .kv_heads = kv_heads,
          .head_dim = 8,
          .dtype = dtype,
          .causal = causal,
          .backward = true,
          .node_ranks = node_ranks};
}

class MegatronSp : public ::testing::TestWithParam<Shape> {};

TEST_P(MegatronSp, SendsWhatTheFormulasSay) {
  SequenceProblem p = GetParam().problem;
  const std::int64_t row = std::int64_t{p.batch} * p.heads * p.head_dim * size_of(p.dtype);
  for (const bool backward : {false, true}) {
    p.backward = backward;
    const RunReport run = run_virtual(MegatronPlan(p, GetParam().inner));
    // All ranks together: a gather brings every token to P - 1 others, a scatter P - 1 partial sums of every token.
    std::int64_t bytes = 0;
    for (const auto& rank : run.ranks) {
      bytes += rank.bytes_sent();
      EXPECT_EQ(rank.messages_sent(), (backward ? 10 : 4) * (p.ranks - 1));
    }
    EXPECT_EQ(bytes, (backward ? 10 : 4) * (p.ranks - 1) * p.length * row);
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, MegatronSp,
                         ::testing::Values(Shape{"one_rank", with(24, 1, DType::f32, true, 2, 2)},
                                           Shape{"two_ranks", with(32, 2, DType::f32, true, 2, 2)},
                                           Shape{"four_ranks_bf16", with(80, 4, DType::bf16, true, 4, 4)},
                                           Shape{"three_ranks_full", with(48, 3, DType::f32, false, 6, 3)},
                                           Shape{"eight_ranks_bf16", with(96, 8, DType::bf16, true, 8, 8)},
                                           Shape{"uneven_tokens", with(37, 4, DType::f32, true, 4, 4)},
                                           Shape{"grouped_queries", with(36, 2, DType::f32, true, 8, 4)},
                                           Shape{"nodes_of_two", with(43, 4, DType::f32, true, 4, 4, 2)},
                                           Shape{"nodes_of_two_bf16", with(66, 6, DType::bf16, true, 6, 6, 2)},
                                           Shape{"narrow_inner_layer", with(40, 4, DType::f32, true, 4, 4), 20},
                                           Shape{"one_token_a_rank", with(4, 4, DType::f32, true, 4, 4)}),
                         [](const auto& shape) { return std::string(shape.param.name); });

TEST(MegatronSpResult, DoesNotDependOnTheRanksBeyondRounding) {
  // The oracle knows nothing of ranks, but holds loosely; these are the same sums in another order.
  const auto z = [](int ranks) {
    const MegatronPlan plan(with(32, ranks, DType::f32, true, 4, 4));
    MegatronData data(plan);
    data.draw(3);
    run_real(plan, data);
    std::vector<float> all;
    for (int r = 0; r < ranks; ++r) {
      const std::span<std::byte> part = data.outputs_of(r)[0];
      const auto* values = reinterpret_cast<const float*>(part.data());
      all.insert(all.end(), values, values + part.size() / sizeof(float));
    }
    return all;
  };
  const std::vector<float> one = z(1), four = z(4);
  ASSERT_EQ(one.size(), four.size());
  for (std::size_t i = 0; i < one.size(); ++i) ASSERT_NEAR(one[i], four[i], 2e-5) << i;
}

TEST(MegatronSpGate, WrongVersionsAreRejected) {
  const MegatronPlan plan(with(48, 4, DType::f32, true, 4, 4));
  MegatronData data(plan);
  data.draw(5);
  const auto error_of = [&](const auto& change) {
    MegatronPlan which = plan;
    change(which);
    run_real(which, data);
    return data.compare(1).error;
  };
  EXPECT_LE(error_of([](MegatronPlan&) {}), 1);
  EXPECT_GT(error_of([](MegatronPlan& wrong) { wrong.deaf_to = 3; }), 1);
  EXPECT_GT(error_of([](MegatronPlan& wrong) { wrong.silent = 3; }), 1);
  EXPECT_GT(error_of([](MegatronPlan& wrong) { wrong.own_tokens_only = true; }), 1);
  EXPECT_GT(error_of([](MegatronPlan& wrong) { wrong.divisor_constant = true; }), 1);
  EXPECT_GT(error_of([](MegatronPlan& wrong) { wrong.round_output = true; }), 1);
  EXPECT_GT(error_of([](MegatronPlan& wrong) { wrong.local.scale *= 1.25F; }), 1);
  EXPECT_LE(error_of([](MegatronPlan&) {}), 1);
}

harness::Job job_of(harness::JobKind kind, std::int64_t length, std::int64_t ranks, const char* dtype) {
  harness::Job job{
      .kind = kind, .technique = "parallelism/sequence/megatron-sp", .backend = "cpu", .fabric = "threads"};
  for (const harness::Axis& axis : megatron_axes()) job.params.set(axis.name, axis.defaults.front());
  job.params.set("sequence_length", length);
  job.params.set("head_dim", std::int64_t{16});
  job.params.set("ranks", ranks);
  job.params.set("backward", std::int64_t{1});
  job.params.set("dtype", std::string(dtype));
  job.seed = 3;
  job.mutant_budget_seconds = 1e9;
  return job;
}

TEST(MegatronSpGate, TheCaseCatchesEveryMutant) {
  for (const char* dtype : {"fp32", "bf16"}) {
    const harness::Reply reply = harness::run_job(job_of(harness::JobKind::gate, 128, 4, dtype));
    EXPECT_EQ(reply.status, results_db::Status::ok) << reply.reason;
    EXPECT_EQ(reply.gate.coverage, 1);
    EXPECT_EQ(reply.gate.mutants_total, std::string_view(dtype) == "fp32" ? 8 : 7) << "null and stale among them";
    EXPECT_EQ(reply.gate.mutants_caught, reply.gate.mutants_total);
  }
}

TEST(MegatronSpInput, WhatCannotBeDealtOrComparedIsRefused) {
  const auto refusal = [](std::int64_t length, std::int64_t ranks, std::int64_t kv_heads) {
    harness::Job job = job_of(harness::JobKind::describe, length, ranks, "bf16");
    job.params.set("kv_heads", kv_heads);
    return harness::run_job(job).reason;
  };
  EXPECT_EQ(refusal(64, 3, 4), "ranks: found 3, expected a divisor of heads (4)");
  EXPECT_EQ(refusal(64, 4, 2), "kv_heads: found 2, expected a multiple of ranks (4)");
  EXPECT_NE(refusal(65536, 4, 4).find("sequence_length: found 65536"), std::string::npos);
  EXPECT_EQ(refusal(64, 4, 4), "");
}

harness::claims::Setting volume_setting(std::int64_t ranks) {
  harness::claims::Setting setting;
  setting.dtype = "bf16";
  setting.ranks = static_cast<int>(ranks);
  for (const auto& [name, value] : std::map<std::string, std::int64_t>{
           {"sequence_length", 4096}, {"heads", 128}, {"kv_heads", 128}, {"head_dim", 8}, {"sequence_parallel", ranks}})
    setting.axes.set(name, value);
  return setting;
}

TEST(MegatronSpClaims, TheVolumeIsThatOfAlltoallTimesTheRanks) {
  for (const std::int64_t ranks : {8, 32, 128}) {
    const auto setting = volume_setting(ranks);
    const auto ours = project_megatron_claim(setting, "comm_bytes"),
               theirs = project_ulysses_claim(setting, "comm_bytes");
    ASSERT_TRUE(ours && theirs);
    EXPECT_DOUBLE_EQ(ours->value, 4.0 * 4096 * 1024 * 2 * static_cast<double>(ranks - 1) / static_cast<double>(ranks));
    EXPECT_DOUBLE_EQ(ours->value / theirs->value, static_cast<double>(ranks));
  }
}

harness::claims::Setting step_setting() {
  const std::string root = datasets::data_root();
  harness::claims::Setting setting;
  setting.dtype = "bf16";
  setting.ranks = 16;
  setting.device = datasets::load_device("a100-80g-sxm", root);
  setting.cluster = datasets::load_cluster("dgx-a100", root);
  setting.model.emplace();
  setting.model->numbers = {{"layers", 24},    {"hidden", 2048}, {"heads", 16},    {"kv_heads", 16},
                            {"head_dim", 128}, {"ffn", 8192},    {"vocab", 50257}, {"parameters", 1.3e9}};
  setting.axes.set("sequence_length", std::int64_t{16384});
  return setting;
}

TEST(MegatronSpClaims, WhereTheDegreeIsOpenTheBestThatFitsIsTaken) {
  const auto setting = step_setting();
  const auto open = project_megatron_claim(setting, "throughput");
  ASSERT_TRUE(open.has_value());
  for (const std::int64_t degree : {4, 8, 16}) {
    auto fixed = setting;
    fixed.axes.set("sequence_parallel", degree);
    EXPECT_GE(open->value, project_megatron_claim(fixed, "throughput")->value) << degree;
  }
  auto fixed = setting;
  fixed.axes.set("sequence_parallel", std::int64_t{8});
  const auto step = project_megatron_claim(fixed, "step_time");
  double parts = 0;
  for (const auto& part : step->parts) parts += part.value;
  EXPECT_NEAR(parts, step->value, 1e-6 * step->value) << "the parts are the step";
}

TEST(MegatronSpClaims, GatheredActivationsBoundTheLengthHoweverManyRanks) {
  auto setting = step_setting();
  setting.axes = {};
  const auto longest = [&](std::int64_t ranks) {
    setting.ranks = static_cast<int>(ranks);
    setting.axes.set("sequence_parallel", ranks);
    return project_megatron_claim(setting, "max_sequence")->value;
  };
  EXPECT_GT(longest(8), longest(4));
  EXPECT_LT(longest(16) / longest(8), 2) << "less than the ranks";
}

TEST(MegatronSpClaims, WhatIsNotMappedHasNoValue) {
  EXPECT_FALSE(project_megatron_claim(volume_setting(8), "device_flops")) << "no model, device or cluster";
  EXPECT_FALSE(project_megatron_claim(volume_setting(96), "comm_bytes")) << "96 ranks cannot share 128 heads";
  auto recomputing = step_setting();
  recomputing.axes.set("recompute", std::string("selective"));
  EXPECT_FALSE(project_megatron_claim(recomputing, "mfu"));
}

harness::claims::Setting recomputing() {
  harness::claims::Setting setting = step_setting();
  setting.axes = {};
  setting.ranks = 8;
  setting.axes.set("tensor", std::int64_t{8});
  setting.axes.set("sequence_length", std::int64_t{2048});
  setting.axes.set("recompute", std::string("selective"));
  setting.axes.set("baseline_recompute", std::string("none"));
  return setting;
}

TEST(MegatronTrainingClaims, KeepWhatTheFormulasOfThePaperSay) {
  auto setting = recomputing();
  const double s = 2048, h = 2048, a = 16, t = 8;
  EXPECT_DOUBLE_EQ(project_megatron_training(setting, "activation_bytes")->value, s * h * 34 / t);
  setting.technique = "parallelism/tensor/megatron-tp";
  EXPECT_DOUBLE_EQ(project_megatron_tp(setting, "activation_bytes")->value,
                   s * h * (10 + 24 / t + 5 * a * s / (h * t)));
  setting.axes.set("baseline_recompute", std::string("full"));
  EXPECT_DOUBLE_EQ(project_megatron_tp(setting, "activation_bytes")->value, 2 * s * h);
  setting.technique = "parallelism/sequence/ulysses";
  EXPECT_FALSE(project_megatron_tp(setting, "activation_bytes")) << "only for its own baseline";
}

TEST(MegatronTrainingClaims, AttentionAloneIsComputedAgainFasterThanALayer) {
  auto setting = recomputing();
  const double selective = project_megatron_training(setting, "overhead")->value;
  setting.axes.set("recompute", std::string("full"));
  const double full = project_megatron_training(setting, "overhead")->value;
  EXPECT_LT(selective, full);
  EXPECT_GT(full, 0.25);
  EXPECT_LT(full, 0.5) << "a forward pass over a forward and a backward one";
}

TEST(MegatronTrainingClaims, MoreMicroBatchesFillThePipeline) {
  auto setting = recomputing();
  setting.ranks = 8 * 4 * 2;
  for (const auto& [name, value] :
       std::map<std::string, std::int64_t>{{"pipeline", 4}, {"data", 2}, {"micro_batches", 8}, {"virtual_stages", 1}})
    setting.axes.set(name, value);
  const auto mfu = [&](std::int64_t micro_batches, std::int64_t turns) {
    setting.axes.set("micro_batches", micro_batches);
    setting.axes.set("virtual_stages", turns);
    return project_megatron_training(setting, "mfu")->value;
  };
  EXPECT_GT(mfu(64, 1), mfu(8, 1));
  EXPECT_GT(mfu(8, 3), mfu(8, 1)) << "interleaving idles less";
  EXPECT_LT(mfu(64, 1), 0.7);
  setting.ranks = 8;
  EXPECT_FALSE(project_megatron_training(setting, "mfu")) << "ranks are not tensor x pipeline x data";
}

}  // namespace
}  // namespace assay::parallelism
