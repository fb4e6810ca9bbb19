#pragma once
// Ranges that NVIDIA's profilers show on their timeline. Header-only NVTX: nothing is linked, and without a profiler a
// range costs a test of a pointer. In builds without the CUDA Toolkit it is nothing at all.
#include <string>

namespace assay::harness::profile {

// From construction to destruction, on this thread; ranges nest.
class NvtxRange {
 public:
  explicit NvtxRange(const std::string& name);
  ~NvtxRange();  // NOLINT(performance-trivially-destructible): with NVTX it ends the range
  NvtxRange(const NvtxRange&) = delete;
  NvtxRange& operator=(const NvtxRange&) = delete;
};

}  // namespace assay::harness::profile
