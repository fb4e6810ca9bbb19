#include "harness/capabilities.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <stdexcept>

namespace assay::harness {
namespace {

Capability part(const std::string& name, const SystemFacts& facts, const KernelAnswers& answers) {
  const auto parts = capabilities(facts, answers);
  const auto at = std::find_if(parts.begin(), parts.end(), [&](const Capability& held) { return held.name == name; });
  if (at == parts.end()) throw std::out_of_range(name);
  return *at;
}

SystemFacts with_flags(std::vector<std::string> flags) {
  SystemFacts facts;
  facts.cpu_flags = std::move(flags);
  return facts;
}

TEST(Capabilities, AmxNeedsTheProcessorAndThePermission) {
  const SystemFacts with = with_flags({"amx_bf16", "amx_tile"});
  KernelAnswers answers;
  EXPECT_EQ(part("AMX bf16", with, answers).readiness, Readiness::ready);
  EXPECT_EQ(part("AMX bf16", with_flags({"avx512_bf16"}), answers).readiness, Readiness::absent);
  answers.amx_error = EPERM;
  const Capability refused = part("AMX bf16", with, answers);
  EXPECT_EQ(refused.readiness, Readiness::limited);
  EXPECT_FALSE(refused.mend.empty());
}

TEST(Capabilities, PerfCountersSayWhatStandsInTheWay) {
  SystemFacts facts;
  KernelAnswers answers;
  EXPECT_EQ(part("perf counters", facts, answers).readiness, Readiness::ready);
  answers.perf_error = EACCES;
  facts.perf_event_paranoid = 3;
  EXPECT_EQ(part("perf counters", facts, answers).mend, "sudo sysctl kernel.perf_event_paranoid=2");
  facts.perf_event_paranoid = 1;
  EXPECT_EQ(part("perf counters", facts, answers).mend, "start the container with --cap-add PERFMON");
  answers.perf_error = ENOENT;
  facts.hypervisor = "KVM";
  EXPECT_NE(part("perf counters", facts, answers).mend.find("PMU"), std::string::npos);
}

TEST(Capabilities, EnergyThatOnlyRootReadsIsLimitedNotAbsent) {
  KernelAnswers answers;
  answers.energy_error = EACCES;
  EXPECT_EQ(part("energy (RAPL)", {}, answers).readiness, Readiness::limited);
  answers.energy_error = ENOENT;
  EXPECT_EQ(part("energy (RAPL)", {}, answers).readiness, Readiness::absent);
}

TEST(Capabilities, AMissingGpuIsNoDevice) {
  SystemFacts facts;
  EXPECT_EQ(part("NVIDIA GPU", facts, {}).found.rfind("no device", 0), 0U);
  facts.nvidia_driver = "550.54.15";
  EXPECT_EQ(part("NVIDIA GPU", facts, {}).found, "no device: driver 550.54.15 lists none");
  facts.gpus = {{"NVIDIA H200", "GPU-1", 0}, {"NVIDIA H200", "GPU-2", 0}};
  EXPECT_EQ(part("NVIDIA GPU", facts, {}).found, "2 x NVIDIA H200, driver 550.54.15");
  EXPECT_EQ(part("NVIDIA GPU", facts, {}).readiness, Readiness::ready);
}

TEST(Capabilities, AGpuSaysItsClocksItsPowerAndWhatHoldsItDown) {
  SystemFacts facts;
  facts.nvidia_driver = "580.65.06";
  facts.gpus = {{"NVIDIA H200", "GPU-1", 0}};
  facts.gpus[0].max_sm_hz = 1980e6;
  facts.gpus[0].limit_watts = 700;
  facts.gpus[0].state.sm_hz = 1410e6;
  facts.gpus[0].state.watts = 699.6;
  facts.gpus[0].state.throttle = 0x4;
  EXPECT_EQ(part("NVIDIA GPU", facts, {}).found,
            "1 x NVIDIA H200, driver 580.65.06, 1410 of 1980 MHz, 700 of 700 W, held down by power cap");
}

TEST(Capabilities, AGpuThatCudaCannotUseIsLimited) {
  SystemFacts facts;
  facts.nvidia_driver = "535.1";
  facts.gpus = {{"NVIDIA H200", "GPU-1", 0}};
  KernelAnswers answers;
  answers.no_device = "no device: the driver knows CUDA 12.2, this build needs 13.0";
  const Capability gpu = part("NVIDIA GPU", facts, answers);
  EXPECT_EQ(gpu.readiness, Readiness::limited);
  EXPECT_NE(gpu.found.find("this build needs 13.0"), std::string::npos) << gpu.found;
  EXPECT_FALSE(gpu.mend.empty());
}

TEST(Capabilities, CuptiForAdministratorsOnlyIsLimited) {
  KernelAnswers answers;
  answers.cupti = true;
  EXPECT_EQ(part("CUPTI", {}, answers).readiness, Readiness::ready);
  answers.profiling_admin_only = true;
  EXPECT_EQ(part("CUPTI", {}, answers).readiness, Readiness::limited);
  EXPECT_NE(part("CUPTI", {}, answers).mend.find("RestrictProfilingToAdminUsers=0"), std::string::npos);
}

TEST(Capabilities, MpiNeedsALauncherAndTheProgramItStarts) {
  KernelAnswers answers;
  EXPECT_EQ(part("MPI", {}, answers).readiness, Readiness::absent);
  answers.launcher = "/usr/bin/mpirun";
  EXPECT_EQ(part("MPI", {}, answers).readiness, Readiness::limited);
  EXPECT_NE(part("MPI", {}, answers).mend.find("libopenmpi-dev"), std::string::npos);
  answers.rank_program = true;
  EXPECT_EQ(part("MPI", {}, answers).readiness, Readiness::ready);
  EXPECT_TRUE(part("MPI", {}, answers).used);
  answers.launcher_problem = "ASSAY_MPIRUN: found 'x'";
  EXPECT_EQ(part("MPI", {}, answers).found, "ASSAY_MPIRUN: found 'x'");
}

TEST(Capabilities, WhatIsReadyNeedsNoMending) {
  for (const Capability& held : capabilities(read_system_facts(), ask_kernel())) {
    EXPECT_FALSE(held.found.empty()) << held.name;
    EXPECT_FALSE(held.unlocks.empty()) << held.name;
    if (held.readiness == Readiness::ready) EXPECT_TRUE(held.mend.empty()) << held.name;
  }
}

}  // namespace
}  // namespace assay::harness
