// The library baselines as cases, with planted libraries that compute on the host and a host's softmax in the place of
// the kernel: what is asked of cuBLASLt and cuDNN is attention. Whether their GPU versions take it is not tested here.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "../emulated/host_device.h"
#include "../state_for_tests.h"
#include "impls/attention/cuda/cublas_softmax.h"
#include "impls/substrate/dtype.h"

namespace assay::attention::cuda {

void composed_softmax(const SoftmaxProblem& p, ElementType element, CUstream_st*) {
  for (std::int64_t row = 0; row < p.rows; ++row) {
    const int visible = p.mask.visible(static_cast<int>(row % p.mask.queries));
    const float* const scores = p.scores + row * p.pitch;
    double top = -INFINITY;
    double sum = 0;
    for (int j = 0; j < visible; ++j) top = std::max(top, static_cast<double>(scores[j] * p.scale));
    for (int j = 0; j < visible; ++j) sum += std::exp(scores[j] * p.scale - top);
    for (int j = 0; j < p.pitch; ++j) {
      const auto weight = static_cast<float>(j < visible ? std::exp(scores[j] * p.scale - top) / sum : 0);
      if (element == ElementType::bf16) {
        const auto value = substrate::to_bf16(weight);
        std::memcpy(p.weights + row * p.pitch + j, &value, 2);
      } else {
        const auto value = substrate::to_f16(weight);
        std::memcpy(p.weights + row * p.pitch + j, &value, 2);
      }
    }
    p.lse[row] = static_cast<float>(visible > 0 ? top + std::log(sum) : -INFINITY);
  }
}

namespace {

using Values = std::map<std::string, harness::Value, std::less<>>;

harness::Value number(std::int64_t value) { return harness::Value(value); }
harness::Value word(const char* value) { return harness::Value(std::string(value)); }

class Baselines : public ::testing::Test {
 protected:
  Baselines() {
    const auto folder = std::filesystem::read_symlink("/proc/self/exe").parent_path() / "planted_libraries";
    setenv("ASSAY_CUDA_LIBRARIES", folder.c_str(), 1);
    unsetenv("FIXTURE_CUDNN_REFUSES");
  }
  // A right result passes, a stale one and every mutant do not, and the right one passes again.
  static void gate(const char* id, const Values& values) {
    HostDevice device;
    {
      StateForTests state(*harness::find_technique(id), values, &device);
      const std::string what = std::string(id) + " " + state.params().to_line();
      const harness::Check right = state.check(state.region);
      EXPECT_LE(right.error, 1) << what << ": " << right.detail;
      EXPECT_GE(state.mutants.size(), 3U) << what;
      for (const auto& [name, mutant] : state.mutants) EXPECT_GT(state.check(mutant).error, 1) << what << ": " << name;
      EXPECT_LE(state.check(state.region).error, 1) << what << ": after the mutants";
      state.draw(2);
      EXPECT_GT(state.still().error, 1) << what << ": results of the draw before";
    }
    EXPECT_EQ(device.allocations(), 0U) << id << " gives back what it allocates";
  }
};

// Odd lengths, groups of heads, more keys than queries.
TEST_F(Baselines, AreAttention) {
  for (const char* id : {"attention/cublas-attention", "attention/cudnn-attention"}) {
    for (const int causal : {0, 1}) {
      gate(id, {{"sequence_length", number(37)},
                {"context", number(causal == 0 ? 75 : 0)},
                {"batch", number(2)},
                {"heads", number(4)},
                {"kv_heads", number(2)},
                {"head_dim", number(64)},
                {"dtype", word(causal == 0 ? "fp16" : "bf16")},
                {"causal", number(causal)}});
    }
  }
}

TEST_F(Baselines, AreSkippedWhereTheLibraryHasNoEngine) {
  setenv("FIXTURE_CUDNN_REFUSES", "1", 1);
  HostDevice device;
  try {
    StateForTests(*harness::find_technique("attention/cudnn-attention"), {{"sequence_length", number(16)}}, &device);
    FAIL() << "ran without an engine";
  } catch (const Skipped& skipped) {
    EXPECT_NE(std::string(skipped.what()).find("has no engine for this graph here: no engine takes it"),
              std::string::npos)
        << skipped.what();
  }
}

}  // namespace
}  // namespace assay::attention::cuda
