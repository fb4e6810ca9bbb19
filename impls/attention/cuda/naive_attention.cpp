// Naive attention on a GPU: scores and weights stored between three kernels (naive_kernel.h).
#include <memory>

#include "impls/attention/cuda/comparisons.h"
#include "impls/attention/cuda/device_case.h"

namespace assay::attention::cuda {
namespace {

struct Workspace {
  DeviceBuffer<float> scores;
  DeviceBuffer<std::uint16_t> weights;
};

DeviceTechnique make(const Problem& p, Device& device) {
  const auto scores = static_cast<std::size_t>(p.batch) * static_cast<std::size_t>(p.heads) *
                      static_cast<std::size_t>(p.queries) * static_cast<std::size_t>(rounded_up(p.keys, kPlainRows));
  const auto work = std::make_shared<Workspace>(Workspace{{device, scores}, {device, scores}});
  return {[=, &device](const DeviceTensors& tensors) {
    naive_attention({tensors.forward(p), work->scores.data(), work->weights.data()}, p.head_dim, element_type(p.dtype),
                    device.stream());
  }};
}

void run(harness::State& state) {
  const Problem p = read_device_problem(state);
  const double issued = 4.0 * p.batch * p.heads * rounded_up(p.queries, kPlainRows) *
                        static_cast<double>(rounded_up(p.keys, kPlainRows)) * p.head_dim;
  run_on_device(state, p, issued,
                shared_bytes_of(p.head_dim, PlainTile<64>::kScoresSharedBytes, PlainTile<128>::kScoresSharedBytes,
                                PlainTile<256>::kScoresSharedBytes),
                make);
}

const harness::Registration registration({
    .id = "attention/naive-attention",
    .implementations =
        {{.backend = "cuda", .axes = device_axes(), .run = run, .source_file = __FILE__, .verified = false}},
});

}  // namespace
}  // namespace assay::attention::cuda
