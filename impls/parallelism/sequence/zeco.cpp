// ZeCO (arXiv 2507.01004): sequence parallelism for gated linear attention with a pipelined scan.
//
// The state is cut into Kb blocks of key rows. Block k goes to the next rank as soon as block k of the state before
// this one has come and is composed (All-Scan), so that all ranks are busy with blocks at once, beside the products
// that the tokens of a rank need among themselves. With Kb = 1 it is the ring of LASP.
//
//   S_send(k) = S_N(k) + diag(ghat_N(k)) S_recv(k),   O_n = Qtil_n (S_{n-1} + diag(ghat_{n-1}) S_recv) + P_n V_n
//
// Costs per rank: the bytes of one state forward and one backward, in Kb messages each; from end to end
// tau(S) + (P-1) (tau(S)/Kb + alpha), of which the paper leaves out alpha.
#include "impls/parallelism/sequence/linear_claims.h"
#include "impls/parallelism/sequence/linear_layer.h"

namespace assay::parallelism {

namespace {

std::vector<harness::Axis> zeco_axes() {
  std::vector<harness::Axis> axes = linear_axes("token");
  axes.push_back({.name = "blocks",
                  .defaults = {harness::Value(std::int64_t{4})},
                  .help = "blocks Kb the state is passed on in, at most head_dim"});
  return axes;
}

ProgramScheme zeco_scheme(const harness::State& state) { return linear_scheme(linear_case(state), passed_state); }

const harness::Registration registration({
    .id = "parallelism/sequence/zeco",
    .title = "ZeCO: Zero Communication Overhead Sequence Parallelism",
    .paper = "arXiv 2507.01004",
    .summary = "the state of gated linear attention goes from rank to rank in a pipeline of blocks; exact",
    .implementations = over_ranks<zeco_scheme>(zeco_axes(), __FILE__),
    .project = project_zeco,
});

}  // namespace

}  // namespace assay::parallelism
