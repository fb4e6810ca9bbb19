#pragma once
#include <memory>

#include "harness/gpu/device.h"

namespace assay::harness::gpu {

// The first visible CUDA device, through the runtime. Only in builds with the CUDA Toolkit.
DeviceFacts find_cuda_device();
std::unique_ptr<Device> open_cuda_device();

// Whether this build has machine code for a device: that of sm_80 runs on every 8.x, that of sm_90a on 9.0 alone.
bool has_code_for(int capability);

}  // namespace assay::harness::gpu
