// NCCL's own collectives beside those that are programs over messages: the same problem, data and oracle.
#include <fmt/format.h>

#include <string>

#include "datasets/user_error.h"
#include "impls/parallelism/data/cuda/nccl_collectives.h"
#include "impls/substrate/cuda/open_nccl.h"

namespace assay::parallelism::cuda {
namespace {

using harness::Value;
using substrate::DType;

void run(harness::State& state) {
  const DType dtype = state.text("dtype") == "bf16" ? DType::bf16 : DType::f32;
  const std::int64_t bytes = state.integer("message_bytes");
  if (bytes % size_of(dtype) != 0)
    throw UserError(fmt::format("message_bytes: found {}, expected a multiple of {}", bytes, size_of(dtype)));
  const CollectiveProblem problem{.collective = state.text("collective"),
                                  .algorithm = "nccl",
                                  .ranks = static_cast<int>(state.integer("ranks")),
                                  .elements = bytes / size_of(dtype),
                                  .dtype = dtype};
  check_nccl_collective(problem);
  state.declare({.bytes = 2.0 * static_cast<double>(bytes)});
  measure_program(state, nccl_collective(problem, substrate::cuda::open_nccl(state, problem.ranks)));
}

std::vector<harness::Axis> axes() {
  const auto word = [](const char* text) { return Value(std::string(text)); };
  return {{.name = "collective",
           .defaults = {word("all-reduce")},
           .help = "what is asked of the ranks",
           .allowed = {word("all-reduce"), word("reduce-scatter"), word("all-gather"), word("broadcast"),
                       word("all-to-all")}},
          {.name = "algorithm", .defaults = {word("nccl")}, .help = "the library's own", .allowed = {word("nccl")}},
          {.name = "ranks", .defaults = {Value(std::int64_t{1})}, .help = "ranks P, a GPU each"},
          {.name = "message_bytes",
           .defaults = {Value(std::int64_t{1} << 20)},
           .help = "bytes n of a rank's tensor",
           .dimension = datasets::Dimension::bytes},
          {.name = "dtype", .defaults = {word("fp32")}, .help = "elements", .allowed = {word("fp32"), word("bf16")}}};
}

const harness::Registration registration({
    .id = "parallelism/data/collectives",
    .implementations = {{.backend = "cuda",
                         .fabrics = {"nccl"},
                         .axes = axes(),
                         .run = run,
                         .source_file = __FILE__,
                         .verified = false}},
});

}  // namespace
}  // namespace assay::parallelism::cuda
