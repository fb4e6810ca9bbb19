// FlashAttention-1 on a GPU: its loop order and its traffic (flash_attention_1_kernel.h).
#include <memory>
#include <vector>

#include "impls/attention/cuda/backward_case.h"
#include "impls/attention/cuda/comparisons.h"
#include "impls/attention/cuda/device_case.h"

namespace assay::attention::cuda {
namespace {

struct Workspace {
  DeviceBuffer<float> o, m, l;
};

BothPasses make(const Problem& p, Device& device) {
  const auto rows =
      static_cast<std::size_t>(p.batch) * static_cast<std::size_t>(p.heads) * static_cast<std::size_t>(p.queries);
  const auto work = std::make_shared<Workspace>(
      Workspace{{device, rows * static_cast<std::size_t>(p.head_dim)}, {device, rows}, {device, rows}});
  return {.forward = [=, d = p.head_dim, element = element_type(p.dtype), &device](const ForwardProblem& problem) {
    flash_attention_1({problem, work->o.data(), work->m.data(), work->l.data()}, d, element, device.stream());
  }};
}

void run(harness::State& state) {
  const Problem p = read_device_problem(state);
  run_forward(
      state, p,
      {.forward_shared_bytes = shared_bytes_of(p.head_dim, PlainTile<64>::kFlash1SharedBytes,
                                               PlainTile<128>::kFlash1SharedBytes, PlainTile<256>::kFlash1SharedBytes),
       .rows = kPlainRows,
       .keys = kPlainRows,
       .make = make});
}

std::vector<harness::Axis> axes() {
  std::vector<harness::Axis> out = device_axes();
  out.push_back(lengths_axis());
  return out;
}

const harness::Registration registration({
    .id = "attention/flash-attention-1",
    .implementations = {{.backend = "cuda",
                         .axes = axes(),
                         .run = run,
                         .source_file = __FILE__,
                         .verified = false,
                         .needs = "sm_80, sm_90"}},
});

}  // namespace
}  // namespace assay::attention::cuda
