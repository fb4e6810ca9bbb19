#pragma once
// What ran on the GPU: kernels, copies and fills, each with its time, from a pass of its own. A pass with it attached
// is slower than one without and is never timed.
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "results_db/records.h"

namespace assay::harness::profile {

// The library is not here, is of another version, or refuses; one line.
class ActivityUnavailable : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class KernelActivity {
 public:
  virtual ~KernelActivity() = default;
  virtual void start() = 0;
  // Everything that began since start(), in order of time; the stream has to be empty. Kernels of a graph are rows
  // each. launch_json of a kernel: {"grid": [x, y, z], "block": [...], "cluster": [...], "registers", "static_shared",
  // "dynamic_shared", "local_bytes_a_thread", "graph"}; of a copy or a fill: {"bytes", "graph"}.
  virtual std::vector<results_db::KernelRecord> stop() = 0;
};

// Through CUPTI, opened at run time from `libraries` (names or paths). One at a time in a process. Throws
// ActivityUnavailable.
std::unique_ptr<KernelActivity> open_kernel_activity(const std::vector<std::string>& libraries = {"libcupti.so.13"});

}  // namespace assay::harness::profile
