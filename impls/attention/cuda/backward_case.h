#pragma once
// Forward and backward pass as cases, whichever path computes them.
#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include "harness/state.h"
#include "impls/attention/cuda/backward.h"
#include "impls/attention/cuda/device_case.h"

namespace assay::attention::cuda {

// A technique made ready for both passes of a problem. They enqueue on the device's stream.
struct BothPasses {
  std::function<void(const ForwardProblem&)> forward;
  std::function<void(const BackwardProblem&)> backward;
  // Workspace of the backward pass, in floats.
  std::size_t row_dots = 0, d_q_sum = 0;
};
using MakeBothPasses = std::function<BothPasses(const Problem&, Device&)>;

// The axes of a technique with both, and batches of uneven lengths: those of device_axes(), `pass`, `lengths`.
std::vector<harness::Axis> axes_of_both_passes();

// A technique for one head size, of both passes or forward alone: what its kernels need and its forward tiles.
struct PassesTechnique {
  std::uint32_t forward_shared_bytes = 0, backward_shared_bytes = 0;
  int rows = 0;                  // queries a tile
  int keys = 0;                  // at a time
  bool computes_masked = false;  // also tiles of which no query sees a key
  int only_on = 0;
  MakeBothPasses make;
};

// Five products where forward has two; Q, K, V, O, dO and LSE read, dQ, dK, dV written.
harness::Work backward_work(const Problem& problem);

double issued_flops(const Problem& problem, const PassesTechnique& technique);

// Everything such a technique does with its State in the forward pass, with the lengths that it asks for; and in the
// pass that it asks for.
void run_forward(harness::State& state, const Problem& problem, const PassesTechnique& technique);
void run_passes(harness::State& state, const Problem& problem, const PassesTechnique& technique);

}  // namespace assay::attention::cuda
