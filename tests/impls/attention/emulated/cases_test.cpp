// Cases of backend cuda from their axes to their mutants, with the emulator in the place of a GPU: right results pass,
// each wrong version is rejected, and nothing outside of allocated memory is touched.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>

#include "../state_for_tests.h"
#include "datasets/user_error.h"
#include "host_device.h"

namespace assay::attention::cuda {
namespace {

using Values = std::map<std::string, harness::Value, std::less<>>;

harness::Value number(std::int64_t value) { return harness::Value(value); }
harness::Value word(const char* value) { return harness::Value(std::string(value)); }

// A right result passes, a stale one and every mutant do not, and the right one passes again.
void gate(const std::string& id, const Values& values) {
  HostDevice device;
  {
    StateForTests state(*harness::find_technique(id), values, &device);
    const std::string what = id + " " + state.params().to_line();
    const harness::Check right = state.check(state.region);
    EXPECT_LE(right.error, 1) << what << ": " << right.detail;
    EXPECT_GE(state.mutants.size(), 2U) << what;
    for (const auto& [name, mutant] : state.mutants) EXPECT_GT(state.check(mutant).error, 1) << what << ": " << name;
    EXPECT_LE(state.check(state.region).error, 1) << what << ": after the mutants";
    state.draw(2);
    EXPECT_GT(state.still().error, 1) << what << ": results of the draw before";
    EXPECT_GT(state.work.flops, 0) << what;
    EXPECT_GE(state.work.flops_issued == 0 ? state.work.flops : state.work.flops_issued, state.work.flops) << what;
    EXPECT_GT(device.launches, 0);
  }
  EXPECT_EQ(device.allocations(), 0U) << id << " gives back what it allocates";
}

TEST(EmulatedCases, ForwardTechniquesPassAndTheirMutantsDoNot) {
  for (const char* id : {"attention/naive-attention", "attention/flash-attention-1", "attention/flash-attention-2",
                         "attention/flash-attention-3"}) {
    for (const char* dtype : {"bf16", "fp16"}) {
      gate(id, {{"sequence_length", number(135)},
                {"heads", number(2)},
                {"kv_heads", number(1)},
                {"head_dim", number(64)},
                {"dtype", word(dtype)},
                {"causal", number(dtype[0] == 'b' ? 1 : 0)}});
    }
  }
}

TEST(EmulatedCases, RaggedBatchesPassAndTheirMutantsDoNot) {
  for (const char* id : {"attention/naive-attention", "attention/flash-attention-1"})
    gate(id, {{"sequence_length", number(140)},
              {"context", number(170)},
              {"batch", number(4)},
              {"heads", number(2)},
              {"kv_heads", number(1)},
              {"head_dim", number(64)},
              {"lengths", word("ragged")}});
  for (const char* id : {"attention/flash-attention-2", "attention/flash-attention-3"}) {
    for (const char* pass : {"forward", "backward"}) {
      for (const int context : {0, 170}) {
        gate(id, {{"sequence_length", number(140)},
                  {"context", number(context)},
                  {"batch", number(4)},
                  {"heads", number(2)},
                  {"kv_heads", number(1)},
                  {"head_dim", number(64)},
                  {"pass", word(pass)},
                  {"lengths", word("ragged")}});
      }
    }
  }
}

TEST(EmulatedCases, BackwardPassesAndItsMutantsDoNot) {
  for (const char* id : {"attention/flash-attention-2", "attention/flash-attention-3"}) {
    for (const char* dtype : {"bf16", "fp16"}) {
      gate(id, {{"sequence_length", number(135)},
                {"heads", number(2)},
                {"kv_heads", number(1)},
                {"head_dim", number(64)},
                {"dtype", word(dtype)},
                {"causal", number(1)},
                {"pass", word("backward")}});
    }
  }
}

TEST(EmulatedCases, DecodePassesWithAnyNumberOfSplits) {
  for (const char* path : {"sm_80", "sm_90a"}) {
    for (const int splits : {0, 1, 3}) {
      gate("attention/flash-decoding", {{"context", number(300)},
                                        {"heads", number(8)},
                                        {"kv_heads", number(2)},
                                        {"batch", number(2)},
                                        {"head_dim", number(128)},
                                        {"path", word(path)},
                                        {"splits", number(splits)}});
    }
  }
}

TEST(EmulatedCases, DecodeOfUnevenLengthsPassesAndItsMutantsDoNot) {
  for (const char* id : {"attention/flash-decoding", "attention/paged-attention"}) {
    for (const char* path : {"sm_80", "sm_90a"}) {
      for (const int queries : {1, 3}) {
        gate(id, {{"sequence_length", number(queries)},
                  {"context", number(300)},
                  {"heads", number(8)},
                  {"kv_heads", number(2)},
                  {"batch", number(3)},
                  {"head_dim", number(64)},
                  {"path", word(path)},
                  {"splits", number(2)},
                  {"lengths", word("ragged")}});
      }
    }
  }
}

TEST(EmulatedCases, PagedDecodePassesWithPagesInAnyOrder) {
  for (const char* path : {"sm_80", "sm_90a"}) {
    for (const char* order : {"random", "in-order"}) {
      for (const int page_size : {1, 16}) {
        gate("attention/paged-attention", {{"context", number(200)},
                                           {"heads", number(4)},
                                           {"kv_heads", number(2)},
                                           {"batch", number(2)},
                                           {"head_dim", number(64)},
                                           {"page_size", number(page_size)},
                                           {"pages", word(order)},
                                           {"path", word(path)},
                                           {"dtype", word("fp16")}});
      }
    }
  }
}

TEST(EmulatedCases, AreUnverifiedUntilTheyHaveRunOnAGpu) {
  int found = 0;
  for (const harness::Technique& technique : harness::techniques()) {
    for (const harness::Implementation& one : technique.implementations) {
      if (one.backend != "cuda") continue;
      ++found;
      EXPECT_FALSE(one.verified) << technique.id;
    }
  }
  EXPECT_EQ(found, 6);
}

std::string refusal(const char* id, const Values& values) {
  HostDevice device;
  try {
    StateForTests(*harness::find_technique(id), values, &device);
  } catch (const UserError& error) {
    return error.what();
  }
  return "";
}

TEST(EmulatedCases, RefuseWhatNoKernelIsMadeFor) {
  EXPECT_EQ(refusal("attention/flash-attention-2", {{"head_dim", number(80)}}),
            "head_dim: found 80, expected 64, 128 or 256 on backend cuda");
  EXPECT_EQ(refusal("attention/flash-attention-2", {{"dtype", word("fp32")}}),
            "dtype: found 'fp32', expected bf16 or fp16 on backend cuda");
  EXPECT_EQ(refusal("attention/paged-attention", {{"page_size", number(24)}}),
            "page_size: found 24, expected a power of two up to 65536");
}

void expect_made_for_9_0(const char* id, Values values) {
  for (const int capability : {80, 89, 100}) {
    HostDevice device(227 << 10, capability);
    values.emplace("sequence_length", number(64));
    try {
      StateForTests(*harness::find_technique(id), values, &device);
      ADD_FAILURE() << capability;
    } catch (const Skipped& skipped) {
      EXPECT_NE(std::string(skipped.what()).find("is made for compute capability 9.0"), std::string::npos)
          << skipped.what();
    }
  }
}

TEST(EmulatedCases, SkipFlashAttention3WhereTheDeviceIsNotOfItsArchitecture) {
  for (const Values& of : {Values{}, {{"pass", word("backward")}}, {{"lengths", word("ragged")}}})
    expect_made_for_9_0("attention/flash-attention-3", of);
}

TEST(EmulatedCases, SkipTheHopperPathOfDecodeElsewhereAndRunTheOther) {
  for (const char* id : {"attention/flash-decoding", "attention/paged-attention"}) {
    expect_made_for_9_0(id, {{"path", word("sm_90a")}, {"context", number(64)}});
    HostDevice device(163 << 10, 80);
    EXPECT_NO_THROW(StateForTests(*harness::find_technique(id), {{"context", number(64)}}, &device));
  }
}

TEST(EmulatedCases, SkipWhereTheDeviceHasTooLittleSharedMemory) {
  HostDevice small(99 << 10);  // as of sm_86
  EXPECT_THROW(StateForTests(*harness::find_technique("attention/flash-attention-2"),
                             {{"head_dim", number(256)}, {"sequence_length", number(64)}}, &small),
               Skipped);
  EXPECT_NO_THROW(StateForTests(*harness::find_technique("attention/flash-attention-2"),
                                {{"head_dim", number(128)}, {"sequence_length", number(64)}}, &small));
}

}  // namespace
}  // namespace assay::attention::cuda
