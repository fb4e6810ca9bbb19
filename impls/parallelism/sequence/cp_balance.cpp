// Balanced context parallelism: the causal mask gives contiguous shares of a sequence (r + 1)/P of the work of the last
// one, so that a ring runs (2P - 1)/P times as long as it must. Three answers, all exact:
//   zigzag      (Megatron-Core context parallelism) 2P chunks, rank r holds chunks r and 2P-1-r: every rank has the
//   same
//               work in every step, in long runs of tokens
//   striped     (Striped Attention, arXiv 2311.09431) token i on rank i mod P: every block is a triangle, so its tiles
//   on
//               the diagonal are half wasted
//   all-gather  (Llama 3, Megatron-Core cp_comm_type all_gather) K and V of all ranks gathered once, dK and dV reduced
//               and scattered: nothing overlaps and K, V of the whole sequence are held, but any mask is balanced that
//               the layout balances, and there is one collective in place of P - 1 steps
//
// The exchange p2p is the loop of ring attention. Costs per rank of all-gather: forward P-1 messages of 2 c Hk d e
// bytes; backward the same again and P-1 of 2 c Hk d 4.
#include "impls/parallelism/sequence/cp_balance.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <memory>
#include <utility>

#include "datasets/machine.h"
#include "impls/parallelism/sequence/cp_balance_claims.h"
#include "impls/parallelism/sequence/ring_attention.h"
#include "impls/parallelism/sequence/ring_attention_case.h"
#include "impls/parallelism/sequence/sequence_case.h"
#include "impls/substrate/fabric/collectives.h"

namespace assay::parallelism {

using substrate::Buffer;
using substrate::Memory;
using substrate::OpWork;
using substrate::Rank;
using substrate::Tag;
using substrate::Task;

OpWork GatherPlan::over_all_keys(OpWork (RingPlan::*block_work)(int, int) const, int rank) const {
  OpWork all;
  for (int source = 0; source < problem.ranks; ++source) {
    const OpWork one = (this->*block_work)(rank, source);
    if (source == 0) {
      all = one;
      continue;
    }
    all.flops += one.flops;
    all.exps += one.exps;
    all.bytes += static_cast<double>(kv_bytes(source));
  }
  const std::int64_t queries = layout.tokens(rank);
  std::int64_t seen = 0;
  for (int source = 0; source < problem.ranks; ++source) seen += pairs(rank, source);
  all.keys = queries == 0 ? 0 : (seen + queries - 1) / queries;
  all.causal = false;
  return all;
}

namespace {

constexpr Tag kKeysValues{.value = 1, .name = "kv"};
constexpr Tag kGradients{.value = 2, .name = "dkv"};

Task<std::vector<Buffer>> gathered(Rank& rank, const GatherPlan& plan, const Buffer& kv) {
  std::vector<std::int64_t> bytes;
  for (int r = 0; r < rank.size(); ++r) bytes.push_back(plan.kv_bytes(r));
  substrate::AllGather all(rank, rank.slice(kv, 0, kv.bytes()), std::move(bytes), plan.problem.node_ranks, kKeysValues,
                           "kv of all");
  co_return co_await all.arrived();
}

}  // namespace

Task<> gather_attention_forward(Rank& rank, const GatherPlan& plan, RingShard& shard) {
  const int me = rank.id();
  const std::vector<Buffer> parts = co_await gathered(rank, plan, shard.kv);
  const bool separate = plan.problem.dtype != substrate::DType::f32;
  Buffer wide = separate ? rank.allocate("o accumulator", Memory::workspace, plan.q_elements(me) * 4) : Buffer();
  Buffer& acc = separate ? wide : shard.o;
  co_await rank.compute(plan.over_all_keys(&RingPlan::forward_work, me), [&] {
    std::ranges::fill(acc.write<float>(), 0.0F);
    std::ranges::fill(shard.lse.write<float>(), -std::numeric_limits<float>::infinity());
    for (int source = 0; source < rank.size(); ++source) {
      if (source == plan.deaf_to) continue;
      const std::byte* kv = parts[static_cast<std::size_t>(source)].read<std::byte>().data();
      block_forward(plan.block, shard.q.read<std::byte>().data(), shard.positions, kv, kv + plan.kv_bytes(source) / 2,
                    plan.layout.positions(source), plan.merge, acc.write<float>().data(),
                    shard.lse.write<float>().data());
    }
    if (separate)
      store(plan.problem.dtype, acc.read<float>().data(), plan.q_elements(me), shard.o.write<std::byte>().data());
  });
}

Task<> gather_attention_backward(Rank& rank, const GatherPlan& plan, RingShard& shard) {
  const int me = rank.id();
  Buffer delta = rank.allocate("delta", Memory::workspace, plan.rows(me) * 4);
  co_await rank.compute(plan.pointwise_work(plan.q_elements(me), 2.0 * size_of(plan.problem.dtype)), [&] {
    row_delta(plan.block, shard.d_out.read<std::byte>().data(), shard.o.read<std::byte>().data(), plan.rows(me),
              delta.write<float>().data());
    std::ranges::fill(shard.dq.write<float>(), 0.0F);
  });
  std::vector<Buffer> gradients;
  {
    const std::vector<Buffer> parts = co_await gathered(rank, plan, shard.kv);
    for (int source = 0; source < rank.size(); ++source)
      gradients.push_back(rank.allocate("dkv part", Memory::workspace, plan.gradient_bytes(source)));
    co_await rank.compute(plan.over_all_keys(&RingPlan::backward_work, me), [&] {
      for (int source = 0; source < rank.size(); ++source) {
        const auto z = static_cast<std::size_t>(source);
        const std::byte* kv = parts[z].read<std::byte>().data();
        float* gradient = gradients[z].write<float>().data();
        block_backward(plan.block, shard.q.read<std::byte>().data(), shard.positions, kv,
                       kv + plan.kv_bytes(source) / 2, plan.layout.positions(source),
                       shard.d_out.read<std::byte>().data(), shard.lse.read<float>().data(), delta.read<float>().data(),
                       shard.dq.write<float>().data(), gradient, gradient + plan.kv_elements(source) / 2);
        if (plan.own_gradient_only && source != me) std::ranges::fill(gradients[z].write<float>(), 0.0F);
      }
    });
  }
  substrate::ReduceScatter scatter(rank, std::move(gradients), substrate::DType::f32, plan.problem.node_ranks,
                                   kGradients, "dkv");
  shard.d_kv = co_await scatter.sum();
}

namespace {

RankProgram gather_of(GatherPlan plan) {
  return [plan = std::make_shared<const GatherPlan>(std::move(plan))](Rank& rank, ProgramData* data) {
    return sharded_layer(
        rank, *plan, sequence_memory(data, rank.id()),
        [&plan = *plan](Rank& each, RingShard& shard) { return gather_attention_forward(each, plan, shard); },
        [&plan = *plan](Rank& each, RingShard& shard) { return gather_attention_backward(each, plan, shard); });
  };
}

template <class Change>
ProgramMutant changed(const SequenceProblem& problem, const char* name, Change change) {
  GatherPlan wrong(problem);
  change(wrong);
  return {name, gather_of(std::move(wrong))};
}

std::vector<ProgramMutant> gather_mutants(const SequenceProblem& problem) {
  std::vector<ProgramMutant> mutants;
  if (problem.ranks > 1)
    mutants.push_back(changed(problem, "first-rank-not-heard", [](GatherPlan& wrong) { wrong.deaf_to = 0; }));
  if (problem.ranks > 1 && problem.backward)
    mutants.push_back(
        changed(problem, "gradients-not-summed", [](GatherPlan& wrong) { wrong.own_gradient_only = true; }));
  mutants.push_back(changed(problem, "wrong-scale", [](GatherPlan& wrong) { wrong.block.scale *= 1.0625F; }));
  return mutants;
}

std::vector<harness::Axis> balance_axes() {
  std::vector<harness::Axis> axes = sequence_axes();
  const auto word = [](const char* text) { return harness::Value(std::string(text)); };
  for (harness::Axis& axis : axes)
    if (axis.name == "layout") axis.defaults = {word("zigzag")};
  axes.push_back({.name = "exchange",
                  .defaults = {word("p2p")},
                  .help = "how K and V meet the queries: p2p, a ring; all-gather, one collective",
                  .allowed = {word("p2p"), word("all-gather")}});
  return axes;
}

ProgramScheme balance_scheme(const harness::State& state) {
  SequenceProblem problem = sequence_problem(state);
  if (state.text("exchange") == "p2p")
    return sequence_scheme(problem, {.program = ring_program, .data = ring_data}, ring_mutants(problem));
  if (state.fabric() == "cluster")
    problem.node_ranks = datasets::load_cluster(state.text("cluster"), datasets::data_root()).devices_per_node;
  return sequence_scheme(
      problem,
      {.program = [](const SequenceProblem& layer) { return gather_of(GatherPlan(layer)); }, .data = ring_data},
      gather_mutants(problem));
}

const harness::Registration registration({
    .id = "parallelism/sequence/cp-balance",
    .title = "Balanced context parallelism (zigzag, striped, all-gather)",
    .paper = "arXiv 2311.09431",
    .summary = "shares of a causal sequence that all ranks need the same time for; exact, forward and backward",
    .implementations = over_ranks<balance_scheme>(balance_axes(), __FILE__),
    .project = project_cp_balance,
});

}  // namespace

}  // namespace assay::parallelism
