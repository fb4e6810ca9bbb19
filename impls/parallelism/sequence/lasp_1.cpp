// LASP (arXiv 2404.02882): sequence parallelism for linear attention by passing the state around once.
//
// Rank r holds a run of tokens. It receives the state of all tokens before it, composes it with its own and sends the
// result on; what a rank's tokens give each other does not wait for that. Backward, the gradient of the state comes
// from the right and goes to the left.
//
//   O = O_intra + Lam Q KV_in,   KV_out = lambda^C KV_in + (lambda^C Lam^-1 K)^T V
//
// Costs per rank: forward one message of B H d^2 states, backward one; but W-1 of them follow one another each way, and
// only O_intra hides behind them.
#include "impls/parallelism/sequence/linear_claims.h"
#include "impls/parallelism/sequence/linear_layer.h"

namespace assay::parallelism {

namespace {

ProgramScheme lasp_scheme(const harness::State& state) { return linear_scheme(linear_case(state), passed_state); }

const harness::Registration registration({
    .id = "parallelism/sequence/lasp-1",
    .title = "Linear Attention Sequence Parallelism",
    .paper = "arXiv 2404.02882",
    .summary = "the state of linear attention goes from rank to rank, and its gradient back; exact, with decay",
    .implementations = over_ranks<lasp_scheme>(linear_axes("head"), __FILE__),
    .project = project_lasp_1,
});

}  // namespace

}  // namespace assay::parallelism
