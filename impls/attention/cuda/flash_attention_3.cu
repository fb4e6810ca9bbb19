// The FlashAttention-3 forward kernels and their launch.
#include "impls/attention/cuda/flash_attention_3_kernel.h"
#include "impls/attention/cuda/hopper_launch.h"

namespace assay::attention::cuda {
namespace {

template <class Element, int kHeadDim>
struct FlashAttention3Forward : HopperTile<kHeadDim> {
  using Given = HopperForward;
  static ASSAY_DEVICE void run(const Given& given) { flash_attention_3_block<Element, kHeadDim>(given); }
};

}  // namespace

void flash_attention_3_forward(const FlashAttention3Problem& problem, int head_dim, ElementType element,
                               CUstream_st* stream) {
  for_kernel(head_dim, element, [&]<class Element, int kHeadDim>() {
    const HopperForward forward = hopper_forward<kHeadDim>(problem, encode_by_driver);
    check(cudaMemsetAsync(problem.taken, 0, sizeof(int), stream), "clearing the count of query tiles");
    launch_on_sm_90a<FlashAttention3Forward<Element, kHeadDim>>(Grid{forward.schedule.blocks}, forward, stream);
  });
}

}  // namespace assay::attention::cuda
