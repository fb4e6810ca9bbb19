// RMSNorm and RoPE: the CPU versions through the gate, what they declare, and the geometry of the CUDA kernels.
#include <gtest/gtest.h>

#include <cmath>

#include "../attention/state_for_tests.h"
#include "datasets/user_error.h"
#include "impls/normalization/cuda/rms_norm_kernel.h"
#include "impls/normalization/rms_norm.h"
#include "impls/positional/rope.h"
#include "impls/substrate/elements.h"

namespace assay {
namespace {

using attention::StateForTests;
using substrate::DType;
using Values = std::map<std::string, harness::Value, std::less<>>;

harness::Value number(std::int64_t value) { return harness::Value(value); }
harness::Value word(const char* value) { return harness::Value(std::string(value)); }

// A right result passes, a stale one and every mutant do not, and the right one passes again.
void gate(const char* id, const Values& values, std::size_t mutants) {
  StateForTests state(*harness::find_technique(id), values);
  const std::string what = std::string(id) + " " + state.params().to_line();
  const harness::Check right = state.check(state.region);
  EXPECT_LE(right.error, 1) << what << ": " << right.detail;
  EXPECT_GT(right.error, 0) << what << ": an exact result of rounded arithmetic is no result";
  EXPECT_EQ(state.mutants.size(), mutants) << what;
  for (const auto& [name, mutant] : state.mutants) EXPECT_GT(state.check(mutant).error, 1) << what << ": " << name;
  EXPECT_LE(state.check(state.region).error, 1) << what << ": after the mutants";
  state.draw(2);
  EXPECT_GT(state.still().error, 1) << what << ": results of the draw before";
}

TEST(RmsNorm, PassesItsOracleAndItsMutantsDoNot) {
  for (const char* dtype : {"fp32", "bf16", "fp16"}) {
    for (const int hidden : {8, 72, 1000}) {
      gate("normalization/rms-norm", {{"tokens", number(5)}, {"hidden", number(hidden)}, {"dtype", word(dtype)}}, 4);
      gate("normalization/rms-norm",
           {{"tokens", number(5)}, {"hidden", number(hidden)}, {"dtype", word(dtype)}, {"residual", number(0)}}, 3);
    }
  }
}

TEST(RmsNorm, NormalisesToTheRootMeanSquareOfTheWeights) {
  const normalization::NormProblem problem{.tokens = 3, .hidden = 512, .residual = false, .dtype = DType::f32};
  StateForTests state(
      *harness::find_technique("normalization/rms-norm"),
      {{"tokens", number(3)}, {"hidden", number(512)}, {"residual", number(0)}, {"dtype", word("fp32")}});
  state.check(state.region);
  normalization::NormTensors same(problem);
  same.draw(problem, 1);
  double ratio = 0;  // of y / w
  for (std::int64_t i = 0; i < 512; ++i) {
    const double y = substrate::load_element(DType::f32, state.outputs.front().bytes.data(), i);
    const double w = substrate::load_element(DType::f32, same.weight.data(), i);
    ratio += y * y / (w * w) / 512;
  }
  EXPECT_NEAR(ratio, 1, 1e-4);
}

TEST(RmsNorm, DeclaresTheBytesThatHaveToMove) {
  const normalization::NormProblem fused{.tokens = 100, .hidden = 64, .residual = true, .dtype = DType::bf16};
  EXPECT_EQ(fused.work().bytes, 4 * 100 * 64 * 2 + 64 * 2);
  const normalization::NormProblem plain{.tokens = 100, .hidden = 64, .residual = false, .dtype = DType::f32};
  EXPECT_EQ(plain.work().bytes, 2 * 100 * 64 * 4 + 64 * 4);
}

TEST(RmsNorm, RefusesARowThatIsNoMultipleOfEight) {
  EXPECT_THROW(StateForTests(*harness::find_technique("normalization/rms-norm"), {{"hidden", number(100)}}), UserError);
}

// Every vector of a row has one thread and one register, in whole warps, and the last thread that has any is needed.
TEST(RmsNormKernel, HoldsEveryRowUpToTheLongestInItsRegisters) {
  using namespace normalization::cuda;
  for (std::int64_t hidden = kVector; hidden <= kLongestRow; hidden += kVector) {
    const NormGeometry g = norm_geometry(hidden);
    const std::int64_t vectors = hidden / kVector;
    ASSERT_GE(std::int64_t{g.threads} * g.vectors, vectors) << hidden;
    ASSERT_TRUE(g.vectors == 1 || g.vectors == 2 || g.vectors == kMostVectors) << hidden;
    ASSERT_EQ(g.threads % 32, 0);
    ASSERT_LE(g.threads * g.rows, kMostThreads) << hidden;
    ASSERT_GE(g.threads * g.rows, 128) << hidden;
    if (g.threads > 32) {
      ASSERT_LT(std::int64_t{g.threads / 2} * 2, vectors) << hidden << ": half the threads would have done";
    }
  }
}

TEST(Rope, PassesItsOracleAndItsMutantsDoNot) {
  for (const char* dtype : {"fp32", "bf16", "fp16"}) {
    for (const char* pairs : {"half", "interleaved"}) {
      for (const int position : {0, 131072}) {
        gate("positional/rope",
             {{"tokens", number(7)},
              {"first_position", number(position)},
              {"heads", number(3)},
              {"kv_heads", number(1)},
              {"head_dim", number(48)},
              {"pairs", word(pairs)},
              {"dtype", word(dtype)}},
             4);
      }
    }
  }
}

TEST(Rope, LeavesTheFirstPositionAndEveryLengthAsTheyAre) {
  StateForTests state(*harness::find_technique("positional/rope"),
                      {{"tokens", number(4)}, {"heads", number(1)}, {"kv_heads", number(1)}, {"dtype", word("fp32")}});
  state.check(state.region);
  const positional::RopeProblem problem{.tokens = 4, .heads = 1, .kv_heads = 1, .dtype = DType::f32};
  positional::RopeTensors same(problem);
  same.draw(problem, 1);
  const std::byte* const out = state.outputs.front().bytes.data();
  for (std::int64_t head = 0; head < 8; ++head) {
    double before = 0;
    double after = 0;
    for (std::int64_t i = head * 128; i < head * 128 + 128; ++i) {
      const double x = substrate::load_element(DType::f32, same.in.data(), i);
      const double y = substrate::load_element(DType::f32, out, i);
      if (head < 2) EXPECT_EQ(x, y) << "position 0";
      before += x * x;
      after += y * y;
    }
    EXPECT_NEAR(after / before, 1, 1e-6);
  }
}

// <rope(q, m), rope(k, n)> depends on m - n alone, which is what the paper wants of it (equation 16).
TEST(Rope, MakesProductsDependOnTheDistanceAlone) {
  const auto product = [](std::int64_t first, bool interleaved) {
    StateForTests state(*harness::find_technique("positional/rope"),
                        {{"tokens", number(6)},
                         {"first_position", number(first)},
                         {"heads", number(1)},
                         {"kv_heads", number(1)},
                         {"head_dim", number(64)},
                         {"pairs", word(interleaved ? "interleaved" : "half")},
                         {"dtype", word("fp32")}});
    state.check(state.region);
    const std::byte* const out = state.outputs.front().bytes.data();
    double sum = 0;  // query of the last token, key of the first
    for (std::int64_t i = 0; i < 64; ++i)
      sum += static_cast<double>(substrate::load_element(DType::f32, out, 5 * 128 + i)) *
             substrate::load_element(DType::f32, out, 64 + i);
    return sum;
  };
  for (const bool interleaved : {false, true}) EXPECT_NEAR(product(0, interleaved), product(1000, interleaved), 1e-3);
}

TEST(Rope, DeclaresTheBytesThatHaveToMove) {
  const positional::RopeProblem problem{.tokens = 10, .heads = 4, .kv_heads = 2, .head_dim = 64};
  EXPECT_EQ(problem.work().bytes, 2 * 10 * 6 * 64 * 2 + 10 * 64 * 4);
}

}  // namespace
}  // namespace assay
