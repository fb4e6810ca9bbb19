#include "impls/parallelism/sequence/ulysses.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "datasets/user_error.h"
#include "harness/case_state.h"
#include "impls/parallelism/program_case.h"
#include "impls/parallelism/sequence/sequence_case.h"
#include "impls/parallelism/sequence/ulysses_claims.h"
#include "impls/substrate/fabric/threads.h"
#include "tests/impls/parallelism/one_node_for_tests.h"

namespace assay::parallelism {
namespace {

using substrate::DType;
using substrate::Rank;
using substrate::RunReport;

RunReport run_virtual(const UlyssesPlan& plan) {
  return run_on_one_node(plan.problem.ranks, [&](Rank& rank) { return ulysses_layer(rank, plan, {}); });
}

RunReport run_real(const UlyssesPlan& plan, SequenceData& data) {
  substrate::ThreadsFabric fabric(plan.problem.ranks);
  return fabric.run([&](Rank& rank) { return ulysses_layer(rank, plan, data.memory(rank.id())); });
}

struct Shape {
  const char* name;
  SequenceProblem problem;
};
std::ostream& operator<<(std::ostream& out, const Shape& shape) { return out << shape.name; }

SequenceProblem with(std::int64_t length, int ranks, DType dtype, bool causal, int heads, int kv_heads,
                     Layout layout = Layout::contiguous) {
  return {.length = length,
          .ranks = ranks,
          .batch = 2,
          .heads = heads,
          .kv_heads = kv_heads,
          .head_dim = 16,
          .dtype = dtype,
          .causal = causal,
          .backward = true,
          .layout = layout};
}

class Ulysses : public ::testing::TestWithParam<Shape> {};

TEST_P(Ulysses, SendsWhatTheFormulasSay) {
  SequenceProblem p = GetParam().problem;
  // A rank sends Q, K, V of its tokens to every other one's heads, and of its heads the context of all other tokens;
  // the gradients of both go the other way.
  const std::int64_t element = std::int64_t{p.batch} * p.head_dim * size_of(p.dtype);
  for (const bool backward : {false, true}) {
    p.backward = backward;
    const UlyssesPlan plan(p);
    const RunReport run = run_virtual(plan);
    for (int r = 0; r < p.ranks; ++r) {
      const std::int64_t mine = plan.layout.tokens(r), others = p.length - mine;
      const std::int64_t qkv = p.heads / p.ranks + 2 * std::max(1, p.kv_heads / p.ranks), context = p.heads / p.ranks;
      std::int64_t bytes = (p.ranks - 1) * mine * qkv * element + others * context * element;
      if (backward) bytes += (p.ranks - 1) * mine * context * element + others * qkv * element;
      EXPECT_EQ(run.ranks[static_cast<std::size_t>(r)].bytes_sent(), bytes) << "rank " << r;
      EXPECT_EQ(run.ranks[static_cast<std::size_t>(r)].messages_sent(), (backward ? 4 : 2) * (p.ranks - 1));
    }
    if (p.length % p.ranks != 0 || p.layout != Layout::contiguous) continue;
    // (P-1)/P^2 L (2H + 2Hk) d B elements, Hk at least P.
    EXPECT_EQ(
        run.ranks[0].bytes_sent() * p.ranks * p.ranks,
        (backward ? 2 : 1) * (p.ranks - 1) * p.length * (2 * p.heads + 2 * std::max(p.kv_heads, p.ranks)) * element);
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, Ulysses,
                         ::testing::Values(Shape{"one_rank", with(40, 1, DType::f32, true, 2, 2)},
                                           Shape{"two_ranks", with(64, 2, DType::f32, true, 2, 2)},
                                           Shape{"four_ranks_bf16", with(128, 4, DType::bf16, true, 4, 4)},
                                           Shape{"three_ranks_full", with(96, 3, DType::f32, false, 6, 3)},
                                           Shape{"eight_ranks_full_bf16", with(160, 8, DType::bf16, false, 8, 8)},
                                           Shape{"uneven_tokens", with(101, 4, DType::f32, true, 4, 4)},
                                           Shape{"two_key_heads_a_rank", with(72, 2, DType::f32, true, 8, 4)},
                                           Shape{"shared_key_heads", with(75, 4, DType::f32, true, 8, 2)},
                                           Shape{"one_key_head_bf16", with(75, 4, DType::bf16, false, 8, 1)},
                                           Shape{"one_token_a_rank", with(4, 4, DType::f32, true, 4, 4)},
                                           Shape{"zigzag_uneven", with(103, 4, DType::f32, true, 4, 2, Layout::zigzag)},
                                           Shape{"zigzag_bf16", with(128, 4, DType::bf16, true, 4, 4, Layout::zigzag)}),
                         [](const auto& shape) { return std::string(shape.param.name); });

TEST(UlyssesGate, WrongVersionsAreRejected) {
  const UlyssesPlan plan(with(96, 4, DType::f32, true, 4, 2, Layout::zigzag));
  SequenceData data(plan);
  data.draw(5);
  const auto error_of = [&](const UlyssesPlan& which) {
    run_real(which, data);
    return data.compare(1).error;
  };
  EXPECT_LE(error_of(plan), 1);
  UlyssesPlan wrong = plan;
  wrong.deaf_to = 3;
  EXPECT_GT(error_of(wrong), 1);
  wrong = plan;
  wrong.arrival_order = true;
  EXPECT_GT(error_of(wrong), 1);
  wrong = plan;
  wrong.first_copy_only = true;
  EXPECT_GT(error_of(wrong), 1);
  wrong = plan;
  wrong.round_output = true;
  EXPECT_GT(error_of(wrong), 1);
  EXPECT_LE(error_of(plan), 1);
}

TEST(UlyssesGate, ASampledCaseIsCheckedAndCatchesEveryMutant) {
  harness::Job job{.kind = harness::JobKind::gate,
                   .technique = "parallelism/sequence/ulysses",
                   .backend = "cpu",
                   .fabric = "threads"};
  for (const harness::Axis& axis : sequence_axes()) job.params.set(axis.name, axis.defaults.front());
  job.params.set("sequence_length", std::int64_t{2100});
  job.params.set("heads", std::int64_t{4});
  job.params.set("head_dim", std::int64_t{32});
  job.params.set("backward", std::int64_t{1});
  job.seed = 3;
  job.mutant_budget_seconds = 1e9;
  const harness::Reply reply = harness::run_job(job);
  EXPECT_EQ(reply.status, results_db::Status::ok) << reply.reason;
  EXPECT_LT(reply.gate.coverage, 1);
  EXPECT_GT(reply.gate.coverage, 0);
  EXPECT_EQ(reply.gate.mutants_total, 4);
  EXPECT_EQ(reply.gate.mutants_caught, 4);
}

std::string refusal(int ranks, int heads, int kv_heads) {
  harness::Job job{.kind = harness::JobKind::describe,
                   .technique = "parallelism/sequence/ulysses",
                   .backend = "cpu",
                   .fabric = "threads"};
  for (const harness::Axis& axis : sequence_axes()) job.params.set(axis.name, axis.defaults.front());
  job.params.set("ranks", std::int64_t{ranks});
  job.params.set("heads", std::int64_t{heads});
  job.params.set("kv_heads", std::int64_t{kv_heads});
  const harness::Reply reply = harness::run_job(job);
  EXPECT_TRUE(reply.user_error || reply.reason.empty());
  return reply.reason;
}

TEST(UlyssesInput, HeadsThatCannotBeDealtAreRefused) {
  EXPECT_EQ(refusal(3, 8, 8), "ranks: found 3, expected a divisor of heads (8)");
  EXPECT_EQ(refusal(4, 12, 6), "kv_heads: found 6, expected a multiple or a divisor of ranks (4)");
  EXPECT_EQ(refusal(4, 12, 4), "");
  EXPECT_EQ(refusal(4, 8, 2), "");
}

TEST(UlyssesProjection, TheVolumeOfARankFallsWithTheRanksThatOfARingDoesNot) {
  const auto sent = [](int ranks) {
    SequenceProblem problem = with(4096, ranks, DType::bf16, true, 64, 64);
    problem.backward = false;
    return static_cast<double>(run_virtual(UlyssesPlan(problem)).ranks[0].bytes_sent());
  };
  EXPECT_DOUBLE_EQ(sent(8) / sent(32), (7.0 / 64) / (31.0 / 1024));
}

TEST(UlyssesProjection, EveryRankHasTheSameCausalWork) {
  const RunReport run = run_virtual(UlyssesPlan(with(1024, 8, DType::bf16, true, 8, 8)));
  for (const auto& rank : run.ranks) EXPECT_EQ(rank.busy[0], run.ranks[0].busy[0]);
}

harness::claims::Setting volume_setting() {
  harness::claims::Setting setting;
  setting.technique = "parallelism/sequence/ulysses";
  setting.dtype = "bf16";
  setting.ranks = 128;
  for (const auto& [name, value] : std::map<std::string, std::int64_t>{
           {"sequence_length", 4096}, {"heads", 128}, {"kv_heads", 128}, {"head_dim", 8}, {"sequence_parallel", 128}})
    setting.axes.set(name, value);
  return setting;
}

TEST(UlyssesClaims, TheVolumeIsThatOfThePaperButForTheShareARankKeeps) {
  const auto found = project_ulysses_claim(volume_setting(), "comm_bytes");
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->value, 4.0 * 4096 * 1024 / 128 * 2 * 127 / 128);
}

TEST(UlyssesClaims, WhereTheDegreeIsOpenTheBestThatFitsIsTaken) {
  const std::string root = datasets::data_root();
  harness::claims::Setting setting = volume_setting();
  setting.ranks = 16;
  setting.device = datasets::load_device("a100-80g-sxm", root);
  setting.cluster = datasets::load_cluster("dgx-a100", root);
  setting.model.emplace();
  setting.model->numbers = {{"layers", 24},    {"hidden", 2048}, {"heads", 16},    {"kv_heads", 16},
                            {"head_dim", 128}, {"ffn", 8192},    {"vocab", 50257}, {"parameters", 1.3e9}};
  setting.axes = {};
  setting.axes.set("sequence_length", std::int64_t{32768});
  const auto open = project_ulysses_claim(setting, "throughput");
  ASSERT_TRUE(open.has_value());
  for (const std::int64_t degree : {4, 8, 16}) {
    auto fixed = setting;
    fixed.axes.set("sequence_parallel", degree);
    EXPECT_GE(open->value, project_ulysses_claim(fixed, "throughput")->value) << degree;
  }
  double parts = 0;
  for (const auto& part : open->parts) parts += part.value;
  const double step = project_ulysses_claim(setting, "step_time")->value;
  EXPECT_NEAR(parts, step, 1e-9 * step) << "the parts are the step";
}

TEST(UlyssesClaims, WhatIsNotMappedHasNoValue) {
  EXPECT_FALSE(project_ulysses_claim(volume_setting(), "device_flops")) << "no model, device or cluster";
  auto odd = volume_setting();
  odd.axes.set("sequence_parallel", std::int64_t{96});
  EXPECT_FALSE(project_ulysses_claim(odd, "comm_bytes")) << "96 ranks cannot share 128 heads";
}

}  // namespace
}  // namespace assay::parallelism
