#pragma once
// GPUs as the NVIDIA driver lists them, through its management library opened at run time: no CUDA needed to build or
// run.
#include <string>
#include <vector>

#include "harness/system_facts.h"

namespace assay::harness {

struct NvidiaDriver {
  std::string version;  // "" where the library or the driver is absent
  std::string reason;   // why there are no GPUs to list, in the library's words; "" when there are
  std::vector<Gpu> gpus;
};
NvidiaDriver query_nvidia_driver();

}  // namespace assay::harness
