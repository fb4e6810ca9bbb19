// What of the roofs can be told without a GPU: the oracle's arithmetic, and that a case says why it does not run.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>
#include <gtest/gtest.h>

#include <cmath>

#include "harness/case_state.h"
#include "harness/registry.h"
#include "impls/hardware/cuda/element_value.h"

namespace assay::hardware::cuda {
namespace {

// CUDA's own host conversions are the reference of the decoder that the oracle uses.
TEST(ElementValue, DecodesEveryPatternOfThe8And16BitTypes) {
  for (unsigned bits = 0; bits < 256; ++bits) {
    const auto raw = static_cast<__nv_fp8_storage_t>(bits);
    const double want = __half2float(__half(__nv_cvt_fp8_to_halfraw(raw, __NV_E4M3)));
    const double got = element_value(Element::e4m3, reinterpret_cast<const std::byte*>(&raw));
    if (std::isnan(want))
      EXPECT_TRUE(std::isnan(got)) << bits;
    else
      EXPECT_EQ(got, want) << bits;
  }
  for (unsigned bits = 0; bits < 65536; ++bits) {
    const auto raw = static_cast<unsigned short>(bits);
    const auto* at = reinterpret_cast<const std::byte*>(&raw);
    const double bf16 = __bfloat162float(__nv_bfloat16(__nv_bfloat16_raw{raw}));
    const double fp16 = __half2float(__half(__half_raw{raw}));
    if (!std::isnan(bf16)) EXPECT_EQ(element_value(Element::bf16, at), bf16) << bits;
    if (!std::isnan(fp16)) EXPECT_EQ(element_value(Element::fp16, at), fp16) << bits;
    EXPECT_EQ(std::isnan(element_value(Element::bf16, at)), std::isnan(bf16)) << bits;
    EXPECT_EQ(std::isnan(element_value(Element::fp16, at)), std::isnan(fp16)) << bits;
  }
  const float third = -1.0F / 3;
  EXPECT_EQ(element_value(Element::fp32, reinterpret_cast<const std::byte*>(&third)), third);
}

TEST(DrawnWord, DiffersFromWordToWordAndSeedToSeed) {
  EXPECT_NE(drawn_word(1, 0), drawn_word(1, 1));
  EXPECT_NE(drawn_word(1, 0), drawn_word(2, 0));
  double ones = 0;
  for (std::uint64_t i = 0; i < 4096; ++i) ones += __builtin_popcount(drawn_word(7, i));
  EXPECT_NEAR(ones / 4096, 16, 0.2) << "half of the bits, as of random data";
}

TEST(GpuRoofs, ListsItselfAsUnverifiedUntilItHasRun) {
  const harness::Technique& technique = harness::resolve_technique("gpu-roofs");
  ASSERT_EQ(technique.implementations.size(), 1U);
  EXPECT_EQ(technique.implementations[0].backend, "cuda");
  EXPECT_FALSE(technique.implementations[0].verified);
}

harness::Job job_of(const std::string& probe) {
  harness::Job job;
  job.kind = harness::JobKind::gate;
  job.technique = "hardware/gpu-roofs";
  job.backend = "cuda";
  job.timer = "event";
  job.params.set("probe", probe);
  job.params.set("working_set", std::int64_t{1} << 20);
  job.params.set("size", std::int64_t{512});
  job.mutant_budget_seconds = 60;
  return job;
}

// On a machine with a GPU this is the gate of every probe; elsewhere each says that there is no device.
TEST(GpuRoofs, EveryProbePassesItsGateOrSaysWhyItCannotRun) {
  for (const auto& value : harness::resolve_technique("gpu-roofs").implementations[0].axes[0].allowed) {
    const auto& probe = std::get<std::string>(value);
    const harness::Reply reply = harness::run_job(job_of(probe));
    if (reply.status == results_db::Status::ok) {
      EXPECT_EQ(reply.gate.mutants_caught, reply.gate.mutants_total) << probe;
      EXPECT_GT(reply.gate.mutants_total, 0) << probe;
    } else {
      ASSERT_EQ(reply.status, results_db::Status::skipped) << probe << ": " << reply.reason;
      EXPECT_TRUE(reply.reason.starts_with("no ") || reply.reason.starts_with("sm_") ||
                  reply.reason.starts_with("cuBLAS"))
          << reply.reason;
    }
  }
}

TEST(GpuRoofs, RefusesSizesItCannotRun) {
  harness::Job job = job_of("copy");
  job.params.set("working_set", std::int64_t{4097});
  EXPECT_TRUE(harness::run_job(job).user_error);
  job = job_of("gemm-bf16");
  job.params.set("size", std::int64_t{300});
  EXPECT_TRUE(harness::run_job(job).user_error);
}

}  // namespace
}  // namespace assay::hardware::cuda
