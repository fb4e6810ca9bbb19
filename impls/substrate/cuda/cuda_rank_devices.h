#pragma once
// Several GPUs of this machine for the nccl fabric, through the CUDA runtime.
#include <memory>

#include "impls/substrate/fabric/nccl/rank_devices.h"

namespace assay::substrate::cuda {

// The visible devices (CUDA_VISIBLE_DEVICES chooses), as far as this build has code for them. Throws
// harness::gpu::NoDevice where there is none.
std::shared_ptr<nccl::RankDevices> open_rank_devices();

}  // namespace assay::substrate::cuda
