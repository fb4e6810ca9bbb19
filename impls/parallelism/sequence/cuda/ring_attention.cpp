// Ring attention over NCCL: the program of ring_attention.cpp, one rank a GPU of this machine.
#include <fmt/format.h>

#include <memory>

#include "impls/parallelism/sequence/cuda/ring_on_devices.h"
#include "impls/parallelism/sequence/sequence_case.h"
#include "impls/substrate/cuda/open_nccl.h"

namespace assay::parallelism::cuda {
namespace {

void run(harness::State& state) {
  const SequenceProblem problem = sequence_problem(state);
  check_device_problem(problem);
  state.declare(attention_layer_work(problem));
  measure_program(state, ring_on_devices(problem, substrate::cuda::open_nccl(state, problem.ranks)));
}

// One rank is what every machine with a GPU can run.
std::vector<harness::Axis> axes() {
  const auto count = [](std::int64_t value) { return harness::Value(value); };
  const auto bf16 = harness::Value(std::string("bf16"));
  std::vector<harness::Axis> out = sequence_axes();
  for (harness::Axis& axis : out) {
    if (axis.name == "ranks") axis.defaults = {count(1)};
    if (axis.name == "ranks") axis.help = "ranks P that share a sequence, a GPU each";
    if (axis.name == "head_dim") axis.allowed = {count(64), count(128), count(256)};
    if (axis.name == "dtype") axis.allowed = {bf16};
  }
  return out;
}

const harness::Registration registration({
    .id = "parallelism/sequence/ring-attention",
    .implementations = {{.backend = "cuda",
                         .fabrics = {"nccl"},
                         .axes = axes(),
                         .run = run,
                         .source_file = __FILE__,
                         .verified = false,
                         .needs = "sm_80, sm_90; NCCL 2; a GPU a rank"}},
});

}  // namespace
}  // namespace assay::parallelism::cuda
