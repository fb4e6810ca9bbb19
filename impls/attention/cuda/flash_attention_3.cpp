// FlashAttention-3 on a GPU of compute capability 9.0 in 16 bits, forward (flash_attention_3_kernel.h) and backward
// (flash_attention_3_backward_kernel.h). flash-attention-2 runs there too, with the instructions of sm_80: the two are
// the same computation by two paths.
#include "impls/attention/cuda/flash_attention_3.h"

#include <cstddef>
#include <memory>

#include "impls/attention/cuda/backward_case.h"
#include "impls/attention/cuda/device_case.h"
#include "impls/attention/cuda/flash_attention_3_backward.h"

namespace assay::attention::cuda {
namespace {

template <int kHeadDim>
BothPasses make(const Problem& p, Device& device) {
  const auto taken = std::make_shared<DeviceBuffer<int>>(device, 1);
  const ElementType element = element_type(p.dtype);
  ForwardProblem shape;
  shape.mask.queries = p.queries;
  shape.batch = p.batch;
  shape.heads = p.heads;
  const HopperBackwardWorkspace workspace = hopper_backward_workspace<kHeadDim>(shape);
  return {.forward =
              [=, &device](const ForwardProblem& problem) {
                flash_attention_3_forward({problem, device.facts().multiprocessors, taken->data()}, kHeadDim, element,
                                          device.stream());
              },
          .backward =
              [=, &device](const BackwardProblem& problem) {
                flash_attention_3_backward(problem, kHeadDim, element, device.stream());
              },
          .row_dots = static_cast<std::size_t>(workspace.row_dots),
          .d_q_sum = static_cast<std::size_t>(workspace.d_q_sum)};
}

template <int kHeadDim>
void run_with(harness::State& state, const Problem& p) {
  using Tile = HopperTile<kHeadDim>;
  run_passes(state, p,
             {.forward_shared_bytes = Tile::kSharedBytes,
              .backward_shared_bytes = HopperBackwardTile<kHeadDim>::kSharedBytes,
              .rows = Tile::kRows,
              .keys = Tile::kKeys,
              .only_on = 90,
              .make = make<kHeadDim>});
}

void run(harness::State& state) {
  const Problem p = read_device_problem(state);
  if (p.head_dim == 64) return run_with<64>(state, p);
  if (p.head_dim == 128) return run_with<128>(state, p);
  run_with<256>(state, p);
}

const harness::Registration registration({
    .id = "attention/flash-attention-3",
    .title = "FlashAttention-3: Fast and Accurate Attention with Asynchrony and Low-precision",
    .paper = "arXiv 2407.08608",
    .summary = "FlashAttention-2 with copies, products and softmax of different warpgroups overlapped; 16 bits",
    .implementations = {{.backend = "cuda",
                         .axes = axes_of_both_passes(),
                         .run = run,
                         .source_file = __FILE__,
                         .verified = false,
                         .needs = "sm_90a"}},
});

}  // namespace
}  // namespace assay::attention::cuda
