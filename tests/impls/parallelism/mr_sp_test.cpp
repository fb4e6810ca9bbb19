// MR-SP beyond what every technique over ranks promises.
#include "impls/parallelism/sequence/mr_sp.h"

#include <gtest/gtest.h>

#include "datasets/machine.h"
#include "impls/parallelism/sequence/mr_sp_case.h"
#include "impls/parallelism/sequence/mr_sp_claims.h"
#include "impls/parallelism/sequence/mr_sp_data.h"
#include "impls/substrate/fabric/threads.h"

namespace assay::parallelism {
namespace {

using substrate::RunReport;

constexpr VideoStages kAll[] = {VideoStages::none, VideoStages::cache, VideoStages::encode, VideoStages::prefill};

VideoProblem problem(int ranks, VideoStages stages) {
  return {.ranks = ranks,
          .frames = 5,
          .frame_tokens = 6,
          .rollouts = 3,
          .response = 4,
          .heads = 4,
          .kv_heads = 2,
          .head_dim = 8,
          .vocab = 40,
          .dtype = substrate::DType::f32,
          .stages = stages};
}

TEST(MrSp, EveryStageGivesTheSameLogProbabilitiesAndGradient) {
  for (const VideoStages stages : kAll)
    for (const int ranks : {1, 2, 3, 4}) {
      const MrSpPlan plan(problem(ranks, stages));
      MrSpData data(plan);
      data.draw(6);
      const RankProgram program = mr_sp_program(plan);
      substrate::ThreadsFabric(ranks).run([&](substrate::Rank& rank) { return program(rank, &data); });
      const harness::Check check = data.compare(1);
      EXPECT_LE(check.error, 1) << "stages " << static_cast<int>(stages) << ", " << ranks << " ranks: " << check.detail;
    }
}

RunReport counts(const VideoProblem& p) { return count_program(mr_sp_program(MrSpPlan(p)), p.ranks); }

TEST(MrSp, GathersEmbeddingsOnceAndKeysOfEveryRollout) {
  VideoProblem p = problem(4, VideoStages::prefill);
  p.frames = 8;
  p.response = 8;  // 48 + 8 tokens, 14 a rank
  const MrSpPlan plan(p);
  ASSERT_EQ(plan.decoder.weights() % 4, 0);
  const std::int64_t others = 3, h = 32, keys = 2 * 14 * 2 * 8;
  const std::int64_t reduced = 2 * others * plan.decoder.weights() / 4 * 4;
  for (const auto& rank : counts(p).ranks) {
    // Reference forward, policy forward and backward; then dK and dV reduced and scattered.
    EXPECT_EQ(rank.bytes_sent(), others * 2 * 6 * h * 4 + 3 * others * (3 * keys * 4 + keys * 4) + reduced);
    EXPECT_EQ(rank.messages_sent(), others + 3 * others * 4 + 2 * others);
  }
  p.stages = VideoStages::encode;
  for (const auto& rank : counts(p).ranks) EXPECT_EQ(rank.bytes_sent(), others * 2 * 6 * h * 4 + reduced);
  p.stages = VideoStages::cache;
  for (const auto& rank : counts(p).ranks) EXPECT_EQ(rank.bytes_sent(), reduced);
}

TEST(MrSp, EncodesTheVideoForEveryUseOnlyWithoutACache) {
  EXPECT_EQ(MrSpPlan(problem(2, VideoStages::none)).encodings(), 3 + 2);
  EXPECT_EQ(MrSpPlan(problem(2, VideoStages::cache)).encodings(), 1);
  const MrSpPlan plan(problem(3, VideoStages::encode));
  EXPECT_EQ(plan.encoded_tokens(0) + plan.encoded_tokens(1) + plan.encoded_tokens(2), 5 * 6);
  EXPECT_EQ(MrSpPlan(problem(3, VideoStages::cache)).encoded_tokens(1), 5 * 6);
}

TEST(MrSp, HoldsAShareOfARollout) {
  VideoProblem p = problem(8, VideoStages::encode);
  p.frames = 512;
  const double whole = static_cast<double>(counts(p).memory_peak());
  p.stages = VideoStages::prefill;
  EXPECT_LT(static_cast<double>(counts(p).memory_peak()), 0.5 * whole);
}

TEST(MrSpClaims, MoreRanksHoldALongerVideo) {
  const std::string root = datasets::data_root();
  const auto longest = [&](int ranks) {
    harness::claims::Setting setting;
    setting.ranks = ranks;
    setting.model = datasets::load_model("qwen2.5-7b", root);
    setting.device = datasets::load_device("a100-80g-sxm", root);
    setting.axes.set("sequence_parallel", std::int64_t{ranks});
    return project_mr_sp(setting, "max_sequence")->value;
  };
  EXPECT_GT(longest(8), 2 * longest(4));
  EXPECT_LT(longest(64), 16 * longest(8)) << "gathered keys do not shrink with the ranks";
}

}  // namespace
}  // namespace assay::parallelism
