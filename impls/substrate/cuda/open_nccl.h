#pragma once
// The nccl fabric on the GPUs of this machine.
#include <memory>

#include "harness/state.h"
#include "impls/substrate/fabric/nccl/nccl_fabric.h"

namespace assay::substrate::cuda {

// Skips the case where there is no device, too few of them, or no NCCL.
std::shared_ptr<NcclFabric> open_nccl(harness::State& state, int ranks);

}  // namespace assay::substrate::cuda
