// StreamBP beyond what every technique over ranks promises.
#include "impls/parallelism/sequence/streambp.h"

#include <gtest/gtest.h>

#include <string_view>

#include "datasets/machine.h"
#include "impls/parallelism/sequence/head_oracle.h"
#include "impls/parallelism/sequence/streambp_case.h"
#include "impls/parallelism/sequence/streambp_claims.h"
#include "impls/parallelism/sequence/streambp_data.h"
#include "impls/substrate/fabric/threads.h"

namespace assay::parallelism {
namespace {

using substrate::DType;
using substrate::RunReport;

SequenceProblem problem(std::int64_t length, int ranks, DType dtype = DType::f32) {
  return {.length = length,
          .ranks = ranks,
          .batch = 2,
          .heads = 4,
          .kv_heads = 2,
          .head_dim = 8,
          .dtype = dtype,
          .causal = true,
          .backward = true};
}

TEST(StreamBp, IsExactForEveryNumberOfChunks) {
  for (const int ranks : {1, 3})
    for (const int chunks : {1, 2, 3, 7, 13}) {
      const StreamPlan plan(problem(41, ranks), chunks, 57);
      StreamData data(plan);
      data.draw(5);
      const RankProgram program = stream_program(plan);
      substrate::ThreadsFabric(ranks).run([&](substrate::Rank& rank) { return program(rank, &data); });
      const harness::Check check = data.compare(1);
      EXPECT_LE(check.error, 1) << ranks << " ranks, " << chunks << " chunks: " << check.detail;
    }
}

RunReport counts(const StreamPlan& plan) { return count_program(stream_program(plan), plan.problem.ranks); }

std::int64_t peak_of(const RunReport& run, std::string_view name) {
  for (const auto& entry : run.ranks[0].memory.entries())
    if (std::string_view(entry.name) == name) return entry.peak;
  return 0;
}

TEST(StreamBp, HoldsOneChunkOfLogitsAndOfTheInnerLayer) {
  const auto run = [](int chunks) { return counts({problem(960, 1, DType::bf16), chunks, 4096}); };
  const RunReport whole = run(1), some = run(8);
  for (const char* name : {"logits", "inner", "q", "o", "gradient of inner"})
    EXPECT_EQ(peak_of(whole, name), 8 * peak_of(some, name)) << name;
  for (const char* name : {"kv", "dkv", "x", "dz"}) EXPECT_EQ(peak_of(whole, name), peak_of(some, name)) << name;
  EXPECT_EQ(peak_of(some, "logits"), 960 / 8 * 2 * 4096 * 4);
  EXPECT_LT(some.memory_peak(), whole.memory_peak() / 3);
}

TEST(StreamBp, ReducesGradientsOnceWhateverTheChunks) {
  for (const int chunks : {1, 5}) {
    const StreamPlan plan(problem(64, 4, DType::bf16), chunks, 64);
    ASSERT_EQ(plan.weights() % 4, 0);
    for (const auto& rank : counts(plan).ranks) {
      EXPECT_EQ(rank.messages_sent(), 2 * 3);
      EXPECT_EQ(rank.bytes_sent(), 2 * 3 * plan.weights() / 4 * 4);
    }
  }
}

TEST(StreamBp, ComputesTheUpperTriangleLessTheMoreChunksThereAre) {
  for (const int chunks : {1, 2, 4, 8}) {
    const StreamPlan plan(problem(64, 1), chunks, 1);
    EXPECT_EQ(plan.chunk_pairs(0) * 2 * chunks, 64 * 64 * (1 + chunks));
  }
}

TEST(HeadOracle, GradientsAreThoseOfDifferences) {
  std::vector<double> z{0.3, -0.2, 0.5, 0.1, 0.7, -0.4}, w{0.1, 0.4, -0.3, 0.2, 0.6, -0.5};
  const std::vector<std::int32_t> next{2, -1, 0};
  const HeadInputs in{.rows = 3, .hidden = 2, .vocab = 3, .counted = 2, .z = z, .w = w, .next = next};
  const HeadOutputs exact = head_exact(in);
  const auto slope = [&](double& at) {
    const double before = at;
    at = before + 1e-6;
    const double more = head_exact(in).loss;
    at = before - 1e-6;
    const double less = head_exact(in).loss;
    at = before;
    return (more - less) / 2e-6;
  };
  for (std::size_t i = 0; i < z.size(); ++i) EXPECT_NEAR(exact.dz[i], slope(z[i]), 1e-8) << i;
  for (std::size_t i = 0; i < w.size(); ++i) EXPECT_NEAR(exact.dw[i], slope(w[i]), 1e-8) << i;
  EXPECT_EQ(exact.dz[2], 0) << "of a word that does not count";
}

harness::claims::Setting on_a800(const char* technique) {
  const std::string root = datasets::data_root();
  harness::claims::Setting setting;
  setting.technique = technique;
  setting.dtype = "bf16";
  setting.model = datasets::load_model("qwen3-8b", root);
  setting.device = datasets::load_device("a800-80g-sxm", root);
  setting.axes.set("chunk", std::int64_t{500});
  setting.axes.set("tuning", std::string("lora"));
  return setting;
}

TEST(StreamBpClaims, ChunksOfHeadAndLayerMakeSequencesLonger) {
  const auto longest = [](const char* technique) {
    const harness::claims::Setting setting = on_a800(technique);
    const bool own = std::string_view(technique).starts_with("parallelism");
    return (own ? project_streambp : project_streambp_baseline)(setting, "max_sequence")->value;
  };
  const double stream = longest("parallelism/sequence/streambp"),
               checkpoints = longest("external:gradient-checkpointing");
  EXPECT_GT(stream, 2 * checkpoints);
  EXPECT_GT(stream, longest("external:mini-sequence-transformer"));
  EXPECT_GT(checkpoints, 2 * longest("external:no-checkpointing"));
}

TEST(StreamBpClaims, SayNothingWhereTheOptimizerIsNotSaid) {
  harness::claims::Setting setting = on_a800("parallelism/sequence/streambp");
  setting.axes.set("tuning", std::string("full"));
  setting.axes.set("objective", std::string("sft"));
  EXPECT_FALSE(project_streambp(setting, "max_sequence").has_value());
}

TEST(StreamBpClaims, ScoresOfFourChunksAreFiveEighthsOfTheSquare) {
  harness::claims::Setting setting;
  setting.axes.set("sequence_length", std::int64_t{4096});
  setting.axes.set("chunks", std::int64_t{4});
  EXPECT_DOUBLE_EQ(project_streambp(setting, "flops")->value, 1.6);
}

TEST(StreamBpClaims, APairOfSequencesHalvesTheirLength) {
  harness::claims::Setting setting = on_a800("parallelism/sequence/streambp");
  const double one = project_streambp(setting, "max_sequence")->value;
  setting.axes.set("objective", std::string("dpo"));
  EXPECT_NEAR(project_streambp(setting, "max_sequence")->value, one / 2, 0.02 * one);
  setting.axes.set("tuning", std::string("full"));
  EXPECT_FALSE(project_streambp(setting, "max_sequence").has_value()) << "the reference is another model";
  setting.axes.set("tuning", std::string("lora"));
  setting.axes.set("objective", std::string("grpo"));
  EXPECT_FALSE(project_streambp(setting, "max_sequence").has_value()) << "answers at once are not known";
}

TEST(StreamBpClaims, MemoryGrowsWithTheTokens) {
  harness::claims::Setting setting;
  setting.axes.set("sequence_length", std::int64_t{8192});
  setting.axes.set("chunk", std::int64_t{500});
  const auto found = project_streambp(setting, "memory_peak");
  ASSERT_TRUE(found.has_value());
  EXPECT_EQ(found->value, 1);
  EXPECT_NEAR(found->parts.at(0).value, 1, 0.1);
}

TEST(StreamBpClaims, ReplicasAddOnlyWhatTheBackwardPassDoesNotHide) {
  harness::claims::Setting setting = on_a800("parallelism/sequence/streambp");
  setting.axes.set("sequence_length", std::int64_t{6000});
  setting.axes.set("chunk", std::int64_t{2000});
  const double alone = project_streambp(setting, "step_time")->value;
  setting.ranks = 8;
  setting.axes.set("zero_stage", std::int64_t{2});
  EXPECT_FALSE(project_streambp(setting, "step_time").has_value()) << "no cluster";
  setting.cluster = datasets::load_cluster("a800-node", datasets::data_root());
  const double together = project_streambp(setting, "step_time")->value;
  EXPECT_GT(together, alone);
  EXPECT_LT(together, 1.05 * alone);
  setting.cluster->intra.bandwidth /= 1000;
  EXPECT_GT(project_streambp(setting, "step_time")->value, 2 * alone);
}

}  // namespace
}  // namespace assay::parallelism
