// LASP-2 (arXiv 2502.07563): sequence parallelism for linear attention with one gather a pass.
//
// Every rank gathers the states of all, while its tokens attend to each other, and sums those before it (after it,
// backward). Two collectives a layer in place of 2 (W-1) steps; where the state decays the gathered ones are weighted
// with the decays of the ranks between, which travel with them.
//
//   M_t = K_t^T V_t;   AllGather {M_t};   O_t = O_intra + Q_t sum_{j<t} M_j
//
// Costs per rank: W-1 messages of B H d^2 states each way, whatever the length of the sequence.
#include <algorithm>
#include <cstring>
#include <vector>

#include "datasets/machine.h"
#include "impls/parallelism/sequence/linear_claims.h"
#include "impls/parallelism/sequence/linear_layer.h"
#include "impls/substrate/fabric/collectives.h"

namespace assay::parallelism {

using substrate::Buffer;
using substrate::Memory;
using substrate::Rank;
using substrate::Tag;
using substrate::Task;

namespace {

constexpr Tag kStates{.value = 3, .name = "states"};
constexpr Tag kStateGradients{.value = 4, .name = "dstates"};

}  // namespace

// The states before a rank, from those of all. Decays that differ from rank to rank are known to the rank alone and go
// with its state; one a head follows from how many tokens a rank has, but is sent alike.
Task<Buffer> gathered_state(Rank& rank, const LinearPlan& plan, Buffer own, const Buffer& total, bool reverse) {
  const int me = rank.id(), ranks = rank.size();
  const bool decays = plan.decay != Decay::none;
  const std::int64_t bytes = plan.state_bytes() + (decays ? plan.decay_bytes() : 0);
  Buffer mine = rank.allocate("own state and decay", Memory::communication, bytes);
  if (rank.real()) {
    std::byte* to = mine.write<std::byte>().data();
    std::memcpy(to, own.read<std::byte>().data(), static_cast<std::size_t>(plan.state_bytes()));
    if (decays)
      std::memcpy(to + plan.state_bytes(), total.read<std::byte>().data(),
                  static_cast<std::size_t>(plan.decay_bytes()));
  }
  own = Buffer();
  substrate::AllGather gather(rank, std::move(mine), std::vector<std::int64_t>(static_cast<std::size_t>(ranks), bytes),
                              plan.problem.node_ranks, reverse ? kStateGradients : kStates, "states of all");
  const std::vector<Buffer> states = co_await gather.arrived();

  const int before = reverse ? ranks - 1 - me : me;
  if (before == 0) co_return Buffer();
  Buffer sum = rank.allocate("state before", Memory::activation, plan.state_bytes());
  co_await rank.copy(before * plan.state_bytes(), [&] {
    const auto to = sum.write<float>();
    std::ranges::fill(to, 0.0F);
    const std::vector<float> none(static_cast<std::size_t>(plan.shape.decay_elements()), 1.0F);
    // Horner: what is so far decays over the next rank's tokens before that one's state joins it.
    const int counted = plan.own_included ? before + 1 : before;
    for (int step = 0; step < counted; ++step) {
      const int from = reverse ? ranks - 1 - step : step;
      const auto theirs = states[static_cast<std::size_t>(from)].read<float>();
      const float* decay = decays && !plan.undecayed ? theirs.data() + plan.shape.state_elements() : none.data();
      std::vector<float> joined(theirs.begin(), theirs.begin() + plan.shape.state_elements());
      compose_states(plan.shape, 0, plan.problem.head_dim, decay, to.data(), joined.data());
      std::ranges::copy(joined, to.begin());
    }
  });
  co_return sum;
}

namespace {

ProgramScheme lasp_scheme(const harness::State& state) {
  LinearCase layer = linear_case(state);
  if (state.fabric() == "cluster")
    layer.problem.node_ranks = datasets::load_cluster(state.text("cluster"), datasets::data_root()).devices_per_node;
  ProgramScheme scheme = linear_scheme(layer, gathered_state);
  if (layer.problem.ranks > 1) {
    LinearPlan wrong(layer.problem, layer.decay, layer.blocks);
    wrong.own_included = true;
    scheme.mutants.push_back({"own-state-counted-twice", linear_program(wrong, gathered_state)});
  }
  return scheme;
}

const harness::Registration registration({
    .id = "parallelism/sequence/lasp-2",
    .title = "LASP-2: Rethinking Sequence Parallelism for Linear Attention",
    .paper = "arXiv 2502.07563",
    .summary = "one gather of the states of linear attention a pass, and sums of those before a rank; exact",
    .implementations = over_ranks<lasp_scheme>(linear_axes("none"), __FILE__),
    .project = project_lasp_2,
});

}  // namespace

}  // namespace assay::parallelism
