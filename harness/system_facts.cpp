#include "harness/system_facts.h"

#include <fmt/format.h>
#include <sched.h>
#include <sys/utsname.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <utility>

#include "harness/nvidia_driver.h"
#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#endif

namespace assay::harness {
namespace {
namespace fs = std::filesystem;

std::string trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return std::string(text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1));
}

std::string read_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return trimmed(line);
}

std::optional<double> number_of(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end == text.data()) return std::nullopt;
  return value;
}

std::optional<double> read_number(const std::string& path) { return number_of(read_line(path)); }

std::int64_t whole(const std::optional<double>& value) { return value ? static_cast<std::int64_t>(*value) : 0; }

// "0-3,8" -> 0 1 2 3 8
std::vector<int> cpu_list(std::string_view text) {
  std::vector<int> cpus;
  std::stringstream ranges{std::string(text)};
  for (std::string range; std::getline(ranges, range, ',');) {
    const auto dash = range.find('-');
    const auto first = number_of(std::string_view(range).substr(0, dash));
    const auto last = dash == std::string::npos ? first : number_of(std::string_view(range).substr(dash + 1));
    if (!first || !last) continue;
    for (int cpu = static_cast<int>(*first); cpu <= static_cast<int>(*last); ++cpu) cpus.push_back(cpu);
  }
  return cpus;
}

// "32768K" -> bytes
std::int64_t cache_bytes(const std::string& text) {
  const auto value = number_of(text);
  if (!value) return 0;
  const double scale = text.back() == 'K' ? 1024.0 : text.back() == 'M' ? 1024.0 * 1024.0 : 1.0;
  return static_cast<std::int64_t>(*value * scale);
}

// The flags that choose a kernel or make a clock usable; the other hundred would only bloat every row.
constexpr std::array telling_flags = {
    "sse4_2",   "avx",      "avx2",        "fma",          "f16c",        "avx512f",  "avx512bw",
    "avx512vl", "avx512dq", "avx512_vnni", "avx512_bf16",  "avx512_fp16", "avx_vnni", "amx_tile",
    "amx_bf16", "amx_int8", "amx_fp16",    "constant_tsc", "nonstop_tsc", "asimd",    "asimddp",
    "asimdhp",  "bf16",     "i8mm",        "sve",          "sve2",        "sme",
};

std::string hypervisor_name(const std::string& root) {
  std::string name = trimmed(read_line(root + "/sys/class/dmi/id/sys_vendor") + " " +
                             read_line(root + "/sys/class/dmi/id/product_name"));
#if defined(__x86_64__) || defined(__i386__)
  if (name.empty() && root.empty()) {
    unsigned eax = 0;
    std::array<unsigned, 3> vendor{};
    __cpuid(0x40000000, eax, vendor[0], vendor[1], vendor[2]);
    for (const unsigned word : vendor)
      for (int shift = 0; shift < 32; shift += 8)
        if (const char letter = static_cast<char>((word >> shift) & 0xff); letter != '\0') name += letter;
  }
#endif
  // The signatures of cpuid leaf 0x40000000 that are no names.
  constexpr std::array<std::pair<const char*, const char*>, 4> signatures = {
      {{"KVMKVMKVM", "KVM"}, {"VMwareVMware", "VMware"}, {"XenVMMXenVMM", "Xen"}, {"Microsoft Hv", "Hyper-V"}}};
  for (const auto& [signature, known] : signatures)
    if (name == signature) return known;
  return name.empty() ? "unknown" : name;
}

void read_processor(const std::string& root, SystemFacts& facts) {
  std::ifstream file(root + "/proc/cpuinfo");
  std::string family, model, stepping, package;
  int listed = 0;
  bool virtual_machine = false;
  std::set<std::pair<std::string, std::string>> cores;
  for (std::string line; std::getline(file, line);) {
    const auto colon = line.find(':');
    if (colon == std::string::npos) continue;
    const std::string key = trimmed(std::string_view(line).substr(0, colon));
    const std::string value = trimmed(std::string_view(line).substr(colon + 1));
    if (key == "processor") ++listed;
    if (key == "physical id") package = value;
    if (key == "core id") cores.emplace(package, value);
    if (listed > 1) continue;
    if (key == "model name") facts.cpu = value;
    if (key == "vendor_id") facts.cpu_vendor = value;
    if (key == "CPU implementer" && facts.cpu_vendor.empty()) facts.cpu_vendor = "ARM implementer " + value;
    if (key == "CPU part" && facts.cpu.empty()) facts.cpu = facts.cpu_vendor + " part " + value;
    if (key == "cpu family") family = value;
    if (key == "model") model = value;
    if (key == "stepping") stepping = value;
    if (key == "microcode") facts.microcode = value;
    if (key == "cpu MHz") facts.current_hz = number_of(value).value_or(0) * 1e6;
    if (key == "flags" || key == "Features") {
      std::stringstream words(value);
      for (std::string word; words >> word;) {
        if (word == "hypervisor") virtual_machine = true;
        if (std::find(telling_flags.begin(), telling_flags.end(), word) != telling_flags.end())
          facts.cpu_flags.push_back(word);
      }
      std::sort(facts.cpu_flags.begin(), facts.cpu_flags.end());
    }
  }
  if (!family.empty()) facts.cpu_signature = fmt::format("{}-{}-{}", family, model, stepping);
  if (virtual_machine) facts.hypervisor = hypervisor_name(root);

  const std::string cpus = root + "/sys/devices/system/cpu/";
  const std::vector<int> online = cpu_list(read_line(cpus + "online"));
  facts.logical_cores = online.empty() ? listed : static_cast<int>(online.size());
  std::set<std::string> packages;
  std::set<std::pair<std::string, std::string>> topology;
  for (const int cpu : online) {
    const std::string at = fmt::format("{}cpu{}/topology/", cpus, cpu);
    const std::string core = read_line(at + "core_id");
    if (core.empty()) continue;
    packages.insert(read_line(at + "physical_package_id"));
    topology.emplace(read_line(at + "physical_package_id"), core);
  }
  facts.physical_cores = static_cast<int>(topology.empty() ? cores.size() : topology.size());
  facts.sockets = static_cast<int>(packages.size());
  if (const std::string active = read_line(cpus + "smt/active"); !active.empty())
    facts.smt = active == "1";
  else if (facts.physical_cores > 0)
    facts.smt = facts.logical_cores > facts.physical_cores;

  std::set<std::string> seen;
  for (const int cpu : online) {
    for (int index = 0;; ++index) {
      const std::string at = fmt::format("{}cpu{}/cache/index{}/", cpus, cpu, index);
      const std::string level = read_line(at + "level");
      if (level.empty()) break;
      CpuCache cache{static_cast<int>(whole(number_of(level))), read_line(at + "type"),
                     cache_bytes(read_line(at + "size")), 1};
      const std::string shared = read_line(at + "shared_cpu_list");
      if (!seen.insert(fmt::format("{} {} {}", cache.level, cache.type, shared)).second) continue;
      const auto known = std::find_if(facts.caches.begin(), facts.caches.end(), [&](const CpuCache& held) {
        return held.level == cache.level && held.type == cache.type && held.bytes == cache.bytes;
      });
      if (known == facts.caches.end())
        facts.caches.push_back(std::move(cache));
      else
        ++known->instances;
    }
  }
  facts.numa_nodes = static_cast<int>(cpu_list(read_line(root + "/sys/devices/system/node/online")).size());
}

void read_clocks(const std::string& root, SystemFacts& facts) {
  const std::string cpus = root + "/sys/devices/system/cpu/";
  const std::string first = cpus + "cpu0/cpufreq/";
  facts.governor = read_line(first + "scaling_governor");
  facts.frequency_driver = read_line(first + "scaling_driver");
  const auto hertz = [&](const char* name) -> std::optional<double> {
    const auto khz = read_number(first + name);
    return khz ? std::optional(*khz * 1e3) : std::nullopt;
  };
  facts.min_hz = hertz("cpuinfo_min_freq");
  facts.max_hz = hertz("cpuinfo_max_freq");
  if (const auto now = hertz("scaling_cur_freq")) facts.current_hz = now;
  if (const auto off = read_number(cpus + "intel_pstate/no_turbo"))
    facts.turbo = *off == 0;
  else if (const auto boost = read_number(cpus + "cpufreq/boost"))
    facts.turbo = *boost != 0;

  std::error_code none;
  for (const auto& supply : fs::directory_iterator(root + "/sys/class/power_supply", none))
    if (read_line(supply.path() / "type") == "Mains") facts.on_battery = read_line(supply.path() / "online") == "0";
}

void read_memory(const std::string& root, SystemFacts& facts) {
  std::ifstream file(root + "/proc/meminfo");
  std::int64_t swap_total = 0;
  std::int64_t swap_free = 0;
  for (std::string line; std::getline(file, line);) {
    std::stringstream words(line);
    std::string key, unit;
    std::int64_t value = 0;
    words >> key >> value >> unit;
    const std::int64_t amount = unit == "kB" ? value * 1024 : value;
    if (key == "MemTotal:") facts.memory_bytes = amount;
    if (key == "MemAvailable:") facts.memory_available_bytes = amount;
    if (key == "SwapTotal:") swap_total = amount;
    if (key == "SwapFree:") swap_free = amount;
    if (key == "Hugepagesize:") facts.huge_page_bytes = amount;
    if (key == "HugePages_Total:") facts.huge_pages_total = amount;
    if (key == "HugePages_Free:") facts.huge_pages_free = amount;
  }
  facts.swap_used_bytes = swap_total - swap_free;
  // "always [madvise] never": the bracketed word is in force
  const std::string modes = read_line(root + "/sys/kernel/mm/transparent_hugepage/enabled");
  const auto open = modes.find('[');
  const auto close = modes.find(']');
  if (open != std::string::npos && close != std::string::npos)
    facts.transparent_huge_pages = modes.substr(open + 1, close - open - 1);
}

// Every limit on the way from this process's control group to the root binds; the tightest one is what it gets.
void read_limits(const std::string& root, SystemFacts& facts) {
  const auto tighten_quota = [&](const std::optional<double>& quota, const std::optional<double>& period) {
    if (!quota || !period || *quota <= 0 || *period <= 0) return;
    const double cores = *quota / *period;
    facts.cpu_quota = std::min(facts.cpu_quota.value_or(cores), cores);
  };
  const auto tighten_memory = [&](const std::optional<double>& limit) {
    constexpr double unlimited = 1e18;  // version 1 writes LONG_MAX rounded to pages
    if (!limit || *limit >= unlimited) return;
    const auto bytes = static_cast<std::int64_t>(*limit);
    facts.memory_limit_bytes = std::min(facts.memory_limit_bytes.value_or(bytes), bytes);
  };
  std::ifstream groups(root + "/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const auto second = line.find(':', line.find(':') + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(line.find(':') + 1, second - line.find(':') - 1);
    const std::string below = line.substr(second + 1);
    for (fs::path group = below;; group = group.parent_path()) {
      const std::string inner = group == "/" ? "" : group.string();
      if (controllers.empty()) {
        const std::string at = root + "/sys/fs/cgroup" + inner;
        std::stringstream limit(read_line(at + "/cpu.max"));
        std::string quota, period;
        limit >> quota >> period;
        tighten_quota(number_of(quota), number_of(period));
        tighten_memory(read_number(at + "/memory.max"));
      } else {
        const std::string at = root + "/sys/fs/cgroup/" + controllers + inner;
        tighten_quota(read_number(at + "/cpu.cfs_quota_us"), read_number(at + "/cpu.cfs_period_us"));
        tighten_memory(read_number(at + "/memory.limit_in_bytes"));
      }
      if (inner.empty() || !group.has_parent_path() || group == group.parent_path()) break;
    }
  }
}

void read_system(const std::string& root, SystemFacts& facts) {
  facts.kernel = read_line(root + "/proc/sys/kernel/osrelease");
  facts.host = read_line(root + "/proc/sys/kernel/hostname");
  std::ifstream release(root + "/etc/os-release");
  for (std::string line; std::getline(release, line);) {
    if (!line.starts_with("PRETTY_NAME=")) continue;
    facts.distribution = line.substr(line.find('=') + 1);
    std::erase(facts.distribution, '"');
  }
  std::error_code none;
  if (fs::exists(root + "/.dockerenv", none)) facts.container = "docker";
  if (fs::exists(root + "/run/.containerenv", none)) facts.container = "podman";
  if (const std::string named = read_line(root + "/run/systemd/container"); !named.empty()) facts.container = named;
  if (root.empty() && std::getenv("KUBERNETES_SERVICE_HOST") != nullptr) facts.container = "kubernetes";

  std::stringstream load(read_line(root + "/proc/loadavg"));
  std::array<double, 3> averages{};
  if (load >> averages[0] >> averages[1] >> averages[2]) {
    facts.load_1 = averages[0];
    facts.load_5 = averages[1];
    facts.load_15 = averages[2];
  }
  // cpu user nice system idle iowait irq softirq steal
  std::stringstream stat(read_line(root + "/proc/stat"));
  std::string label;
  stat >> label;
  double total = 0;
  double steal = 0;
  double ticks = 0;
  for (int field = 0; field < 8 && stat >> ticks; ++field) {
    total += ticks;
    if (field == 7) steal = ticks;
  }
  if (total > 0) facts.steal_share = steal / total;
  if (const auto paranoid = read_number(root + "/proc/sys/kernel/perf_event_paranoid"))
    facts.perf_event_paranoid = static_cast<int>(*paranoid);
}

void read_gpus(const std::string& root, SystemFacts& facts) {
  // "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar ..."
  std::stringstream version(read_line(root + "/proc/driver/nvidia/version"));
  for (std::string word; facts.nvidia_driver.empty() && version >> word;)
    if (word.find('.') != std::string::npos && number_of(word)) facts.nvidia_driver = word;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(root + "/proc/driver/nvidia/gpus", none)) {
    std::ifstream information(entry.path() / "information");
    Gpu gpu;
    for (std::string line; std::getline(information, line);) {
      const auto colon = line.find(':');
      if (line.starts_with("Model:")) gpu.name = trimmed(std::string_view(line).substr(colon + 1));
      if (line.starts_with("GPU UUID:")) gpu.uuid = trimmed(std::string_view(line).substr(colon + 1));
    }
    facts.gpus.push_back(std::move(gpu));
  }
  if (!root.empty()) return;
  NvidiaDriver driver = query_nvidia_driver();
  if (!driver.version.empty()) facts.nvidia_driver = driver.version;
  if (!driver.gpus.empty()) facts.gpus = std::move(driver.gpus);
}

}  // namespace

SystemFacts read_system_facts(const std::string& root) {
  SystemFacts facts;
  read_processor(root, facts);
  read_clocks(root, facts);
  read_memory(root, facts);
  read_limits(root, facts);
  read_system(root, facts);
  read_gpus(root, facts);
  if (facts.cpu.empty()) {
    utsname name{};
    if (uname(&name) == 0) facts.cpu = name.machine;
  }
  facts.usable_cores = facts.logical_cores;
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (root.empty() && sched_getaffinity(0, sizeof allowed, &allowed) == 0) facts.usable_cores = CPU_COUNT(&allowed);
  if (facts.cpu_quota) facts.usable_cores = std::min(facts.usable_cores, static_cast<int>(std::ceil(*facts.cpu_quota)));
  return facts;
}

}  // namespace assay::harness
