// StreamBP beyond what every technique over ranks promises.
#include "impls/parallelism/sequence/streambp.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string_view>
#include <vector>

#include "datasets/machine.h"
#include "impls/parallelism/sequence/head_oracle.h"
#include "impls/parallelism/sequence/layer_arithmetic.h"
#include "impls/parallelism/sequence/streambp_case.h"
#include "impls/parallelism/sequence/streambp_claims.h"
#include "impls/parallelism/sequence/streambp_data.h"
#include "impls/parallelism/sequence/transformer_oracle.h"
#include "impls/substrate/cluster/cluster.h"
#include "impls/substrate/fabric/threads.h"
#include "impls/substrate/models/operator_time.h"
#include "impls/substrate/random.h"

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

harness::Check checked(const StreamPlan& plan) {
  StreamData data(plan);
  data.draw(5);
  const RankProgram program = stream_program(plan);
  substrate::ThreadsFabric(plan.problem.ranks).run([&](substrate::Rank& rank) { return program(rank, &data); });
  return data.compare(1);
}

TEST(StreamBp, IsExactForEveryNumberOfChunks) {
  for (const int ranks : {1, 3})
    for (const int chunks : {1, 2, 3, 7, 13}) {
      const harness::Check check = checked(StreamPlan(problem(41, ranks), chunks, {.vocab = 57}));
      EXPECT_LE(check.error, 1) << ranks << " ranks, " << chunks << " chunks: " << check.detail;
    }
}

// As Qwen 3 4B, whose heads together are wider than the hidden size, at a tenth.
TEST(StreamBp, IsExactThroughLayersWiderInsideThanOutside) {
  for (const DType dtype : {DType::f32, DType::bf16})
    for (const int chunks : {1, 3}) {
      const harness::Check check =
          checked(StreamPlan(problem(31, 2, dtype), chunks, {.layers = 3, .hidden = 20, .inner = 76, .vocab = 57}));
      EXPECT_LE(check.error, 1) << chunks << " chunks: " << check.detail;
    }
}

TEST(StreamBp, DependsOnPositionsOnlyByTheirDifferences) {
  // Two tokens that see each other alone: turning both alike changes no score.
  const StreamPlan plan(problem(2, 1), 1, {.vocab = 3});
  const LayerArithmetic of{.plan = &plan, .weights = nullptr};
  const std::vector<std::int64_t> near{0, 5}, far{1000, 1005}, apart{0, 6};
  Floats rows;
  for (int i = 0; i < 2 * 8; ++i) rows.push_back(0.3F * static_cast<float>(i % 5) - 0.4F);
  const auto score = [&](const std::vector<std::int64_t>& positions) {
    const Floats at_positions = of.turned(rows, 8, positions, 1, false);
    double sum = 0;
    for (std::size_t i = 0; i < 8; ++i) sum += at_positions[i] * at_positions[8 + i];
    return sum;
  };
  EXPECT_NEAR(score(near), score(far), 1e-4);
  EXPECT_GT(std::abs(score(near) - score(apart)), 1e-3);
  const Floats back = of.turned(of.turned(rows, 8, near, 1, false), 8, near, 1, true);
  for (std::size_t i = 0; i < rows.size(); ++i) EXPECT_NEAR(back[i], rows[i], 1e-6);
}

RunReport counts(const StreamPlan& plan) { return count_program(stream_program(plan), plan.problem.ranks); }

std::int64_t peak_of(const RunReport& run, std::string_view name) {
  for (const auto& entry : run.ranks[0].memory.entries())
    if (std::string_view(entry.name) == name) return entry.peak;
  return 0;
}

TEST(StreamBp, HoldsOneChunkOfLogitsAndOfTheInnerLayer) {
  const auto run = [](int chunks) { return counts({problem(960, 1, DType::bf16), chunks, {.vocab = 4096}}); };
  const RunReport whole = run(1), some = run(8);
  for (const char* name : {"logits", "gate", "up", "active", "q", "o", "gradient of gate"})
    EXPECT_EQ(peak_of(whole, name), 8 * peak_of(some, name)) << name;
  for (const char* name : {"kv", "dkv", "x", "dz"}) EXPECT_EQ(peak_of(whole, name), peak_of(some, name)) << name;
  EXPECT_EQ(peak_of(some, "logits"), 960 / 8 * 2 * 4096 * 2);
  EXPECT_EQ(peak_of(some, "logits in float32"), 960 / 8 * 2 * 4096 * 4);
  EXPECT_LT(some.memory_peak(), whole.memory_peak() / 3);
}

TEST(StreamBp, HoldsTheInputOfEveryLayer) {
  const auto inputs = [](int layers) {
    return peak_of(counts({problem(96, 1, DType::bf16), 4, {.layers = layers, .vocab = 64}}), "inputs of layers");
  };
  EXPECT_EQ(inputs(1), 0);
  EXPECT_EQ(inputs(5), 4 * 96 * 2 * 32 * 2) << "the first layer's is the program's";
}

TEST(StreamBp, ReducesGradientsOnceWhateverTheChunks) {
  for (const int chunks : {1, 5}) {
    const StreamPlan plan(problem(64, 4, DType::bf16), chunks, {.vocab = 64});
    ASSERT_EQ(plan.weights() % 4, 0);
    for (const auto& rank : counts(plan).ranks) {
      EXPECT_EQ(rank.messages_sent(), 2 * 3);
      EXPECT_EQ(rank.bytes_sent(), 2 * 3 * plan.weights() / 4 * 4);
    }
  }
}

TEST(StreamBp, ComputesTheUpperTriangleLessTheMoreChunksThereAre) {
  for (const int chunks : {1, 2, 4, 8}) {
    const StreamPlan plan(problem(64, 1), chunks, {.vocab = 1});
    EXPECT_EQ(plan.chunk_pairs(0) * 2 * chunks, 64 * 64 * (1 + chunks));
  }
}

// Of a loss that weighs every element of z.
TEST(TransformerOracle, GradientsOfAGatedLayerAreThoseOfDifferences) {
  substrate::Random random(3);
  const auto drawn = [&](std::size_t count) {
    std::vector<double> values(count);
    for (double& each : values) each = random.normal();
    return values;
  };
  constexpr std::size_t kHidden = 6, kInner = 5, kQueries = 8, kKeys = 4, kRows = 2 * 3;
  TransformerInputs in{.length = 3,
                       .batch = 2,
                       .heads = 2,
                       .kv_heads = 1,
                       .head_dim = 4,
                       .inner = kInner,
                       .causal = true,
                       .epsilon = 1e-5,
                       .x = drawn(kRows * kHidden),
                       .wq = drawn(kHidden * kQueries),
                       .wk = drawn(kHidden * kKeys),
                       .wv = drawn(kHidden * kKeys),
                       .wo = drawn(kQueries * kHidden),
                       .w1 = drawn(kHidden * kInner),
                       .w2 = drawn(kInner * kHidden),
                       .dz = drawn(kRows * kHidden),
                       .hidden = kHidden,
                       .rotary_base = 100,
                       .gate = drawn(kHidden * kInner),
                       .g1 = drawn(kHidden),
                       .g2 = drawn(kHidden)};
  const TransformerOutputs exact = transformer_exact(in);
  const auto loss = [&] {
    const TransformerOutputs out = transformer_exact(in);
    return std::inner_product(out.z.begin(), out.z.end(), in.dz.begin(), 0.0);
  };
  const auto check = [&](const char* name, std::vector<double>& of, const std::vector<double>& gradient) {
    ASSERT_EQ(of.size(), gradient.size()) << name;
    for (std::size_t i = 0; i < of.size(); ++i) {
      const double before = of[i];
      of[i] = before + 1e-6;
      const double more = loss();
      of[i] = before - 1e-6;
      const double less = loss();
      of[i] = before;
      EXPECT_NEAR(gradient[i], (more - less) / 2e-6, 1e-6 * (1 + std::abs(gradient[i]))) << name << " " << i;
    }
  };
  check("x", in.x, exact.dx);
  check("query", in.wq, exact.dwq);
  check("key", in.wk, exact.dwk);
  check("value", in.wv, exact.dwv);
  check("output", in.wo, exact.dwo);
  check("up", in.w1, exact.dw1);
  check("down", in.w2, exact.dw2);
  check("gate", in.gate, exact.d_gate);
  check("first gains", in.g1, exact.dg1);
  check("second gains", in.g2, exact.dg2);
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

// One sequence of a model's own layers.
StreamPlan plan_of(const datasets::Model& model, std::int64_t tokens, int chunks, int layers, bool causal) {
  const auto whole = [&](const char* key) { return static_cast<std::int64_t>(model.at(key)); };
  const SequenceProblem p{.length = tokens,
                          .heads = static_cast<int>(whole("heads")),
                          .kv_heads = static_cast<int>(whole("kv_heads")),
                          .head_dim = static_cast<int>(whole("head_dim")),
                          .dtype = DType::bf16,
                          .causal = causal,
                          .backward = true};
  return {p, chunks, {.layers = layers, .hidden = whole("hidden"), .inner = whole("ffn"), .vocab = whole("vocab")}};
}

// A layer, and with a wide vocabulary the head, at the model's own shape.
TEST(StreamBpClaims, HoldWhatTheProgramHolds) {
  datasets::Model model = *on_a800("parallelism/sequence/streambp").model;
  constexpr std::int64_t kTokens = 6000;
  for (const double vocab : {512.0, model.at("vocab")})
    for (const int chunks : {1, 12}) {
      model.numbers["vocab"] = vocab;
      double held = 0;
      const RunReport run = counts(plan_of(model, kTokens, chunks, 1, true));
      for (const auto& entry : run.ranks.front().memory.entries()) {
        const std::string_view name = entry.name;
        const auto outside = {"weights", "gradients of the weights", "x", "z", "dx", "dz", "loss"};
        if (std::ranges::find(outside, name) == outside.end()) held += static_cast<double>(entry.at_peak);
      }
      EXPECT_EQ(held, stream_working_bytes(model, kTokens, static_cast<double>(kTokens) / chunks))
          << vocab << " words, " << chunks << " chunks";
    }
}

// All layers, nothing of the mask skipped, as the claims count checkpointing; they leave out the turns by positions and
// the copies of the logits.
TEST(StreamBpClaims, TakeTheTimeOfTheProgram) {
  harness::claims::Setting setting = on_a800("parallelism/sequence/streambp");
  setting.axes.set("sequence_length", std::int64_t{6000});
  setting.axes.set("arm", std::string("checkpointing"));
  const datasets::Device& device = *setting.device;
  substrate::ClusterFabric fabric(
      {.cluster = datasets::load_cluster("a800-node", datasets::data_root()),
       .operator_seconds = [&](const substrate::OpWork& work) { return substrate::operator_seconds(device, work); },
       .memory_bandwidth = device.at("memory_bandwidth"),
       .ranks = 1});
  const RankProgram program =
      stream_program(plan_of(*setting.model, 6000, 1, static_cast<int>(setting.model->at("layers")), false));
  const double seconds =
      substrate::to_seconds(fabric.run([&](substrate::Rank& rank) { return program(rank, nullptr); }).makespan());
  EXPECT_NEAR(seconds / project_streambp(setting, "step_time")->value, 1, 0.1);
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
