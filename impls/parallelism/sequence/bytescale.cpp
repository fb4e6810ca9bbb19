// ByteScale (arXiv 2502.21231): hybrid data parallelism. Data and context parallelism are one pool of ranks; a sequence
// takes as many of them as its length needs, any number from one to all.
//
//   long sequence      ring attention over D(s) ranks, every rank with pieces i and 2 D - 1 - i (zigzag)
//   short sequences    packed into rows of a rank's capacity C, nothing exchanged
//   offloading         of layers 2 .. l-1 a share r of the activations waits in host memory, hidden behind the next
//                      layer; it lowers D(s), and with it what travels (Eq. 3, variable_length/hdp_planner.h)
//   balance            units of equal work to the ranks that lag, so that ranks differ in their number of micro-batches
//                      and not in their time (Algorithm 2)
//
// Gradients are sums over tokens, so any assignment is the same training step. Costs per rank and sequence: those of a
// ring of D(s) ranks instead of one of the static mesh's d_cp: 2 (D - 1) C Hk d e forward. Arms: static, the mesh sized
// for the longest sequence of the data set; dynamic, Algorithm 1 without offloading; naive, with it; balance.
#include "impls/parallelism/variable_length/hdp_planner.h"

#include "datasets/machine.h"
#include "impls/parallelism/sequence/bytescale_claims.h"
#include "impls/parallelism/variable_length/batch_case.h"
#include "impls/parallelism/variable_length/batch_costs.h"

namespace assay::parallelism {

namespace {

std::vector<harness::Axis> bytescale_axes() {
  std::vector<harness::Axis> axes = batch_axes();
  const auto word = [](const char* text) { return harness::Value(std::string(text)); };
  axes.push_back(
      {.name = "arm",
       .defaults = {word("balance")},
       .help = "balance; naive: Algorithm 1; dynamic: that without offloading; static: a mesh for the longest",
       .allowed = {word("balance"), word("naive"), word("dynamic"), word("static")}});
  axes.push_back({.name = "balance",
                  .defaults = {word("dp")},
                  .help = "which unit comes next: dp, of the first bucket; pp, of each bucket in turn",
                  .allowed = {word("dp"), word("pp")}});
  axes.push_back({.name = "layers",
                  .defaults = {harness::Value(std::int64_t{32})},
                  .help = "layers of the model, of which the first and last stay in memory"});
  return axes;
}

// For data that are only checked: a token is worth 16 pairs, and a sequence of 200 tokens may offload half.
HdpCosts round_costs(int layers, std::int64_t capacity) {
  return {.pair_seconds = 1,
          .token_seconds = 16,
          .act_bytes = 1,
          .host_bandwidth = 0.013 * layers,
          .layers = layers,
          .capacity = capacity};
}

HdpCosts layer_costs(const BatchProblem& p, int layers, std::int64_t capacity, const datasets::Device& device) {
  BatchProblem both = p;
  both.backward = true;
  const LayerCosts layer = attention_costs(both, device);
  return {.pair_seconds = layers * layer.pair_seconds,
          .token_seconds = layers * layer.token_seconds,
          .act_bytes = 34.0 * p.heads * p.head_dim,
          .host_bandwidth = device.get("host_bandwidth", 0),
          .layers = layers,
          .capacity = capacity};
}

ProgramScheme bytescale_scheme(const harness::State& state) {
  BatchPlan plan;
  plan.problem = batch_problem(state);
  const BatchProblem& p = plan.problem;
  const std::int64_t capacity = batch_capacity(state, p);
  require_room(p, capacity);
  const int layers = static_cast<int>(state.integer("layers"));
  HdpCosts costs = round_costs(layers, capacity);
  if (state.fabric() == "cluster") {
    const std::string root = datasets::data_root();
    costs = layer_costs(p, layers, capacity,
                        datasets::load_device(datasets::load_cluster(state.text("cluster"), root).device, root));
  }
  const std::string& arm = state.text("arm");
  const HdpBalance balance = state.text("balance") == "pp" ? HdpBalance::pipeline : HdpBalance::data;
  if (arm == "dynamic") costs.host_bandwidth = 0;
  const std::int64_t longest = state.integer("longest");
  plan.items = (arm == "static"    ? plan_static_mesh(p, longest, costs)
                : arm == "balance" ? plan_hdp_balanced(p, costs, balance)
                                   : plan_hdp_naive(p, costs))
                   .items;
  return batch_scheme(std::move(plan));
}

const harness::Registration registration({
    .id = "parallelism/sequence/bytescale",
    .title = "ByteScale (hybrid data parallelism)",
    .paper = "arXiv 2502.21231",
    .summary = "every sequence on as many ranks as its length needs, balanced over a batch; selective offloading",
    .implementations = over_ranks<bytescale_scheme>(bytescale_axes(), __FILE__),
    .project = project_bytescale,
});

}  // namespace

}  // namespace assay::parallelism
