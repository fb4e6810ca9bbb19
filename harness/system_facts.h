#pragma once
// What the kernel says about the machine a run is on: /proc, /sys and a few system calls, as plain values. What cannot
// be read is empty (nullopt, "", 0 entries), never guessed.
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace assay::harness {

struct CpuCache {
  int level = 0;
  std::string type;        // Data | Instruction | Unified
  std::int64_t bytes = 0;  // of one instance
  int instances = 0;       // distinct ones over the online CPUs
};

// What a GPU's driver says of it at one moment.
struct GpuState {
  std::optional<double> sm_hz, memory_hz;
  std::optional<double> watts;
  std::optional<double> celsius;
  std::optional<double> joules;           // since the driver was loaded
  std::optional<std::uint64_t> throttle;  // bits of harness/nvidia_driver.h
};

struct Gpu {
  std::string name;
  std::string uuid;
  std::int64_t memory_bytes = 0;
  std::optional<double> max_sm_hz = {}, max_memory_hz = {};
  std::optional<double> limit_watts = {};
  GpuState state = {};
};

struct SystemFacts {
  // processor
  std::string cpu;            // "AMD EPYC 9654 96-Core Processor"
  std::string cpu_vendor;     // AuthenticAMD | GenuineIntel | ARM ...
  std::string cpu_signature;  // family-model-stepping
  std::string microcode;
  std::vector<std::string> cpu_flags;  // those that choose a kernel: avx2 avx512f avx512_bf16 amx_tile amx_bf16 ...
  int logical_cores = 0;               // online CPUs
  int physical_cores = 0;              // distinct (package, core); 0 where the topology is hidden
  int sockets = 0;
  int usable_cores = 0;     // CPUs this process may run on (affinity), and the CPU quota rounded up
  std::optional<bool> smt;  // two threads a core
  std::vector<CpuCache> caches;
  int numa_nodes = 0;

  // clocks
  std::string governor;  // "" where the kernel shows no cpufreq
  std::string frequency_driver;
  std::optional<double> min_hz, max_hz, current_hz;
  std::optional<bool> turbo;

  // memory
  std::int64_t memory_bytes = 0;
  std::int64_t memory_available_bytes = 0;
  std::int64_t swap_used_bytes = 0;
  std::string transparent_huge_pages;  // always | madvise | never
  std::int64_t huge_page_bytes = 0;
  std::int64_t huge_pages_total = 0;
  std::int64_t huge_pages_free = 0;

  // system
  std::string host;
  std::string kernel;
  std::string distribution;
  std::string hypervisor;  // "" on bare metal
  std::string container;   // "" outside; docker | podman | lxc | kubernetes ...
  std::optional<double> load_1, load_5, load_15;
  std::optional<double> steal_share;  // of all CPU time since boot, taken by the hypervisor
  std::optional<double> cpu_quota;    // cores the control group grants
  std::optional<std::int64_t> memory_limit_bytes;
  std::optional<int> perf_event_paranoid;
  std::optional<bool> on_battery;

  // accelerators
  std::string nvidia_driver;  // version, "" where no kernel driver is loaded
  std::vector<Gpu> gpus;
};

// Reads the files below `root` ("" for this machine; tests plant a tree). System calls (affinity, NVML) are only made
// for the real root.
SystemFacts read_system_facts(const std::string& root = "");

}  // namespace assay::harness
