// Naive attention on a GPU: scores and weights stored between three kernels (naive_kernel.h).
#include <memory>
#include <vector>

#include "impls/attention/cuda/backward_case.h"
#include "impls/attention/cuda/comparisons.h"
#include "impls/attention/cuda/device_case.h"

namespace assay::attention::cuda {
namespace {

struct Workspace {
  DeviceBuffer<float> scores;
  DeviceBuffer<std::uint16_t> weights;
};

BothPasses make(const Problem& p, Device& device) {
  const auto scores = static_cast<std::size_t>(p.batch) * static_cast<std::size_t>(p.heads) *
                      static_cast<std::size_t>(p.queries) * static_cast<std::size_t>(rounded_up(p.keys, kPlainRows));
  const auto work = std::make_shared<Workspace>(Workspace{{device, scores}, {device, scores}});
  return {.forward = [=, d = p.head_dim, element = element_type(p.dtype), &device](const ForwardProblem& problem) {
    naive_attention({problem, work->scores.data(), work->weights.data()}, d, element, device.stream());
  }};
}

void run(harness::State& state) {
  const Problem p = read_device_problem(state);
  run_forward(
      state, p,
      {.forward_shared_bytes = shared_bytes_of(p.head_dim, PlainTile<64>::kScoresSharedBytes,
                                               PlainTile<128>::kScoresSharedBytes, PlainTile<256>::kScoresSharedBytes),
       .rows = kPlainRows,
       .keys = kPlainRows,
       .computes_masked = true,
       .make = make});
}

std::vector<harness::Axis> axes() {
  std::vector<harness::Axis> out = device_axes();
  out.push_back(lengths_axis());
  return out;
}

const harness::Registration registration({
    .id = "attention/naive-attention",
    .implementations = {{.backend = "cuda",
                         .axes = axes(),
                         .run = run,
                         .source_file = __FILE__,
                         .verified = false,
                         .needs = "sm_80, sm_90"}},
});

}  // namespace
}  // namespace assay::attention::cuda
