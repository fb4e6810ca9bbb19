#include "harness/environment.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

namespace assay::harness {
namespace {
namespace fs = std::filesystem;

// A planted /proc and /sys, gone with the test.
class PlantedMachine {
 public:
  PlantedMachine() {
    std::string name = (fs::temp_directory_path() / "assay-machine-XXXXXX").string();
    root_ = mkdtemp(name.data());
  }
  PlantedMachine(const PlantedMachine&) = delete;
  PlantedMachine& operator=(const PlantedMachine&) = delete;
  ~PlantedMachine() { fs::remove_all(root_); }
  PlantedMachine& file(const std::string& path, const std::string& content) {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << content << "\n";
    return *this;
  }
  SystemFacts facts() const { return read_system_facts(root_.string()); }

 private:
  fs::path root_;
};

// Two packages of two cores with two threads each, on bare metal.
void plant_xeon(PlantedMachine& machine) {
  std::string cpuinfo;
  for (int cpu = 0; cpu < 8; ++cpu) {
    cpuinfo +=
        "processor\t: " + std::to_string(cpu) +
        "\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 143\nmodel name\t: Intel(R) Xeon(R) Platinum 8480+\n"
        "stepping\t: 8\nmicrocode\t: 0x2b000461\ncpu MHz\t\t: 2000.000\n"
        "flags\t\t: fpu vme avx2 avx512f avx512_bf16 amx_bf16 amx_tile amx_int8 constant_tsc\n\n";
    const std::string at = "sys/devices/system/cpu/cpu" + std::to_string(cpu);
    const int core = cpu % 4;
    machine.file(at + "/topology/physical_package_id", std::to_string(core / 2));
    machine.file(at + "/topology/core_id", std::to_string(core % 2));
    machine.file(at + "/cache/index0/level", "1").file(at + "/cache/index0/type", "Data");
    machine.file(at + "/cache/index0/size", "48K");
    machine.file(at + "/cache/index0/shared_cpu_list", std::to_string(core) + "," + std::to_string(core + 4));
    machine.file(at + "/cache/index1/level", "3").file(at + "/cache/index1/type", "Unified");
    machine.file(at + "/cache/index1/size", "107520K");
    machine.file(at + "/cache/index1/shared_cpu_list", core / 2 == 0 ? "0-1,4-5" : "2-3,6-7");
  }
  machine.file("proc/cpuinfo", cpuinfo)
      .file("sys/devices/system/cpu/online", "0-7")
      .file("sys/devices/system/cpu/smt/active", "1")
      .file("sys/devices/system/node/online", "0-1")
      .file("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "powersave")
      .file("sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "3100000")
      .file("sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq", "3800000")
      .file("sys/devices/system/cpu/intel_pstate/no_turbo", "0")
      .file("proc/meminfo",
            "MemTotal: 528000000 kB\nMemAvailable: 400000000 kB\nSwapTotal: 1048576 kB\nSwapFree: 1048576 kB\n"
            "HugePages_Total: 16\nHugePages_Free: 4\nHugepagesize: 2048 kB")
      .file("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never")
      .file("proc/sys/kernel/hostname", "node7")
      .file("proc/loadavg", "0.10 0.20 0.30 1/500 1234")
      .file("proc/stat", "cpu  100 0 100 9800 0 0 0 0 0 0");
}

bool warns(const std::vector<NoiseWarning>& warnings, const std::string& part) {
  return std::any_of(warnings.begin(), warnings.end(),
                     [&](const NoiseWarning& warning) { return warning.what.find(part) != std::string::npos; });
}

TEST(SystemFacts, TellsCoresFromThreadsAndCountsSharedCachesOnce) {
  PlantedMachine machine;
  plant_xeon(machine);
  const SystemFacts facts = machine.facts();
  EXPECT_EQ(facts.cpu, "Intel(R) Xeon(R) Platinum 8480+");
  EXPECT_EQ(facts.cpu_signature, "6-143-8");
  EXPECT_EQ(facts.logical_cores, 8);
  EXPECT_EQ(facts.physical_cores, 4);
  EXPECT_EQ(facts.sockets, 2);
  EXPECT_EQ(facts.smt, true);
  EXPECT_EQ(facts.numa_nodes, 2);
  ASSERT_EQ(facts.caches.size(), 2U);
  EXPECT_EQ(facts.caches[0].bytes, 48 * 1024);
  EXPECT_EQ(facts.caches[0].instances, 4);
  EXPECT_EQ(facts.caches[1].bytes, 105 * 1024 * 1024);
  EXPECT_EQ(facts.caches[1].instances, 2);
}

TEST(SystemFacts, KeepsTheFlagsThatChooseAKernel) {
  PlantedMachine machine;
  plant_xeon(machine);
  const std::vector<std::string> expected = {"amx_bf16",    "amx_int8", "amx_tile",    "avx2",
                                             "avx512_bf16", "avx512f",  "constant_tsc"};
  EXPECT_EQ(machine.facts().cpu_flags, expected);
}

TEST(SystemFacts, ReadsClocksMemoryAndHugePages) {
  PlantedMachine machine;
  plant_xeon(machine);
  const SystemFacts facts = machine.facts();
  EXPECT_EQ(facts.governor, "powersave");
  EXPECT_EQ(facts.current_hz, 3.1e9);
  EXPECT_EQ(facts.max_hz, 3.8e9);
  EXPECT_EQ(facts.turbo, true);
  EXPECT_EQ(facts.memory_bytes, 528000000LL * 1024);
  EXPECT_EQ(facts.swap_used_bytes, 0);
  EXPECT_EQ(facts.transparent_huge_pages, "madvise");
  EXPECT_EQ(facts.huge_pages_total, 16);
  EXPECT_EQ(facts.huge_pages_free, 4);
}

TEST(SystemFacts, WhatCannotBeReadIsEmptyNotGuessed) {
  const PlantedMachine nothing;
  const SystemFacts facts = nothing.facts();
  EXPECT_EQ(facts.logical_cores, 0);
  EXPECT_FALSE(facts.turbo.has_value());
  EXPECT_FALSE(facts.smt.has_value());
  EXPECT_FALSE(facts.load_1.has_value());
  EXPECT_FALSE(facts.cpu_quota.has_value());
  EXPECT_TRUE(facts.governor.empty());
  EXPECT_TRUE(facts.gpus.empty());
}

TEST(SystemFacts, TheTightestLimitOfNestedControlGroupsBinds) {
  PlantedMachine machine;
  machine.file("proc/self/cgroup", "0::/pod/container")
      .file("sys/fs/cgroup/pod/container/cpu.max", "max 100000")
      .file("sys/fs/cgroup/pod/container/memory.max", "8589934592")
      .file("sys/fs/cgroup/pod/cpu.max", "150000 100000")
      .file("sys/fs/cgroup/pod/memory.max", "max");
  EXPECT_EQ(machine.facts().cpu_quota, 1.5);
  EXPECT_EQ(machine.facts().memory_limit_bytes, 8589934592);
}

TEST(SystemFacts, ReadsLimitsOfVersionOneControlGroups) {
  PlantedMachine machine;
  machine.file("proc/self/cgroup", "4:memory:/box\n1:cpu:/box")
      .file("sys/fs/cgroup/cpu/box/cpu.cfs_quota_us", "200000")
      .file("sys/fs/cgroup/cpu/box/cpu.cfs_period_us", "100000")
      .file("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1")
      .file("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000")
      .file("sys/fs/cgroup/memory/box/memory.limit_in_bytes", "9223372036854771712");
  EXPECT_EQ(machine.facts().cpu_quota, 2.0);
  EXPECT_FALSE(machine.facts().memory_limit_bytes.has_value());
}

TEST(SystemFacts, ListsGpusAndTheDriverOfTheKernelModule) {
  PlantedMachine machine;
  machine
      .file("proc/driver/nvidia/version",
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024")
      .file("proc/driver/nvidia/gpus/0000:04:00.0/information",
            "Model: \t\t NVIDIA H100 80GB HBM3\nGPU UUID: \t GPU-12");
  const SystemFacts facts = machine.facts();
  EXPECT_EQ(facts.nvidia_driver, "550.54.15");
  ASSERT_EQ(facts.gpus.size(), 1U);
  EXPECT_EQ(facts.gpus[0].name, "NVIDIA H100 80GB HBM3");
  EXPECT_EQ(facts.gpus[0].uuid, "GPU-12");
}

TEST(SystemFacts, StolenTimeIsAShareOfAllTime) {
  PlantedMachine machine;
  machine.file("proc/stat", "cpu  100 0 100 700 0 0 0 100 0 0");
  EXPECT_EQ(machine.facts().steal_share, 0.1);
}

TEST(Machine, IdIsStableOverRunsAndKernelUpdates) {
  PlantedMachine machine;
  plant_xeon(machine);
  const auto before = machine_record(machine.facts());
  machine.file("proc/loadavg", "7.00 0.20 0.30 1/500 1234")
      .file("proc/sys/kernel/osrelease", "6.8.0")
      .file("sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "800000");
  EXPECT_EQ(machine_record(machine.facts()).id, before.id);
}

TEST(Machine, IdChangesWithTheHardware) {
  PlantedMachine machine;
  plant_xeon(machine);
  const auto before = machine_record(machine.facts());
  machine.file("sys/devices/system/cpu/online", "0-6");
  EXPECT_NE(machine_record(machine.facts()).id, before.id);
}

TEST(Machine, IdHoldsTheHostNameOnlyOutsideContainers) {
  SystemFacts one;
  one.host = "a1b2c3";
  SystemFacts other = one;
  other.host = "d4e5f6";
  EXPECT_NE(machine_record(one).id, machine_record(other).id);
  one.container = other.container = "docker";
  EXPECT_EQ(machine_record(one).id, machine_record(other).id);
}

TEST(Machine, FactsAreJsonWithTheGpuMemory) {
  SystemFacts facts;
  facts.gpus.push_back({"NVIDIA H200", "GPU-1", 141LL << 30});
  const auto parsed = nlohmann::json::parse(machine_record(facts).facts_json);
  EXPECT_EQ(parsed.at("gpus").at(0).at("memory_bytes"), 141LL << 30);
}

TEST(Machine, ThisOneHasCoresAndMemory) {
  const auto here = capture_machine();
  EXPECT_GE(here.cores, 1);
  EXPECT_GT(here.memory_bytes, 0);
  EXPECT_FALSE(here.cpu.empty());
  EXPECT_EQ(here.id, capture_machine().id);
}

TEST(Build, NamesCompilerFlagsAndLibraryVersions) {
  const auto build = capture_build();
  EXPECT_EQ(build.compiler.rfind("Clang 16", 0), 0U) << build.compiler;
  EXPECT_NE(build.flags.find("-O"), std::string::npos) << build.flags;
  const auto facts = nlohmann::json::parse(build.facts_json);
  EXPECT_FALSE(facts.at("libraries").at("benchmark").get<std::string>().empty());
  EXPECT_FALSE(facts.at("libraries").at("sqlite").get<std::string>().empty());
}

TEST(Environment, IsOneJsonObjectWithTheWarningsInForce) {
  PlantedMachine machine;
  plant_xeon(machine);
  const auto environment = nlohmann::json::parse(environment_json(machine.facts()));
  EXPECT_EQ(environment.at("schema_version"), 1);
  EXPECT_EQ(environment.at("governor"), "powersave");
  EXPECT_EQ(environment.at("load").at(0), 0.10);
  EXPECT_EQ(environment.at("warnings").size(), noise_warnings(machine.facts()).size());
}

TEST(NoiseWarnings, NameTheGovernorTurboSmtAndNuma) {
  PlantedMachine machine;
  plant_xeon(machine);
  const auto warnings = noise_warnings(machine.facts());
  EXPECT_TRUE(warns(warnings, "governor is powersave"));
  EXPECT_TRUE(warns(warnings, "turbo"));
  EXPECT_TRUE(warns(warnings, "SMT"));
  EXPECT_TRUE(warns(warnings, "2 NUMA nodes"));
  EXPECT_FALSE(warns(warnings, "virtual machine"));
  EXPECT_FALSE(warns(warnings, "load average"));
}

TEST(NoiseWarnings, AreSilentOnAPreparedMachine) {
  PlantedMachine machine;
  plant_xeon(machine);
  machine.file("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance")
      .file("sys/devices/system/cpu/intel_pstate/no_turbo", "1")
      .file("sys/devices/system/cpu/smt/active", "0")
      .file("sys/devices/system/node/online", "0");
  auto warnings = noise_warnings(machine.facts());
  // The build of this test may be a debug one; that is about the build, not about the machine.
  std::erase_if(warnings, [](const NoiseWarning& warning) {
    return warning.what.find("build") != std::string::npos || warning.what.find("built") != std::string::npos;
  });
  EXPECT_TRUE(warnings.empty()) << warnings.front().what;
}

TEST(NoiseWarnings, EachSaysWhyAndAQuotaNamesTheCores) {
  SystemFacts facts;
  facts.logical_cores = 4;
  facts.cpu_quota = 1.5;
  facts.load_1 = 3.0;
  facts.hypervisor = "KVM";
  const auto warnings = noise_warnings(facts);
  EXPECT_TRUE(warns(warnings, "grants 1.5 of 4 cores"));
  EXPECT_TRUE(warns(warnings, "load average 3.00 on 4 cores"));
  EXPECT_TRUE(warns(warnings, "virtual machine (KVM)"));
  for (const NoiseWarning& warning : warnings) EXPECT_FALSE(warning.why.empty()) << warning.what;
}

}  // namespace
}  // namespace assay::harness
