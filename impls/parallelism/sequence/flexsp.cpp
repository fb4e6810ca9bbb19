// FlexSP (arXiv 2412.01523): sequence-parallel groups of different degrees side by side, chosen for every batch.
//
// With one degree for all, short sequences pay the all-to-all of the longest between nodes. FlexSP plans each batch:
//   1. cut it into micro-batches that the memory holds, sequences of like length together
//   2. in each, choose a multiset of degrees 2^k with sum N and give every sequence a group, so that the slowest group
//      is as fast as can be (variable_length/flexsp_solver.h: cost model, buckets, bounds)
//   3. every group works as Ulysses does (variable_length/heads_exchange.cpp), on neighbours
//
// Costs per rank of a group of d with T packed tokens: four all-to-alls as in Ulysses, (d-1)/d^2 T (2 H + 2 Hk) d_head
// elements forward and the same backward. Everything hangs on the cliff between the bandwidth inside a node and beside
// it: with equal links there is nothing to win. Arms: flexsp; batch-adaptive, the best single degree of the batch;
// static, the degree that the longest sequence of the data set needs (DeepSpeed).
#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "datasets/machine.h"
#include "datasets/user_error.h"
#include "impls/parallelism/sequence/flexsp_claims.h"
#include "impls/parallelism/variable_length/batch_case.h"
#include "impls/parallelism/variable_length/flexsp_plan.h"

namespace assay::parallelism {

namespace {

std::vector<harness::Axis> flexsp_axes() {
  std::vector<harness::Axis> axes = batch_axes();
  const auto word = [](const char* text) { return harness::Value(std::string(text)); };
  axes.push_back({.name = "arm",
                  .defaults = {word("flexsp")},
                  .help = "flexsp; batch-adaptive: one degree a batch; static: that of the longest sequence",
                  .allowed = {word("flexsp"), word("batch-adaptive"), word("static")}});
  return axes;
}

// Degrees whose ranks all get heads.
bool can_deal(const BatchProblem& p, int degree) {
  return p.heads % degree == 0 && (p.kv_heads % degree == 0 || degree % p.kv_heads == 0);
}

ProgramScheme flexsp_scheme(const harness::State& state) {
  BatchPlan plan;
  plan.problem = batch_problem(state);
  const BatchProblem& p = plan.problem;
  const std::int64_t capacity = batch_capacity(state, p);
  require_room(p, capacity);
  const int widest = 1 << (std::bit_width(static_cast<unsigned>(p.ranks)) - 1);
  for (int degree = 1; degree <= widest; degree *= 2)
    if (!can_deal(p, degree))
      throw UserError(fmt::format("{}: found {}, expected a multiple or a divisor of {}, a degree of {} ranks",
                                  p.heads % degree != 0 ? "heads" : "kv_heads",
                                  p.heads % degree != 0 ? p.heads : p.kv_heads, degree, p.ranks));
  FlexSpCosts costs = flexsp_round_costs(p.ranks, capacity);
  if (state.fabric() == "cluster") {
    const std::string root = datasets::data_root();
    const datasets::Cluster cluster = datasets::load_cluster(state.text("cluster"), root);
    costs = flexsp_layer_costs(p, capacity, datasets::load_device(cluster.device, root), cluster);
  }
  const std::string& arm = state.text("arm");
  const std::int64_t longest = *std::ranges::max_element(p.lengths);
  const FlexSpPlan chosen = arm == "flexsp" ? plan_flexsp(p.lengths, p.ranks, costs)
                            : arm == "batch-adaptive"
                                ? plan_batch_adaptive(p.lengths, p.ranks, costs)
                                : plan_one_degree(p.lengths, p.ranks, costs.least_level(longest), costs);
  if (chosen.micro_batches.empty())
    throw UserError(fmt::format("capacity: found {}, expected more: no degree of {} ranks holds {} tokens", capacity,
                                p.ranks, longest));
  plan.items = flexsp_items(p, chosen);
  return batch_scheme(std::move(plan));
}

const harness::Registration registration({
    .id = "parallelism/sequence/flexsp",
    .title = "FlexSP",
    .paper = "arXiv 2412.01523",
    .summary = "sequence-parallel groups of different degrees for sequences of different lengths, solved a batch",
    .implementations = over_ranks<flexsp_scheme>(flexsp_axes(), __FILE__),
    .project = project_flexsp,
});

}  // namespace

}  // namespace assay::parallelism
