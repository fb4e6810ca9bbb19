#pragma once
// GPUs as the NVIDIA driver lists them, through its management library opened at run time: no CUDA needed to build or
// run.
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "harness/system_facts.h"

namespace assay::harness {

inline constexpr const char* nvml_library = "libnvidia-ml.so.1";

struct NvidiaDriver {
  std::string version;  // "" where the library or the driver is absent
  std::string reason;   // why there are no GPUs to list, in the library's words; "" when there are
  std::vector<Gpu> gpus;
};
NvidiaDriver query_nvidia_driver(const char* library = nvml_library);

// What held the clock down, in words; bit by bit as nvml.h defines the reasons. An idle GPU and clocks that the user
// set are left out: neither says that a number is wrong.
std::vector<std::string> throttle_reasons(std::uint64_t bits);

// State of one GPU from sample to sample. What the driver does not tell is empty.
class NvidiaMonitor {
 public:
  // Nothing where the library, the driver or a GPU of that uuid is absent.
  static std::unique_ptr<NvidiaMonitor> of(const std::string& uuid, const char* library = nvml_library);
  virtual ~NvidiaMonitor() = default;
  virtual GpuState read() const = 0;
};

}  // namespace assay::harness
