// The registered attention techniques: what they declare, what they refuse, and that their gate rejects wrong versions.
#include <gtest/gtest.h>

#include <filesystem>

#include "datasets/user_error.h"
#include "impls/substrate/cpu_features.h"
#include "tests/impls/attention/state_for_tests.h"

namespace assay::attention {
namespace {

harness::Value number(std::int64_t value) { return value; }
harness::Value word(const char* text) { return std::string(text); }

// Those with an implementation for the CPU.
std::vector<std::string> attention_ids() {
  std::vector<std::string> ids;
  for (const harness::Technique& technique : harness::techniques()) {
    const bool on_cpu =
        std::ranges::any_of(technique.implementations, [](const auto& one) { return one.backend == "cpu"; });
    if (technique.id.starts_with("attention/") && on_cpu) ids.push_back(technique.id);
  }
  return ids;
}

std::string refusal(const char* id, const std::map<std::string, harness::Value, std::less<>>& values) {
  try {
    StateForTests(*harness::find_technique(id), values);
  } catch (const UserError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(Registration, HoldsTheLadderAndTheBaseline) {
  EXPECT_EQ(attention_ids(), (std::vector<std::string>{"attention/flash-attention-1", "attention/flash-attention-2",
                                                       "attention/mem-efficient-attention", "attention/naive-attention",
                                                       "attention/onednn-attention"}));
}

TEST(Registration, EachIdIsTheNameOfItsFile) {
  for (const std::string& id : attention_ids()) {
    std::string stem = std::filesystem::path(harness::find_technique(id)->implementations.front().source_file).stem();
    std::replace(stem.begin(), stem.end(), '_', '-');
    EXPECT_EQ(id, "attention/" + stem);
  }
}

class EveryTechnique : public testing::TestWithParam<std::tuple<std::string, std::string, bool>> {};

TEST_P(EveryTechnique, PassesItsGateAndRejectsEveryMutant) {
  const auto& [id, dtype, causal] = GetParam();
  try {
    StateForTests state(*harness::find_technique(id), {{"sequence_length", number(300)},
                                                       {"heads", number(2)},
                                                       {"kv_heads", number(1)},
                                                       {"head_dim", number(64)},
                                                       {"dtype", harness::Value(dtype)},
                                                       {"causal", number(causal)}});
    const harness::Check right = state.check(state.region);
    EXPECT_LE(right.error, 1) << right.detail;
    EXPECT_EQ(right.coverage, 1);
    EXPECT_GT(state.check([] {}).error, 1) << "nothing was written";
    for (const char* name : {"last-tile-skipped", "wrong-scale", "lower-precision"}) {
      ASSERT_TRUE(state.mutants.contains(name));
      EXPECT_GT(state.check(state.mutants[name]).error, 1) << name;
    }
    const harness::Check again = state.check(state.region);
    EXPECT_LE(again.error, 1) << "after the mutants: " << again.detail;
    state.draw(2);
    EXPECT_GT(state.check([] {}).error, 1);
    EXPECT_LE(state.check(state.region).error, 1) << "on a second draw";
  } catch (const Skipped& skipped) {
    GTEST_SKIP() << skipped.what();
  }
}

INSTANTIATE_TEST_SUITE_P(Attention, EveryTechnique,
                         testing::Combine(testing::ValuesIn(attention_ids()), testing::Values("fp32", "bf16"),
                                          testing::Bool()),
                         [](const auto& info) {
                           std::string name = std::get<0>(info.param).substr(10);
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name + "_" + std::get<1>(info.param) +
                                  (std::get<2>(info.param) ? "_causal" : "_full");
                         });

TEST(Registration, ALargeProblemIsCheckedByRowsAndBySmallShape) {
  StateForTests state(*harness::find_technique("attention/flash-attention-2"),
                      {{"sequence_length", number(3000)}, {"heads", number(1)}, {"causal", number(0)}});
  const harness::Check right = state.check(state.region);
  EXPECT_LE(right.error, 1) << right.detail;
  EXPECT_NEAR(right.coverage, 64.0 / 3000, 1e-9);
  EXPECT_NE(right.detail.find("small shape"), std::string::npos);
  for (const auto& [name, mutant] : state.mutants) EXPECT_GT(state.check(mutant).error, 1) << name;
}

TEST(Registration, RefusesBadParametersByName) {
  const char* id = "attention/flash-attention-2";
  EXPECT_EQ(refusal(id, {{"heads", number(6)}, {"kv_heads", number(4)}}),
            "kv_heads: found 4, expected a divisor of heads (6)");
  EXPECT_EQ(refusal(id, {{"head_dim", number(512)}}), "head_dim: found 512, expected 1 to 256");
  EXPECT_EQ(refusal(id, {{"sequence_length", number(-4)}}), "sequence_length: found -4, expected 1 to 16777216");
  EXPECT_EQ(refusal(id, {{"dtype", word("fp8")}}), "dtype: found 'fp8', expected fp32 or bf16");
  EXPECT_EQ(refusal(id, {{"dtype", word("fp32")}, {"isa", word("amx")}}),
            "isa: found amx with dtype=fp32, expected dtype=bf16");
  EXPECT_EQ(refusal(id, {{"isa", word("neon")}}),
            "isa: found 'neon', expected auto, portable, avx2, avx512, avx512-bf16 or amx");
}

TEST(Registration, SkipsWithAReasonWhatTheMachineLacks) {
  const harness::Technique& technique = *harness::find_technique("attention/flash-attention-2");
  if (!substrate::available(substrate::Isa::amx)) {
    EXPECT_THROW(StateForTests(technique, {{"isa", word("amx")}}), Skipped);
  }
  EXPECT_THROW(StateForTests(technique, {{"threads", number(4000)}}), Skipped);
}

TEST(CpuRoofs, EveryProbeDoesItsArithmeticAndHalfOfItIsNoticed) {
  const harness::Technique& technique = *harness::find_technique("hardware/cpu-roofs");
  for (const harness::Value& probe : technique.implementations.front().axes.front().defaults) {
    const std::string name = harness::to_text(probe);
    for (const std::int64_t threads : {1, 2}) {
      if (threads > static_cast<std::int64_t>(substrate::allowed_cpus().size())) continue;
      try {
        StateForTests state(technique,
                            {{"probe", probe}, {"threads", number(threads)}, {"working_set", number(1 << 20)}});
        const harness::Check right = state.check(state.region);
        EXPECT_LE(right.error, 1) << name << ": " << right.detail;
        EXPECT_GT(state.check(state.mutants["half-the-work"]).error, 1) << name;
        EXPECT_GT(state.work.flops + state.work.bytes, 0) << name;
        state.region();
        state.draw(2);
        EXPECT_GT(state.still().error, 1) << name << ": results of the draw before";
      } catch (const Skipped& skipped) {
        EXPECT_TRUE(name.starts_with("bf16")) << name << ": " << skipped.what();
      }
    }
  }
}

TEST(CpuRoofs, RefusesAnUnknownProbe) {
  EXPECT_EQ(refusal("hardware/cpu-roofs", {{"probe", word("fp64-fma")}}).substr(0, 28), "probe: found 'fp64-fma', exp");
}

}  // namespace
}  // namespace assay::attention
