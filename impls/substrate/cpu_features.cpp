#include "impls/substrate/cpu_features.h"

#include <hwy/targets.h>
#include <sched.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace assay::substrate {
namespace {

#if defined(__x86_64__)
struct CpuidLeaf {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
};

CpuidLeaf cpuid(unsigned leaf, unsigned subleaf) {
  CpuidLeaf r;
  if (__get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx) == 0) return {};
  return r;
}

bool has_avx512_bf16() { return (hwy::SupportedTargets() & HWY_AVX3) != 0 && (cpuid(7, 1).eax & (1U << 5)) != 0; }

// The tile state is 8 KiB that the kernel saves only for processes that asked for it.
bool tile_permission() {
  constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr long kTileData = 18;               // XFEATURE_XTILEDATA
  static const bool granted = syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
  return granted;
}
#endif

}  // namespace

std::string_view to_string(Isa isa) {
  switch (isa) {
    case Isa::portable:
      return "portable";
    case Isa::avx2:
      return "avx2";
    case Isa::avx512:
      return "avx512";
    case Isa::avx512_bf16:
      return "avx512-bf16";
    case Isa::amx:
      return "amx";
  }
  return "?";
}

std::string missing(Isa isa) {
  if (isa == Isa::portable) return "";
#if defined(__x86_64__)
  switch (isa) {
    case Isa::avx2:
      return (hwy::SupportedTargets() & HWY_AVX2) != 0 ? "" : "this processor has no AVX2 with FMA";
    case Isa::avx512:
      return (hwy::SupportedTargets() & HWY_AVX3) != 0 ? "" : "this processor has no AVX-512 (F, BW, CD, DQ, VL)";
    case Isa::avx512_bf16:
      return has_avx512_bf16() ? "" : "this processor has no AVX512-BF16";
    case Isa::amx: {
      const unsigned edx = cpuid(7, 0).edx;
      const bool tiles = (edx & (1U << 22)) != 0 && (edx & (1U << 24)) != 0;  // AMX-BF16, AMX-TILE
      // The AMX kernels take AVX512-BF16 for the softmax between their two products.
      if (!tiles || !has_avx512_bf16()) return "this processor has no AMX-BF16";
      return tile_permission() ? "" : "the kernel refused permission to use AMX tiles (arch_prctl)";
    }
    case Isa::portable:
      break;
  }
  return "";
#else
  return "this build is not for x86-64";
#endif
}

std::vector<int> allowed_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> cpus;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return {0};
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
  }
  return cpus;
}

}  // namespace assay::substrate
