#pragma once
// The kernels of ring attention on devices whose memory is the host's: the flash kernels in the emulator of
// impls/attention/cuda, the small ones as plain loops.
#include "../../substrate/host_rank_devices.h"

namespace assay::parallelism::cuda {

// The devices that launches may touch the memory of.
substrate::nccl::HostRankDevices*& emulated_devices();
// Calls of the flash kernels since the program began.
int flash_launches();

}  // namespace assay::parallelism::cuda
