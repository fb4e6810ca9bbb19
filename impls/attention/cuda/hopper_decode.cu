// The decode kernels of sm_90a and their launch.
#include "impls/attention/cuda/hopper_decode_kernel.h"
#include "impls/attention/cuda/hopper_launch.h"

namespace assay::attention::cuda {
namespace {

template <class Element, int kHeadDim>
struct HopperDecoding : HopperDecodeTile<kHeadDim> {
  using Given = HopperDecode;
  static ASSAY_DEVICE void run(const Given& given) { hopper_decode_block<Element, kHeadDim>(given); }
};

}  // namespace

void hopper_decoding(const DecodeProblem& problem, int head_dim, ElementType element, CUstream_st* stream) {
  for_kernel(head_dim, element, [&]<class Element, int kHeadDim>() {
    using Block = HopperDecoding<Element, kHeadDim>;
    launch_on_sm_90a<Block>(
        Grid{problem.splits, parts(problem.packed_rows(), Block::kRows), problem.batch * problem.kv_heads},
        hopper_decode<kHeadDim>(problem, encode_by_driver), stream);
  });
  merge_splits(problem, head_dim, element, stream);
}

}  // namespace assay::attention::cuda
