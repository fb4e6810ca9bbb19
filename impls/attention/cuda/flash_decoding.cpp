// Flash-Decoding: the keys of few queries cut into ranges that run side by side, partial results merged
// (decode_kernel.h).
#include "impls/attention/cuda/decode_case.h"

namespace assay::attention::cuda {
namespace {

DeviceTechnique make(const Problem& p, Device& device, int asked, bool ragged) {
  const auto workspace = decode_workspace(p, device, asked, ragged);
  return {[=, &device](const DeviceTensors& tensors) {
    DecodeProblem problem = decode_problem(p, tensors);
    use(*workspace, problem);
    flash_decoding(problem, p.head_dim, element_type(p.dtype), device.stream());
  }};
}

void run(harness::State& state) {
  run_decode(state, [asked = static_cast<int>(state.integer("splits"))](bool ragged) -> MakeDeviceTechnique {
    return [=](const Problem& p, Device& device) { return make(p, device, asked, ragged); };
  });
}

const harness::Registration registration({
    .id = "attention/flash-decoding",
    .title = "Flash-Decoding for long-context inference",
    .paper = "baseline",
    .summary = "split-KV decode with the query heads of a group packed, partial results merged",
    .implementations =
        {{.backend = "cuda", .axes = decode_axes(), .run = run, .source_file = __FILE__, .verified = false}},
});

}  // namespace
}  // namespace assay::attention::cuda
