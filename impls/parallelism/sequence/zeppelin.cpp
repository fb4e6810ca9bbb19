// Zeppelin (arXiv 2509.21841): every sequence of a batch where its length pays, all NICs for what crosses nodes, and as
// many tokens a rank for the modules that do not care about sequences.
//
//   zones      long sequences are rings over all nodes, middle ones rings inside a node, short ones stay on one rank; a
//              threshold falls until capacities hold (variable_length/zeppelin_planner.h, rebuilt from the description)
//   engine     rings between nodes first, then inside nodes, then local
//   routing    what a ring sends over a border of nodes is cut into a piece for every rank of the node and put together
//              beyond (variable_length/ring_hop.h): b_inter n becomes b_inter n / x + 2 b_intra n (x - 1) / x
//   remapping  after attention, tokens move until every rank has an even share, and back
//   (variable_length/token_remap.h)
//
// Arms: te-cp, the baseline: every sequence over all ranks; routing: that with routed borders; engine: zones; both;
// all: with remapping. The legs of a routed transfer follow one another here; the paper pipelines them in chunks.
#include <algorithm>
#include <numeric>

#include "datasets/machine.h"
#include "datasets/user_error.h"
#include "impls/parallelism/sequence/zeppelin_claims.h"
#include "impls/parallelism/variable_length/batch_case.h"
#include "impls/parallelism/variable_length/zeppelin_planner.h"

namespace assay::parallelism {

namespace {

std::vector<harness::Axis> zeppelin_axes() {
  std::vector<harness::Axis> axes = batch_axes();
  const auto word = [](const char* text) { return harness::Value(std::string(text)); };
  axes.push_back({.name = "arm",
                  .defaults = {word("all")},
                  .help = "te-cp: every sequence over all ranks; routing: that, routed; engine: zones; both; all",
                  .allowed = {word("te-cp"), word("routing"), word("engine"), word("both"), word("all")}});
  axes.push_back(
      {.name = "node_ranks",
       .defaults = {harness::Value(std::int64_t{2})},
       .help =
           "ranks that count as a node where it does not divide the ranks, all of them; on cluster the descriptor's"});
  return axes;
}

ProgramScheme zeppelin_scheme(const harness::State& state) {
  const BatchProblem problem = batch_problem(state);
  const std::int64_t capacity = batch_capacity(state, problem);
  require_room(problem, capacity);
  int node_ranks = static_cast<int>(state.integer("node_ranks"));
  if (state.fabric() == "cluster")
    node_ranks = datasets::load_cluster(state.text("cluster"), datasets::data_root()).devices_per_node;
  return batch_scheme(plan_zeppelin(problem, state.text("arm"), node_ranks, capacity));
}

const harness::Registration registration({
    .id = "parallelism/sequence/zeppelin",
    .title = "Zeppelin",
    .paper = "arXiv 2509.21841",
    .summary =
        "sequences local, inside a node or over nodes by length; routed transfers; tokens evened out for the rest",
    .implementations = over_ranks<zeppelin_scheme>(zeppelin_axes(), __FILE__),
    .project = project_zeppelin,
});

}  // namespace

}  // namespace assay::parallelism
