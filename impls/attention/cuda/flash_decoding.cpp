// Flash-Decoding: the keys of few queries cut into ranges that run side by side, partial results merged
// (decode_kernel.h; with the instructions of sm_90a hopper_decode_kernel.h).
#include "impls/attention/cuda/decode_case.h"

namespace assay::attention::cuda {
namespace {

DeviceTechnique make(const Problem& p, Device& device, const DecodeChoice& choice) {
  const auto workspace = decode_workspace(p, device, choice);
  const auto launch = decode_path(choice.path, p.head_dim).launch;
  return {[=, &device](const DeviceTensors& tensors) {
    DecodeProblem problem = decode_problem(p, tensors);
    use(*workspace, problem);
    launch(problem, p.head_dim, element_type(p.dtype), device.stream());
  }};
}

void run(harness::State& state) { run_decode(state, make); }

const harness::Registration registration({
    .id = "attention/flash-decoding",
    .title = "Flash-Decoding for long-context inference",
    .paper = "baseline",
    .summary = "split-KV decode with the query heads of a group packed, partial results merged",
    .implementations = {{.backend = "cuda",
                         .axes = decode_axes(),
                         .run = run,
                         .source_file = __FILE__,
                         .verified = false,
                         .needs = "sm_80, sm_90; path sm_90a: sm_90a"}},
});

}  // namespace
}  // namespace assay::attention::cuda
