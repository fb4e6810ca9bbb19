#include "harness/environment.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <string_view>

#include "build_commit.h"
#include "build_config.h"
#include "datasets/content_hash.h"

namespace assay::harness {
namespace {
using nlohmann::json;

template <typename T>
void put(json& object, const char* key, const std::optional<T>& value) {
  if (value) object[key] = *value;
}
void put(json& object, const char* key, const std::string& value) {
  if (!value.empty()) object[key] = value;
}

json caches_json(const SystemFacts& facts) {
  json caches = json::array();
  for (const CpuCache& cache : facts.caches)
    caches.push_back(
        {{"level", cache.level}, {"type", cache.type}, {"bytes", cache.bytes}, {"instances", cache.instances}});
  return caches;
}

json gpus_json(const SystemFacts& facts) {
  json gpus = json::array();
  for (const Gpu& gpu : facts.gpus)
    gpus.push_back({{"name", gpu.name}, {"uuid", gpu.uuid}, {"memory_bytes", gpu.memory_bytes}});
  return gpus;
}

}  // namespace

results_db::MachineRecord machine_record(const SystemFacts& facts) {
  json identity = {
      {"cpu", facts.cpu},
      {"signature", facts.cpu_signature},
      {"flags", facts.cpu_flags},
      {"logical_cores", facts.logical_cores},
      {"physical_cores", facts.physical_cores},
      {"caches", caches_json(facts)},
      {"numa_nodes", facts.numa_nodes},
      // A kernel keeps back a little more or less memory from version to version.
      {"memory_gib", std::llround(static_cast<double>(facts.memory_bytes) / (1024.0 * 1024.0 * 1024.0))},
      {"hypervisor", facts.hypervisor},
      {"gpus", json::array()},
  };
  for (const Gpu& gpu : facts.gpus) identity["gpus"].push_back(gpu.name);
  if (facts.container.empty()) identity["host"] = facts.host;

  json all = identity;
  all["gpus"] = gpus_json(facts);
  all["sockets"] = facts.sockets;
  put(all, "host", facts.host);
  put(all, "vendor", facts.cpu_vendor);
  put(all, "smt", facts.smt);
  put(all, "min_hz", facts.min_hz);
  put(all, "max_hz", facts.max_hz);
  put(all, "container", facts.container);
  put(all, "distribution", facts.distribution);
  put(all, "nvidia_driver", facts.nvidia_driver);

  results_db::MachineRecord machine;
  machine.id = datasets::content_hash(identity.dump());
  machine.name = facts.host;
  machine.cpu = facts.cpu;
  machine.cores = facts.logical_cores;
  machine.memory_bytes = facts.memory_bytes;
  machine.facts_json = all.dump();
  return machine;
}

results_db::MachineRecord capture_machine() { return machine_record(read_system_facts()); }

results_db::BuildRecord capture_build() {
  const json libraries = {{"benchmark", build::benchmark}, {"fmt", build::fmt},
                          {"highway", build::highway},     {"sqlite", build::sqlite},
                          {"toml++", build::tomlplusplus}, {"onednn", build::onednn}};
  const json facts = {{"version", build::version},
                      {"type", build::type},
                      {"target", build::target},
                      {"libraries", libraries},
                      {"cuda_toolkit", build::cuda_toolkit}};
  results_db::BuildRecord record;
  record.commit = build::commit;
  record.dirty = build::dirty;
  record.compiler = build::compiler;
  record.flags = build::flags;
  record.facts_json = facts.dump();
  record.id = datasets::content_hash(
      fmt::format("{}\n{}\n{}\n{}\n{}", record.commit, record.dirty, record.compiler, record.flags, record.facts_json));
  return record;
}

std::string environment_json(const SystemFacts& facts) {
  json out = {{"schema_version", 1},
              {"kernel", facts.kernel},
              {"usable_cores", facts.usable_cores},
              {"memory_available_bytes", facts.memory_available_bytes},
              {"swap_used_bytes", facts.swap_used_bytes},
              {"huge_pages",
               {{"bytes", facts.huge_page_bytes},
                {"total", facts.huge_pages_total},
                {"free", facts.huge_pages_free},
                {"transparent", facts.transparent_huge_pages}}}};
  put(out, "microcode", facts.microcode);
  put(out, "governor", facts.governor);
  put(out, "frequency_driver", facts.frequency_driver);
  put(out, "current_hz", facts.current_hz);
  put(out, "turbo", facts.turbo);
  put(out, "hypervisor", facts.hypervisor);
  put(out, "container", facts.container);
  put(out, "steal_share", facts.steal_share);
  put(out, "cpu_quota", facts.cpu_quota);
  put(out, "memory_limit_bytes", facts.memory_limit_bytes);
  put(out, "perf_event_paranoid", facts.perf_event_paranoid);
  put(out, "on_battery", facts.on_battery);
  put(out, "nvidia_driver", facts.nvidia_driver);
  if (facts.load_1) out["load"] = {*facts.load_1, *facts.load_5, *facts.load_15};
  json warnings = json::array();
  for (const NoiseWarning& warning : noise_warnings(facts)) warnings.push_back(warning.what);
  out["warnings"] = warnings;
  return out.dump();
}

std::string capture_environment_json() { return environment_json(read_system_facts()); }

std::vector<NoiseWarning> noise_warnings(const SystemFacts& facts) {
  std::vector<NoiseWarning> warnings;
  const auto warn = [&](std::string what, std::string why, std::string mend) {
    warnings.push_back({std::move(what), std::move(why), std::move(mend)});
  };

  if (std::string_view(build::type) != "Release")
    warn(fmt::format("this is a {} build", build::type), "own kernels are slower than the ones you want to know about",
         "cmake --preset release && cmake --build --preset release");
  if (std::string_view(build::flags).find("-fsanitize") != std::string_view::npos)
    warn("built with sanitizers", "every memory access is checked: times mean nothing", "use build/release/bin/assay");
  if (!facts.governor.empty() && facts.governor != "performance")
    warn(fmt::format("frequency governor is {}", facts.governor), "clocks ramp up during the first samples of a case",
         "sudo cpupower frequency-set -g performance");
  if (facts.governor.empty())
    warn("processor clocks cannot be read or set here",
         "drift of the clock is indistinguishable from drift of the code",
         facts.hypervisor.empty() ? "load the cpufreq driver of your processor"
                                  : "compare interleaved launches only: assay compare --live");
  if (facts.turbo.value_or(false))
    warn("turbo is on", "the clock depends on temperature and on how many cores are busy",
         facts.cpu_vendor == "GenuineIntel" ? "echo 1 | sudo tee /sys/devices/system/cpu/intel_pstate/no_turbo"
                                            : "echo 0 | sudo tee /sys/devices/system/cpu/cpufreq/boost");
  if (facts.smt.value_or(false))
    warn("two hardware threads share a core (SMT)", "a neighbour on the other thread takes up to half of a core",
         "echo off | sudo tee /sys/devices/system/cpu/smt/control");
  if (!facts.hypervisor.empty())
    warn(fmt::format("virtual machine ({})", facts.hypervisor), "neighbours on the host share caches, memory and power",
         "use bare metal or a dedicated host for numbers you publish");
  constexpr double noticeable_steal = 0.002;
  if (facts.steal_share.value_or(0) > noticeable_steal)
    warn(fmt::format("the hypervisor took {:.1f}% of the CPU time since boot", *facts.steal_share * 100),
         "stolen time shows up as outliers", "use a dedicated host, or more launches a case");
  if (facts.cpu_quota && *facts.cpu_quota < facts.logical_cores)
    warn(fmt::format("the control group grants {:.3g} of {} cores", *facts.cpu_quota, facts.logical_cores),
         "the process is stopped for the rest of each period once the quota is used",
         "give the container whole cores (docker: --cpuset-cpus instead of --cpus)");
  if (facts.logical_cores > 0 && facts.load_1.value_or(0) / facts.logical_cores > 0.25)
    warn(fmt::format("load average {:.2f} on {} cores", *facts.load_1, facts.logical_cores),
         "other processes take cores, caches and memory bandwidth", "stop them: top -o %CPU");
  if (facts.swap_used_bytes > 0)
    warn(fmt::format("{} MiB of swap in use", facts.swap_used_bytes >> 20),
         "a page that comes back from disk costs milliseconds", "free memory, then: sudo swapoff -a && sudo swapon -a");
  if (facts.numa_nodes > 1)
    warn(fmt::format("{} NUMA nodes", facts.numa_nodes),
         "memory of another node is slower, and which one you get varies",
         "numactl --cpunodebind=0 --membind=0 assay run ...");
  if (facts.transparent_huge_pages == "never")
    warn("transparent huge pages are off", "large operands miss the TLB; whether they do varies with fragmentation",
         "echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled");
  if (facts.on_battery.value_or(false))
    warn("running on battery", "power limits are lower and move", "connect mains power");
  return warnings;
}

std::vector<NoiseWarning> noise_warnings() { return noise_warnings(read_system_facts()); }

}  // namespace assay::harness
