// FlashAttention-3 on a GPU of compute capability 9.0, forward in 16 bits (flash_attention_3_kernel.h).
// flash-attention-2 runs there too, with the instructions of sm_80: the two are the same computation by two paths.
#include "impls/attention/cuda/flash_attention_3.h"

#include <memory>

#include "impls/attention/cuda/device_case.h"

namespace assay::attention::cuda {
namespace {

DeviceTechnique make(const Problem& p, Device& device) {
  const auto taken = std::make_shared<DeviceBuffer<int>>(device, 1);
  return {[=, &device](const DeviceTensors& tensors) {
    flash_attention_3_forward({tensors.forward(p), device.facts().multiprocessors, taken->data()}, p.head_dim,
                              element_type(p.dtype), device.stream());
  }};
}

template <int kHeadDim>
void run_with(harness::State& state, const Problem& p) {
  using Tile = HopperTile<kHeadDim>;
  run_on_device(state, p, issued_flops(p, Tile::kRows, Tile::kKeys), Tile::kSharedBytes, make, 90);
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
    .summary =
        "FlashAttention-2 with copies, products and softmax of different warpgroups overlapped; forward, 16 bits",
    .implementations =
        {{.backend = "cuda", .axes = device_axes(), .run = run, .source_file = __FILE__, .verified = false}},
});

}  // namespace
}  // namespace assay::attention::cuda
