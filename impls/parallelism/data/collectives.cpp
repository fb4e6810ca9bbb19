// The collectives that every technique over ranks stands on, each with its algorithms, as programs over sends and
// receives (Thakur, Rabenseifner, Gropp, Optimization of Collective Communication Operations in MPICH, 2005; Patarasuk
// and Yuan 2009; Sanders, Speck, Traff 2009; NCCL). The same logical operation has forms with few messages, with few
// bytes, and for nodes:
//
//   all-reduce      ring | halving-doubling | double-tree | hierarchical | star (impls/substrate/fabric/all_reduce.h)
//   reduce-scatter  ring | direct        all-gather  ring | direct        broadcast  binomial | chain
//   all-to-all      direct | pairwise | by-nodes                          scan       serial | pipelined
//   any             native, on fabric mpi: MPI_Iallreduce and its like, of whose messages nothing is known
//
// `auto` takes the least alpha-beta time on the case's cluster, from a table resolved before the program starts
// (impls/substrate/cluster/algorithm_choice.h). n = message_bytes is the tensor of a rank: the input of a
// reduce-scatter, the output of an all-gather. The oracle is the float64 sum in the order of ranks.
#include <fmt/format.h>

#include <memory>
#include <string_view>

#include "datasets/user_error.h"
#include "impls/parallelism/data/collectives_claims.h"
#include "impls/parallelism/data/collectives_data.h"
#include "impls/parallelism/program_case.h"
#include "impls/substrate/fabric/process_fabric.h"

namespace assay::parallelism {

namespace {

using harness::Axis;
using harness::Value;
using substrate::DType;

Value word(std::string_view text) { return Value(std::string(text)); }

std::vector<Axis> collective_axes() {
  return {
      {.name = "collective",
       .defaults = {word("all-reduce")},
       .help = "what is asked of the ranks",
       .allowed = {word("all-reduce"), word("reduce-scatter"), word("all-gather"), word("broadcast"),
                   word("all-to-all"), word("scan")}},
      {.name = "algorithm",
       .defaults = {word("auto")},
       .help = "how; auto: the least time by the cluster's links; native: the library's own, on fabric mpi",
       .allowed = {word("auto"), word("ring"), word("halving-doubling"), word("double-tree"), word("hierarchical"),
                   word("star"), word("direct"), word("binomial"), word("chain"), word("pairwise"), word("by-nodes"),
                   word("serial"), word("pipelined"), word(kNative)}},
      {.name = "ranks", .defaults = {Value(std::int64_t{4})}, .help = "ranks P"},
      {.name = "message_bytes",
       .defaults = {Value(std::int64_t{1} << 20)},
       .help = "bytes n of a rank's tensor",
       .dimension = datasets::Dimension::bytes},
      {.name = "dtype", .defaults = {word("fp32")}, .help = "elements", .allowed = {word("fp32"), word("bf16")}},
      {.name = "node_ranks",
       .defaults = {Value(std::int64_t{0})},
       .help = "ranks of a node, for algorithms that know nodes; 0: as many as the cluster has, or half of all ranks",
       .minimum = 0},
      {.name = "cluster",
       .defaults = {word("dgx-a100")},
       .help = "cluster descriptor: what auto chooses for, and what is projected on"},
  };
}

ProgramScheme collective_scheme(const harness::State& state) {
  const datasets::Cluster cluster = datasets::load_cluster(state.text("cluster"), datasets::data_root());
  const DType dtype = state.text("dtype") == "bf16" ? DType::bf16 : DType::f32;
  const std::int64_t bytes = state.integer("message_bytes");
  if (state.text("algorithm") == kNative && state.fabric() != "mpi")
    throw UserError(fmt::format("algorithm: found native on fabric {}, expected mpi, whose library has collectives",
                                state.fabric()));
  if (bytes % size_of(dtype) != 0)
    throw UserError(fmt::format("message_bytes: found {}, expected a multiple of {} for {}", bytes, size_of(dtype),
                                state.text("dtype")));
  const CollectiveProblem problem = resolve_collective({.collective = state.text("collective"),
                                                        .algorithm = state.text("algorithm"),
                                                        .ranks = static_cast<int>(state.integer("ranks")),
                                                        .elements = bytes / size_of(dtype),
                                                        .dtype = dtype,
                                                        .node_ranks = static_cast<int>(state.integer("node_ranks"))},
                                                       cluster);
  auto* const processes = dynamic_cast<substrate::ProcessFabric*>(state.ensemble());
  auto* const library = problem.algorithm == kNative && processes != nullptr ? &processes->native() : nullptr;
  ProgramScheme scheme{.ranks = problem.ranks,
                       .work = {.bytes = static_cast<double>(bytes) * 2},
                       .program = collective_program(problem, library),
                       .data = [problem](std::optional<int> only) -> std::unique_ptr<ProgramData> {
                         return std::make_unique<CollectiveData>(problem, only);
                       }};
  scheme.counts_messages = problem.algorithm != kNative;
  if (problem.ranks > 1) {
    CollectiveProblem silent = problem;
    // Rank 0 is the root of a broadcast, before all others in a scan, and has a part where there are few elements.
    silent.leave_out = 0;
    scheme.mutants.push_back({"one-rank-left-out", collective_program(silent, library)});
    CollectiveProblem wrong = problem;
    wrong.last_element_lost = true;
    scheme.mutants.push_back({"last-element-lost", collective_program(wrong, library)});
  }
  return scheme;
}

const harness::Registration registration({
    .id = "parallelism/data/collectives",
    .title = "Collectives and their algorithms",
    .paper = "baseline",
    .summary = "all-reduce, all-gather, reduce-scatter, broadcast, all-to-all and scan, each with its algorithms",
    .implementations = {{.fabrics = {"threads", "emulated", "mpi"},
                         .axes = collective_axes(),
                         .run = program_case_detail::measure<collective_scheme>,
                         .source_file = __FILE__},
                        {.fabrics = {"cluster"},
                         .axes = collective_axes(),
                         .run = program_case_detail::project<collective_scheme>,
                         .source_file = __FILE__}},
    .project = project_collectives,
});

}  // namespace

}  // namespace assay::parallelism
