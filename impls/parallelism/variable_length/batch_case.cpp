#include "impls/parallelism/variable_length/batch_case.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <memory>
#include <utility>

#include "datasets/machine.h"
#include "datasets/user_error.h"
#include "datasets/workloads/length_distribution.h"
#include "impls/parallelism/sequence/sequence_case.h"
#include "impls/parallelism/variable_length/batch_data.h"
#include "impls/parallelism/variable_length/batch_program.h"

namespace assay::parallelism {

using harness::Axis;
using harness::Value;

std::vector<Axis> batch_axes() {
  const auto count = [](std::int64_t value) { return Value(value); };
  const auto word = [](const char* value) { return Value(std::string(value)); };
  std::vector<Axis> axes = {
      {.name = "workload",
       .defaults = {word("github")},
       .help = "data set whose lengths are drawn: a distribution of datasets/workloads/lengths, or a file of one"},
      {.name = "sequences", .defaults = {count(12)}, .help = "sequences of the batch"},
      {.name = "longest", .defaults = {count(256)}, .help = "tokens of the longest sequence; longer ones are cut"},
      {.name = "shrink",
       .defaults = {count(32)},
       .help = "every length is divided by this (at least one token is left), so that real data stay small"},
      {.name = "batch_seed", .defaults = {count(1)}, .help = "which batch is drawn", .minimum = 0},
      {.name = "capacity",
       .defaults = {count(0)},
       .help =
           "tokens a rank holds at one time; 0: what the longest sequence or half an even share needs, and a twelfth",
       .minimum = 0},
      {.name = "ranks", .defaults = {count(4)}, .help = "ranks of the batch"},
  };
  for (Axis& axis : without(sequence_axes(), {"sequence_length", "ranks", "batch", "causal", "layout"}))
    axes.push_back(std::move(axis));
  return axes;
}

BatchProblem batch_problem(const harness::State& state) {
  const auto whole = [&](const char* axis) { return static_cast<int>(state.integer(axis)); };
  const datasets::LengthDistribution distribution =
      datasets::load_length_distribution(state.text("workload"), datasets::data_root());
  const std::int64_t shrink = state.integer("shrink");
  BatchProblem problem{.lengths = datasets::draw_lengths(distribution, state.integer("sequences"),
                                                         state.integer("longest") * shrink, datasets::Overlong::cut,
                                                         static_cast<std::uint64_t>(state.integer("batch_seed"))),
                       .ranks = whole("ranks"),
                       .heads = whole("heads"),
                       .kv_heads = key_heads(state),
                       .head_dim = whole("head_dim"),
                       .dtype = storage(state),
                       .backward = state.flag("backward")};
  for (std::int64_t& length : problem.lengths) length = std::max<std::int64_t>(1, length / shrink);
  return problem;
}

std::int64_t batch_capacity(const harness::State& state, const BatchProblem& problem) {
  if (state.integer("capacity") > 0) return state.integer("capacity");
  const std::int64_t longest = *std::ranges::max_element(problem.lengths);
  const std::int64_t members = std::bit_floor(static_cast<unsigned>(problem.ranks));  // some schemes take powers of two
  const std::int64_t least =
      std::max((longest + members - 1) / members, (problem.tokens() + 2 * problem.ranks - 1) / (2 * problem.ranks));
  return least + least / 12 + 1;
}

void require_room(const BatchProblem& problem, std::int64_t capacity) {
  const std::int64_t longest = *std::ranges::max_element(problem.lengths);
  if (capacity * problem.ranks < longest)
    throw UserError(fmt::format("capacity: found {}, expected at least {}: {} ranks must hold a sequence of {} tokens",
                                capacity, (longest + problem.ranks - 1) / problem.ranks, problem.ranks, longest));
}

RankProgram batch_program(BatchPlan plan) {
  require_whole(plan);
  return [plan = std::make_shared<const BatchPlan>(std::move(plan))](substrate::Rank& rank, ProgramData* data) {
    return batch_layer(
        rank, *plan, data == nullptr ? BatchMemory{} : [batch = static_cast<BatchData*>(data)](int item, int member) {
          return batch->memory(item, member);
        });
  };
}

namespace {

std::vector<ProgramMutant> mutants_of(const BatchPlan& plan) {
  std::vector<ProgramMutant> mutants;
  const auto add = [&](const char* name, auto change) {
    BatchPlan wrong = plan;
    change(wrong.fault);
    mutants.push_back({name, batch_program(std::move(wrong))});
  };
  const auto any = [&](auto holds) { return std::ranges::any_of(plan.items, holds); };
  if (any([](const BatchItem& item) { return item.sequences.size() > 1; }))
    add("mask-across-sequences", [](BatchFault& fault) { fault.across_sequences = true; });
  if (any([](const BatchItem& item) { return item.members() > 1 && !item.shares.back().empty(); }))
    add("last-member-unheard", [](BatchFault& fault) { fault.last_member_unheard = true; });
  if (plan.problem.backward && any([](const BatchItem& item) {
        return item.exchange == Exchange::ring && item.members() > 1 && tokens_of(item.shares[0]) > 0;
      }))
    add("gradients-not-summed", [](BatchFault& fault) { fault.own_gradient_only = true; });
  if (plan.problem.backward && any([](const BatchItem& item) { return item.offload > 0; }))
    add("offloaded-lost", [](BatchFault& fault) { fault.nothing_comes_back = true; });
  if (plan.routed_node_ranks > 0 && any([&](const BatchItem& item) {
        const auto node_of = [&](int member) {
          return item.ranks[static_cast<std::size_t>(member)] / plan.routed_node_ranks;
        };
        for (int m = 1; m + 1 < item.members(); ++m)
          if (node_of(m - 1) == node_of(m) && node_of(m + 1) != node_of(m)) return item.exchange == Exchange::ring;
        return false;
      }))
    add("first-route-lost", [](BatchFault& fault) { fault.first_route_lost = true; });
  if (!plan.moves.empty()) add("remapped-lost", [](BatchFault& fault) { fault.remapped_lost = true; });
  add("wrong-scale", [](BatchFault& fault) { fault.scale = 1.0625F; });
  return mutants;
}

harness::Work work_of(const BatchProblem& problem) {
  const auto tokens = static_cast<double>(problem.tokens());
  const double q = tokens * problem.heads * problem.head_dim;
  const double kv = 2 * tokens * problem.kv_heads * problem.head_dim;
  const double element = static_cast<double>(size_of(problem.dtype));
  double bytes = element * (2 * q + kv) + 4 * tokens * problem.heads;
  if (problem.backward) bytes += element * (2 * q + kv) + 4 * (q + kv);
  return {.flops = problem.flops(),
          .bytes = bytes,
          .exps = problem.flops() / (4.0 * problem.head_dim) * (problem.backward ? 4.0 / 7 : 1),
          .working_set = bytes,
          .roof = "fp32-fma"};
}

}  // namespace

ProgramScheme batch_scheme(BatchPlan plan) {
  const auto shared = std::make_shared<const BatchPlan>(std::move(plan));
  return {
      .ranks = shared->problem.ranks,
      .dtype = shared->problem.dtype == substrate::DType::bf16 ? substrate::OpDtype::bf16 : substrate::OpDtype::fp32,
      .tokens = shared->problem.tokens(),
      .work = work_of(shared->problem),
      .program = batch_program(*shared),
      .data = [shared](std::optional<int> only) { return std::make_unique<BatchData>(shared, only); },
      .mutants = mutants_of(*shared)};
}

}  // namespace assay::parallelism
