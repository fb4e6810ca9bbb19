#include "impls/substrate/cuda/open_nccl.h"

#include <fmt/format.h>

#include "impls/substrate/cuda/cuda_rank_devices.h"

namespace assay::substrate::cuda {

std::shared_ptr<NcclFabric> open_nccl(harness::State& state, int ranks) {
  state.device();  // the first of them; where there is none this says why
  const auto devices = open_rank_devices();
  if (devices->count() < ranks)
    state.skip(fmt::format("no device for each rank: {} ranks, {} GPUs", ranks, devices->count()));
  try {
    return std::make_shared<NcclFabric>(devices, nccl::open_library(), ranks);
  } catch (const nccl::NcclUnavailable& absent) {
    state.skip(absent.what());
  }
}

}  // namespace assay::substrate::cuda
