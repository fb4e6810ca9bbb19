#include "harness/gpu/device.h"
#if ASSAY_HAVE_CUDA
#include "harness/gpu/cuda/cuda_device.h"
#endif

namespace assay::harness::gpu {

DeviceFacts find_device() {
#if ASSAY_HAVE_CUDA
  return find_cuda_device();
#else
  throw NoDevice("this build has no CUDA (the toolkit was not found when it was configured)");
#endif
}

std::unique_ptr<Device> open_device() {
#if ASSAY_HAVE_CUDA
  return open_cuda_device();
#else
  throw NoDevice("this build has no CUDA (the toolkit was not found when it was configured)");
#endif
}

}  // namespace assay::harness::gpu
