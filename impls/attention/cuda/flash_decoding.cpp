// Flash-Decoding: the keys of few queries cut into ranges that run side by side, partial results merged
// (decode_kernel.h).
#include "impls/attention/cuda/decode_case.h"

namespace assay::attention::cuda {
namespace {

void run(harness::State& state) {
  const Problem p = read_device_problem(state);
  const int asked = static_cast<int>(state.integer("splits"));
  run_on_device(state, p, decode_issued_flops(p), decode_shared_bytes(p.head_dim),
                [asked](const Problem& of, Device& device) -> DeviceTechnique {
                  const int splits = splits_for(of, device, asked);
                  const auto workspace = decode_workspace(of, device, splits);
                  return {[=, &device](const DeviceTensors& tensors) {
                    DecodeProblem problem = decode_problem(of, tensors);
                    use(*workspace, splits, problem);
                    flash_decoding(problem, of.head_dim, element_type(of.dtype), device.stream());
                  }};
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
