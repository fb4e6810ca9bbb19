// Ring Self-Attention beyond what every technique over ranks promises.
#include <gtest/gtest.h>

#include <string_view>

#include "datasets/machine.h"
#include "harness/claims/evaluate.h"
#include "impls/parallelism/sequence/ring_attention_case.h"
#include "impls/parallelism/sequence/rsa_claims.h"

namespace assay::parallelism {
namespace {

using substrate::RunReport;

SequenceProblem problem(std::int64_t length, int ranks, bool backward) {
  return {.length = length,
          .ranks = ranks,
          .batch = 2,
          .heads = 4,
          .kv_heads = 2,
          .head_dim = 16,
          .dtype = substrate::DType::bf16,
          .causal = false,
          .backward = backward};
}

RunReport counts(const SequenceProblem& p) { return count_program(rsa_program(p), p.ranks); }

TEST(Rsa, SendsTwoRingsForwardAndTwoRingsAndTwoAllReducesBackward) {
  for (const int ranks : {1, 2, 4, 8}) {
    const SequenceProblem p = problem(128, ranks, true);
    const std::int64_t elements = p.length / ranks * p.batch * p.kv_heads * p.head_dim;  // of one rank's K
    const std::int64_t others = ranks - 1;
    const auto forward = counts(problem(128, ranks, false)), both = counts(p);
    for (std::size_t r = 0; r < static_cast<std::size_t>(ranks); ++r) {
      EXPECT_EQ(forward.ranks[r].bytes_sent(), 2 * others * elements * 2);
      EXPECT_EQ(forward.ranks[r].messages_sent(), 2 * others);
      // A ring all-reduce of L Hk d float32 sends 2 (P-1)/P of it.
      EXPECT_EQ(both.ranks[r].bytes_sent(), 4 * others * elements * 2 + 2 * 2 * others * elements * 4);
      EXPECT_EQ(both.ranks[r].messages_sent(), 4 * others + 2 * 2 * others);
    }
  }
}

TEST(Rsa, SendsForwardWhatRingAttentionDoes) {
  const SequenceProblem p = problem(101, 4, false);
  const RunReport rings = counts(p), ring = count_program(ring_program(p), p.ranks);
  for (std::size_t r = 0; r < 4; ++r) EXPECT_EQ(rings.ranks[r].bytes_sent(), ring.ranks[r].bytes_sent());
}

TEST(Rsa, HoldsTheRowsOfScoresThatRingAttentionRemoved) {
  for (const std::int64_t length : {512, 1024}) {
    const SequenceProblem p = problem(length, 4, true);
    const RunReport run = counts(p);
    std::int64_t scores = 0;
    for (const auto& entry : run.ranks[1].memory.entries())
      if (std::string_view(entry.name) == "scores") scores = entry.peak;
    EXPECT_EQ(scores, p.batch * p.heads * (length / 4) * length * 4);
    EXPECT_GT(run.memory_peak(), scores);
  }
  const auto peak = [](auto program, std::int64_t length) {
    return static_cast<double>(count_program(program(problem(length, 4, true)), 4).memory_peak());
  };
  EXPECT_GT(peak(rsa_program, 16384) / peak(rsa_program, 8192), 3.5);
  EXPECT_LT(peak(ring_program, 16384) / peak(ring_program, 8192), 2.1);
}

harness::claims::Setting on_p100(const char* technique, int ranks) {
  const std::string root = datasets::data_root();
  harness::claims::Setting setting;
  setting.technique = technique;
  setting.ranks = ranks;
  setting.model = datasets::load_model("bert-base", root);
  setting.device = datasets::load_device("p100-16g-pcie", root);
  setting.axes.set("baseline_tensor", std::int64_t{12});
  return setting;
}

TEST(RsaClaims, TensorParallelismKeepsWholeInputsThatSequenceParallelismCuts) {
  const auto batch = [](auto project, const char* technique, int ranks) {
    harness::claims::Setting setting = on_p100(technique, ranks);
    setting.axes.set("sequence_length", std::int64_t{512});
    return project(setting, "max_batch")->value;
  };
  const double narrow = batch(project_rsa, "parallelism/sequence/rsa", 8);
  const double wide = batch(project_rsa, "parallelism/sequence/rsa", 64);
  EXPECT_NEAR(wide / narrow, 8, 0.2);
  EXPECT_GT(wide, 8 * batch(project_rsa_baseline, "parallelism/tensor/megatron-tp", 64));
  harness::claims::Setting unknown = on_p100("external:something-else", 64);
  unknown.axes.set("sequence_length", std::int64_t{512});
  EXPECT_FALSE(project_rsa_baseline(unknown, "max_batch").has_value());
}

TEST(RsaClaims, AnswerForABaselineThatNobodyRegistersAndOnlyForTheirOwn) {
  harness::claims::Claim claim;
  claim.technique = "parallelism/sequence/rsa";
  claim.baseline = "external:single-device-sparse-attention";
  EXPECT_EQ(harness::claims::baseline_projector(claim), &project_rsa_baseline);
  claim.technique = "parallelism/sequence/ring-attention";
  EXPECT_EQ(harness::claims::baseline_projector(claim), nullptr);
  claim.baseline = "parallelism/sequence/rsa";
  EXPECT_EQ(harness::claims::baseline_projector(claim), &project_rsa);
}

TEST(RsaClaims, ProjectedKeysMakeMemoryLinearInTheSequence) {
  const auto longest = [](int ranks) {
    harness::claims::Setting setting = on_p100("parallelism/sequence/rsa", ranks);
    setting.axes.set("batch", std::int64_t{4});
    setting.axes.set("projected_rows", std::int64_t{256});
    return project_rsa(setting, "max_sequence")->value;
  };
  EXPECT_NEAR(longest(64) / longest(16), 4, 0.1);
}

}  // namespace
}  // namespace assay::parallelism
