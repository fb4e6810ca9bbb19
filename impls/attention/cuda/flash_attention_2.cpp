// FlashAttention-2 on a GPU, forward (forward_kernel.h) and backward (backward_kernel.h).
#include <cstddef>

#include "impls/attention/cuda/backward.h"
#include "impls/attention/cuda/backward_case.h"
#include "impls/attention/cuda/device_case.h"

namespace assay::attention::cuda {
namespace {

BothPasses make(const Problem& p, Device& device) {
  const auto rows =
      static_cast<std::size_t>(p.batch) * static_cast<std::size_t>(p.heads) * static_cast<std::size_t>(p.queries);
  const ElementType element = element_type(p.dtype);
  return {.forward =
              [=, d = p.head_dim, &device](const ForwardProblem& problem) {
                flash_attention_2_forward(problem, d, element, device.stream());
              },
          .backward =
              [=, d = p.head_dim, &device](const BackwardProblem& problem) {
                flash_attention_2_backward(problem, d, element, device.stream());
              },
          .row_dots = rows,
          .d_q_sum = rows * static_cast<std::size_t>(p.head_dim)};
}

template <int kHeadDim>
void run_with(harness::State& state, const Problem& p) {
  using Tile = ForwardTile<kHeadDim>;
  run_passes(state, p,
             {.forward_shared_bytes = Tile::kSharedBytes,
              .backward_shared_bytes = BackwardTile<kHeadDim>::kSharedBytes,
              .rows = Tile::kRows,
              .keys = Tile::kKeys,
              .make = make});
}

void run(harness::State& state) {
  const Problem p = read_device_problem(state);
  if (p.head_dim == 64) return run_with<64>(state, p);
  if (p.head_dim == 128) return run_with<128>(state, p);
  run_with<256>(state, p);
}

const harness::Registration registration({
    .id = "attention/flash-attention-2",
    .implementations = {{.backend = "cuda",
                         .axes = axes_of_both_passes(),
                         .run = run,
                         .source_file = __FILE__,
                         .verified = false,
                         .needs = "sm_80, sm_90"}},
});

}  // namespace
}  // namespace assay::attention::cuda
