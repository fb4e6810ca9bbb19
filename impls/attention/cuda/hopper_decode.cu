// The decode kernels of sm_90a and their launch; for other architectures they are empty, and no case launches them
// there.
#include "impls/attention/cuda/encode_tensor.h"
#include "impls/attention/cuda/hopper_decode_kernel.h"
#include "impls/attention/cuda/launch.h"

namespace assay::attention::cuda {
namespace {

template <class Element, int kHeadDim>
__global__ void __launch_bounds__(HopperDecodeTile<kHeadDim>::kThreads, 1)
    hopper_decoding_kernel(const __grid_constant__ HopperDecode given) {
#ifdef __CUDA_ARCH_FEAT_SM90_ALL
  hopper_decode_block<Element, kHeadDim>(given);
#endif
}

}  // namespace

void hopper_decoding(const DecodeProblem& problem, int head_dim, ElementType element, CUstream_st* stream) {
  for_kernel(head_dim, element, [&]<class Element, int kHeadDim>() {
    using Tile = HopperDecodeTile<kHeadDim>;
    launch(hopper_decoding_kernel<Element, kHeadDim>,
           Grid{problem.splits, parts(problem.packed_rows(), Tile::kRows), problem.batch * problem.kv_heads},
           Tile::kThreads, Tile::kSharedBytes, stream, hopper_decode<kHeadDim>(problem, encode_by_driver));
  });
  merge_splits(problem, head_dim, element, stream);
}

}  // namespace assay::attention::cuda
