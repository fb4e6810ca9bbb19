// LASP-2H (arXiv 2502.07563, section on hybrid models): sequence parallelism for models that mix linear and standard
// attention. Both kinds of layer gather once a pass:
//
//   linear layers    AllGather of the states M_t, B H d^2 elements a rank whatever the length         (LASP-2)
//   standard layers  AllGather of K_t, V_t, 2 c Hk d elements; backward again, and dK, dV reduced and scattered
//
// so that a hybrid of n layers needs n gathers forward. The paper's hybrids have a standard layer every fourth; here it
// is the last of every `softmax_every`. Layers are attention alone, each on inputs of its own: what lies between them
// is token-wise and sends nothing. Forward passes run in order, backward passes in reverse, with what they need held.
//
// Costs per rank: those of its layers, (W-1) (n_linear B H d^2 4 + n_standard 2 c Hk d e) bytes forward. At c tokens a
// rank one standard layer sends 2 c e / (4 d) times what a linear one does: the standard layers decide.
#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>

#include <fmt/format.h>

#include "datasets/machine.h"
#include "datasets/user_error.h"
#include "impls/parallelism/sequence/cp_balance.h"
#include "impls/parallelism/sequence/lasp_2h.h"
#include "impls/parallelism/sequence/linear_data.h"
#include "impls/parallelism/sequence/sequence_case.h"

namespace assay::parallelism {

using substrate::Rank;
using substrate::Task;

namespace {

struct HybridPlan {
  HybridPlan(const SequenceProblem& layer, const HybridLayers& of)
      : layers(of), linear(layer, of.decay, 1), standard(layer) {}

  HybridLayers layers;
  LinearPlan linear;
  GatherPlan standard;
};

// One layer's data after another's.
class HybridData : public ProgramData {
 public:
  HybridData(const HybridPlan& plan, std::optional<int> only) {
    for (int layer = 0; layer < plan.layers.count; ++layer) {
      if (plan.layers.standard(layer))
        layers_.push_back(std::make_unique<SequenceData>(plan.standard, only));
      else
        layers_.push_back(std::make_unique<LinearData>(plan.linear, only));
    }
  }
  ProgramData* layer(int index) { return layers_[static_cast<std::size_t>(index)].get(); }

  void draw(std::uint64_t seed) override {
    for (std::size_t i = 0; i < layers_.size(); ++i) layers_[i]->draw(seed * layers_.size() + i);
  }
  std::vector<std::span<std::byte>> outputs_of(int rank) override {
    std::vector<std::span<std::byte>> all;
    for (const auto& each : layers_)
      for (const std::span<std::byte> part : each->outputs_of(rank)) all.push_back(part);
    return all;
  }
  std::vector<harness::Output> outputs() override {
    std::vector<harness::Output> all;
    for (std::size_t i = 0; i < layers_.size(); ++i)
      for (harness::Output& each : layers_[i]->outputs()) {
        each.name = fmt::format("{} of layer {}", each.name, i);
        all.push_back(std::move(each));
      }
    return all;
  }
  // The worst layer's, and the least that any covers.
  harness::Check compare(std::uint64_t seed) const override {
    harness::Check worst = layers_.front()->compare(seed);
    for (std::size_t i = 1; i < layers_.size(); ++i) {
      harness::Check each = layers_[i]->compare(seed);
      const double coverage = std::min(worst.coverage, each.coverage);
      if (!std::isnan(worst.error) && !(each.error <= worst.error)) {
        each.detail = fmt::format("layer {}: {}", i, each.detail);
        worst = std::move(each);
      }
      worst.coverage = coverage;
    }
    return worst;
  }
  bool compares_all() const override {
    return std::ranges::all_of(layers_, [](const auto& each) { return each->compares_all(); });
  }
  void refer(std::uint64_t seed) const override {
    for (const auto& each : layers_) each->refer(seed);
  }

 private:
  std::vector<std::unique_ptr<ProgramData>> layers_;
};

Task<> one_layer(Rank& rank, const HybridPlan& plan, HybridData* data, int layer, LayersAbove above) {
  ProgramData* own = data == nullptr ? nullptr : data->layer(layer);
  if (plan.layers.standard(layer))
    return sharded_layer(
        rank, plan.standard, sequence_memory(own, rank.id()),
        [&plan](Rank& each, RingShard& shard) { return gather_attention_forward(each, plan.standard, shard); },
        [&plan](Rank& each, RingShard& shard) { return gather_attention_backward(each, plan.standard, shard); },
        std::move(above));
  static const StateExchange exchange = gathered_state;
  return linear_layer(rank, plan.linear,
                      own == nullptr ? LinearMemory{} : static_cast<LinearData*>(own)->memory(rank.id()), exchange,
                      std::move(above));
}

// Layer `first` and those above it, forward and back.
Task<> layers_from(Rank& rank, const HybridPlan& plan, HybridData* data, int first) {
  if (first == plan.layers.count) co_return;
  co_await one_layer(rank, plan, data, first,
                     [&rank, &plan, data, first] { return layers_from(rank, plan, data, first + 1); });
}

Task<> hybrid(Rank& rank, const HybridPlan& plan, HybridData* data) {
  if (plan.standard.problem.backward) {
    co_await layers_from(rank, plan, data, 0);
    co_return;
  }
  for (int layer = 0; layer < plan.layers.count; ++layer) co_await one_layer(rank, plan, data, layer, nullptr);
}

RankProgram hybrid_of(HybridPlan plan) {
  return [plan = std::make_shared<const HybridPlan>(std::move(plan))](Rank& rank, ProgramData* data) {
    return hybrid(rank, *plan, static_cast<HybridData*>(data));
  };
}

harness::Work hybrid_work(const SequenceProblem& problem, const HybridLayers& layers) {
  harness::Work work = attention_layer_work(problem);
  const int standard = layers.standards(), linear = layers.count - standard;
  const double q = static_cast<double>(problem.length) * problem.batch * problem.heads * problem.head_dim;
  const double linear_bytes = q * size_of(problem.dtype) * 4 * (problem.backward ? 2.5 : 1);
  work.flops = standard * work.flops + linear * LinearPlan(problem, layers.decay, 1).flops();
  work.bytes = standard * work.bytes + linear * linear_bytes;
  work.exps *= standard;
  work.working_set = work.bytes;
  return work;
}

std::vector<harness::Axis> hybrid_axes() {
  std::vector<harness::Axis> axes = linear_axes("none");
  axes.push_back(
      {.name = "layers", .defaults = {harness::Value(std::int64_t{4})}, .help = "attention layers of the hybrid"});
  axes.push_back({.name = "softmax_every",
                  .defaults = {harness::Value(std::int64_t{4})},
                  .help = "the last of every so many layers is standard attention; 1: all are"});
  return axes;
}

ProgramScheme hybrid_scheme(const harness::State& state) {
  SequenceProblem problem = linear_case(state).problem;
  const HybridLayers layers{.count = static_cast<int>(state.integer("layers")),
                            .softmax_every = static_cast<int>(state.integer("softmax_every")),
                            .decay = decay_from(state.text("decay"))};
  if (layers.standards() == 0)
    throw UserError(
        fmt::format("softmax_every: found {}, expected at most layers ({}): without standard attention it "
                    "is lasp-2",
                    layers.softmax_every, layers.count));
  if (state.fabric() == "cluster")
    problem.node_ranks = datasets::load_cluster(state.text("cluster"), datasets::data_root()).devices_per_node;
  std::vector<ProgramMutant> mutants;
  const auto wrong = [&](const char* name, auto change) {
    HybridPlan changed(problem, layers);
    change(changed);
    mutants.push_back({name, hybrid_of(std::move(changed))});
  };
  const bool linear = layers.standards() < layers.count;
  if (problem.ranks > 1) {
    wrong("first-rank-not-heard-by-standard-layers", [](HybridPlan& plan) { plan.standard.deaf_to = 0; });
    if (linear)
      wrong("last-rank-starts-from-nothing",
            [](HybridPlan& plan) { plan.linear.forgets = plan.linear.problem.ranks - 1; });
    if (linear) wrong("own-state-counted-twice", [](HybridPlan& plan) { plan.linear.own_included = true; });
    if (problem.backward)
      wrong("gradients-not-summed", [](HybridPlan& plan) { plan.standard.own_gradient_only = true; });
  }
  wrong("wrong-scale-of-standard-layers", [](HybridPlan& plan) { plan.standard.block.scale *= 1.0625F; });
  if (linear) wrong("wrong-scale-of-linear-layers", [](HybridPlan& plan) { plan.linear.shape.scale *= 1.0625F; });
  return sequence_scheme(
      problem,
      {.program = [layers](const SequenceProblem& layer) { return hybrid_program(layer, layers); },
       .data = [layers](const SequenceProblem& layer, std::optional<int> only) -> std::unique_ptr<ProgramData> {
         return std::make_unique<HybridData>(HybridPlan(layer, layers), only);
       },
       .work = [layers](const SequenceProblem& layer) { return hybrid_work(layer, layers); }},
      std::move(mutants));
}

const harness::Registration registration({
    .id = "parallelism/sequence/lasp-2h",
    .title = "LASP-2H: sequence parallelism for hybrids of linear and standard attention",
    .paper = "arXiv 2502.07563",
    .summary = "one gather a layer and pass: of states in linear layers, of keys and values in standard ones; exact",
    .implementations = over_ranks<hybrid_scheme>(hybrid_axes(), __FILE__),
});

}  // namespace

RankProgram hybrid_program(const SequenceProblem& layer, const HybridLayers& layers) {
  return hybrid_of(HybridPlan(layer, layers));
}

}  // namespace assay::parallelism
