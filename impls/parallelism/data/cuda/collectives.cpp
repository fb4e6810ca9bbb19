// Collectives over NCCL: those that are programs over messages, and the library's own beside them. The same problem,
// data and oracle as on the other fabrics.
#include <fmt/format.h>

#include <string>

#include "datasets/user_error.h"
#include "impls/parallelism/data/cuda/collectives_on_devices.h"
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
  CollectiveProblem problem{.collective = state.text("collective"),
                            .algorithm = state.text("algorithm"),
                            .ranks = static_cast<int>(state.integer("ranks")),
                            .elements = bytes / size_of(dtype),
                            .dtype = dtype,
                            .node_ranks = static_cast<int>(state.integer("node_ranks"))};
  const bool of_library = problem.algorithm == "nccl";
  if (of_library) {
    check_nccl_collective(problem);
  } else {
    datasets::Cluster machine;
    machine.devices_per_node = problem.ranks;
    problem = resolve_collective(problem, machine);
  }
  state.declare({.bytes = 2.0 * static_cast<double>(bytes)});
  const auto fabric = substrate::cuda::open_nccl(state, problem.ranks);
  measure_program(state, of_library ? nccl_collective(problem, fabric) : own_collective(problem, fabric));
}

std::vector<harness::Axis> axes() {
  const auto word = [](const char* text) { return Value(std::string(text)); };
  return {{.name = "collective",
           .defaults = {word("all-reduce")},
           .help = "what is asked of the ranks",
           .allowed = {word("all-reduce"), word("reduce-scatter"), word("all-gather"), word("broadcast"),
                       word("all-to-all"), word("scan")}},
          {.name = "algorithm",
           .defaults = {word("nccl")},
           .help = "the library's own, or a program over messages",
           .allowed = {word("nccl"), word("ring"), word("halving-doubling"), word("double-tree"), word("hierarchical"),
                       word("star"), word("direct"), word("binomial"), word("chain"), word("pairwise"),
                       word("by-nodes"), word("serial"), word("pipelined")}},
          {.name = "ranks", .defaults = {Value(std::int64_t{1})}, .help = "ranks P, a GPU each"},
          {.name = "message_bytes",
           .defaults = {Value(std::int64_t{1} << 20)},
           .help = "bytes n of a rank's tensor",
           .dimension = datasets::Dimension::bytes},
          {.name = "dtype", .defaults = {word("fp32")}, .help = "elements", .allowed = {word("fp32"), word("bf16")}},
          {.name = "node_ranks",
           .defaults = {Value(std::int64_t{0})},
           .help = "ranks of a node, for algorithms that know nodes; 0: half of all ranks",
           .minimum = 0,
           .legacy_default = Value(std::int64_t{0})}};
}

const harness::Registration registration({
    .id = "parallelism/data/collectives",
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
