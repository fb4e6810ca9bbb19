// FlashAttention-1 on a GPU: its loop order and its traffic (flash_attention_1_kernel.h).
#include <memory>

#include "impls/attention/cuda/comparisons.h"
#include "impls/attention/cuda/device_case.h"

namespace assay::attention::cuda {
namespace {

struct Workspace {
  DeviceBuffer<float> o, m, l;
};

DeviceTechnique make(const Problem& p, Device& device) {
  const auto rows =
      static_cast<std::size_t>(p.batch) * static_cast<std::size_t>(p.heads) * static_cast<std::size_t>(p.queries);
  const auto work = std::make_shared<Workspace>(
      Workspace{{device, rows * static_cast<std::size_t>(p.head_dim)}, {device, rows}, {device, rows}});
  return {[=, &device](const DeviceTensors& tensors) {
    flash_attention_1({tensors.forward(p), work->o.data(), work->m.data(), work->l.data()}, p.head_dim,
                      element_type(p.dtype), device.stream());
  }};
}

void run(harness::State& state) {
  const Problem p = read_device_problem(state);
  run_on_device(state, p, issued_flops(p, kPlainRows, kPlainRows),
                shared_bytes_of(p.head_dim, PlainTile<64>::kFlash1SharedBytes, PlainTile<128>::kFlash1SharedBytes,
                                PlainTile<256>::kFlash1SharedBytes),
                make);
}

const harness::Registration registration({
    .id = "attention/flash-attention-1",
    .implementations =
        {{.backend = "cuda", .axes = device_axes(), .run = run, .source_file = __FILE__, .verified = false}},
});

}  // namespace
}  // namespace assay::attention::cuda
