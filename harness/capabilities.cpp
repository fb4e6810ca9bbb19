#include "harness/capabilities.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/perf_event.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <stdexcept>
#include <system_error>

#include "build_config.h"
#include "datasets/user_error.h"
#include "harness/gpu/device.h"
#include "harness/gpu/library_search.h"
#include "harness/launcher.h"
#include "harness/nvidia_driver.h"
#include "harness/worker.h"

namespace assay::harness {
namespace {

constexpr const char* energy_file = "/sys/class/powercap/intel-rapl:0/energy_uj";

std::string message_of(int error) { return std::generic_category().message(error); }

int cycle_counter_error() {
  perf_event_attr attributes{};
  attributes.size = sizeof attributes;
  attributes.type = PERF_TYPE_HARDWARE;
  attributes.config = PERF_COUNT_HW_CPU_CYCLES;
  attributes.exclude_kernel = 1;
  attributes.disabled = 1;
  const auto counter = static_cast<int>(syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0UL));
  if (counter < 0) return errno;
  close(counter);
  return 0;
}

// The kernel hands out the 8 KiB of tile state only to processes that ask (Documentation/arch/x86/xstate.rst).
int tile_permission_error() {
#if defined(__x86_64__)
  constexpr int request_permission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr int tile_data = 18;               // XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, request_permission, tile_data) == 0 ? 0 : errno;
#else
  return ENODEV;
#endif
}

int read_error(const char* path) {
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return errno;
  close(file);
  return 0;
}

bool has_flag(const SystemFacts& facts, const char* flag) {
  return std::find(facts.cpu_flags.begin(), facts.cpu_flags.end(), flag) != facts.cpu_flags.end();
}

Capability amx(const SystemFacts& facts, const KernelAnswers& answers) {
  Capability part{"AMX bf16", Readiness::absent, "", "bf16 attention and GEMM on matrix tiles", ""};
  if (!has_flag(facts, "amx_bf16") || !has_flag(facts, "amx_tile")) {
    part.found = "this processor has none; the AVX-512 or portable kernels are used";
  } else if (answers.amx_error != 0) {
    part.readiness = Readiness::limited;
    part.found = "the kernel refuses the tile state: " + message_of(answers.amx_error);
    part.mend = "Linux 5.16 or newer, and a container runtime whose seccomp profile allows arch_prctl";
  } else {
    part.readiness = Readiness::ready;
    part.found = "tile state granted";
  }
  return part;
}

Capability perf(const SystemFacts& facts, const KernelAnswers& answers) {
  Capability part{"perf counters", Readiness::absent, "", "cycles, cache and TLB misses beside the times", ""};
  const int error = answers.perf_error;
  if (error == 0) {
    part.readiness = Readiness::ready;
    part.found = "cycle counter opens";
  } else if (error == EACCES || error == EPERM) {
    part.found = fmt::format("not permitted (kernel.perf_event_paranoid = {})", facts.perf_event_paranoid.value_or(-1));
    part.mend = facts.perf_event_paranoid.value_or(0) > 2 ? "sudo sysctl kernel.perf_event_paranoid=2"
                                                          : "start the container with --cap-add PERFMON";
  } else if (error == ENOSYS) {
    part.found = "the system call is blocked";
    part.mend = "start the container with --cap-add PERFMON and a seccomp profile that allows perf_event_open";
  } else {
    part.found = "no hardware counters here: " + message_of(error);
    part.mend = facts.hypervisor.empty() ? "" : "pass the PMU through to the virtual machine";
  }
  return part;
}

Capability energy(const KernelAnswers& answers) {
  Capability part{"energy (RAPL)", Readiness::absent, "", "joules a case", ""};
  if (answers.energy_error == 0) {
    part.readiness = Readiness::ready;
    part.found = energy_file;
  } else if (answers.energy_error == EACCES || answers.energy_error == EPERM) {
    part.readiness = Readiness::limited;
    part.found = "only root may read it";
    part.mend = "sudo chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj";
  } else {
    part.found = "the kernel shows no package energy counter";
    part.mend = "sudo modprobe intel_rapl_msr (bare metal only)";
  }
  return part;
}

// "1410 of 1980 MHz, 70 of 700 W, held down by power cap"
std::string state_line(const Gpu& gpu) {
  std::string line;
  const auto add = [&](const std::string& part) { line += ", " + part; };
  if (gpu.state.sm_hz && gpu.max_sm_hz)
    add(fmt::format("{:.0f} of {:.0f} MHz", *gpu.state.sm_hz / 1e6, *gpu.max_sm_hz / 1e6));
  if (gpu.state.watts && gpu.limit_watts) add(fmt::format("{:.0f} of {:.0f} W", *gpu.state.watts, *gpu.limit_watts));
  for (const std::string& reason : throttle_reasons(gpu.state.throttle.value_or(0))) add("held down by " + reason);
  return line;
}

Capability nvidia_gpu(const SystemFacts& facts, const KernelAnswers& answers) {
  Capability part{"NVIDIA GPU", Readiness::absent, "", "cuda cases", ""};
  if (!facts.gpus.empty()) {
    const Gpu& first = facts.gpus.front();
    part.readiness = Readiness::ready;
    part.found =
        fmt::format("{} x {}, driver {}{}", facts.gpus.size(), first.name, facts.nvidia_driver, state_line(first));
    if (!answers.no_device.empty()) {
      part.readiness = Readiness::limited;
      part.found += "; " + answers.no_device;
      part.mend = *build::cuda_toolkit == '\0' ? "install CUDA Toolkit 13, then: cmake --preset release"
                                               : "a driver for CUDA 13 or newer: sudo apt-get install nvidia-driver";
    }
  } else if (!facts.nvidia_driver.empty()) {
    part.found = fmt::format("no device: driver {} lists none", facts.nvidia_driver);
    part.mend = "nvidia-smi tells why; containers need --gpus all";
  } else {
    part.found = "no device: no NVIDIA driver is loaded";
    part.mend = "on a machine with a GPU: sudo apt-get install nvidia-driver; containers need --gpus all";
  }
  return part;
}

Capability cuda_toolkit() {
  Capability part{"CUDA Toolkit", Readiness::absent, "not found when this program was configured",
                  "cuda implementations",
                  "install CUDA Toolkit 13 (nvcc on PATH or in /usr/local/cuda/bin), then: cmake --preset release"};
  if (*build::cuda_toolkit != '\0') {
    part.readiness = Readiness::ready;
    part.found = build::cuda_toolkit;
    part.mend.clear();
  }
  return part;
}

Capability cupti(const KernelAnswers& answers) {
  Capability part{"CUPTI", Readiness::absent, "libcupti does not load", "GPU kernel activity and counters",
                  "export ASSAY_CUDA_LIBRARIES=FOLDER of libcupti.so.13"};
  if (answers.cupti && answers.profiling_admin_only) {
    part.readiness = Readiness::limited;
    part.found = "kernel activity is open to all, GPU counters only to administrators";
    part.mend =
        "echo 'options nvidia NVreg_RestrictProfilingToAdminUsers=0' | sudo tee /etc/modprobe.d/nvidia-profiling.conf";
  } else if (answers.cupti) {
    part.readiness = Readiness::ready;
    part.found = "libcupti loads";
    part.mend.clear();
  }
  return part;
}

Capability mpi(const KernelAnswers& answers) {
  Capability part{"MPI", Readiness::absent, "", "programs over ranks as processes (--fabric mpi)", ""};
  if (!answers.launcher_problem.empty()) {
    part.readiness = Readiness::limited;
    part.found = answers.launcher_problem;
    part.mend = "unset ASSAY_MPIRUN, or name a launcher in it";
  } else if (answers.launcher.empty()) {
    part.found = "no mpirun, mpiexec or srun on PATH";
    part.mend = "sudo apt-get install openmpi-bin";
  } else if (!answers.rank_program) {
    part.readiness = Readiness::limited;
    part.found = answers.launcher + ", but this build has no MPI";
    part.mend = "sudo apt-get install libopenmpi-dev && cmake --preset release && cmake --build --preset release";
  } else {
    part.readiness = Readiness::ready;
    part.found = answers.launcher;
  }
  return part;
}

Capability huge_pages(const SystemFacts& facts) {
  Capability part{"huge pages", Readiness::ready, "", "operands that do not miss the TLB", ""};
  const std::string& mode = facts.transparent_huge_pages;
  part.found = fmt::format("transparent: {}; {} of {} reserved pages free", mode.empty() ? "unknown" : mode,
                           facts.huge_pages_free, facts.huge_pages_total);
  if ((mode.empty() || mode == "never") && facts.huge_pages_total == 0) {
    part.readiness = Readiness::absent;
    part.mend = "echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled";
  }
  return part;
}

}  // namespace

const char* to_string(Readiness readiness) {
  switch (readiness) {
    case Readiness::ready:
      return "ready";
    case Readiness::limited:
      return "limited";
    case Readiness::absent:
      return "absent";
  }
  throw std::invalid_argument("not a readiness");
}

KernelAnswers ask_kernel() {
  KernelAnswers answers;
  answers.perf_error = cycle_counter_error();
  answers.amx_error = tile_permission_error();
  answers.energy_error = read_error(energy_file);
  answers.nccl = gpu::open_library({"libnccl.so.2"}).handle != nullptr;
  answers.cupti = gpu::open_library({"libcupti.so.13", "libcupti.so.12", "libcupti.so"}).handle != nullptr;
  try {
    gpu::find_device();
  } catch (const gpu::NoDevice& absent) {
    answers.no_device = absent.what();
  }
  const std::string rank_program = rank_program_of(own_program());
  answers.rank_program = access(rank_program.c_str(), X_OK) == 0;
  const std::string program = own_program();
  answers.dashboard = access((program.substr(0, program.rfind('/') + 1) + "assay-gui").c_str(), X_OK) == 0;
  try {
    answers.launcher = find_launcher("", rank_program).path;
  } catch (const UserError& named) {
    answers.launcher_problem = named.what();
  }
  std::ifstream parameters("/proc/driver/nvidia/params");
  for (std::string line; std::getline(parameters, line);)
    if (line.starts_with("RmProfilingAdminOnly:")) answers.profiling_admin_only = line.ends_with("1") && getuid() != 0;
  return answers;
}

std::vector<Capability> capabilities(const SystemFacts& facts, const KernelAnswers& answers) {
  std::vector<Capability> parts;
  const bool bf16 = has_flag(facts, "avx512_bf16");
  parts.push_back({"AVX-512 bf16", bf16 ? Readiness::ready : Readiness::absent,
                   bf16 ? "the processor has it" : "this processor has none; the portable kernels are used",
                   "bf16 attention on vector registers", ""});
  parts.push_back(amx(facts, answers));
  const bool onednn = *build::onednn != '\0';
  parts.push_back({"oneDNN", onednn ? Readiness::ready : Readiness::absent,
                   onednn ? build::onednn : "not found when this program was configured", "the attention baselines",
                   onednn ? "" : "./ci/bootstrap && cmake --preset release && cmake --build --preset release"});
  parts.push_back(huge_pages(facts));
  parts.push_back(perf(facts, answers));
  parts.push_back(energy(answers));
  parts.push_back(mpi(answers));
  parts.push_back(
      {"dashboard", answers.dashboard ? Readiness::ready : Readiness::absent,
       answers.dashboard ? "assay-gui (Qt 6)" : "this build has no assay-gui", "assay gui",
       answers.dashboard ? "" : "./ci/bootstrap && cmake --preset release && cmake --build --preset release"});
  parts.push_back(cuda_toolkit());
  parts.push_back(nvidia_gpu(facts, answers));
  parts.push_back({"NCCL", answers.nccl ? Readiness::ready : Readiness::absent,
                   answers.nccl ? "libnccl.so.2 loads" : "libnccl.so.2 does not load", "ranks on several GPUs",
                   answers.nccl ? "" : "sudo apt-get install libnccl2 (NVIDIA's repository)"});
  parts.push_back(cupti(answers));
  // These have no code behind it in this version: said, so that `ready` promises nothing.
  for (Capability& part : parts)
    for (const char* later : {"perf counters", "energy (RAPL)", "NCCL"})
      if (part.name == later) part.used = false;
  return parts;
}

}  // namespace assay::harness
