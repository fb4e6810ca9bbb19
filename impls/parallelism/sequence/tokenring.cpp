// TokenRing (arXiv 2412.20501): K and V stay; queries go round one way and partial outputs straight back the other, so
// that both directions of the links carry something.
//
//   step t, rank j: has Q of rank j - t; computes (O, l) of it with its own K, V while Q goes on to j + 1;
//                   sends (O, l) of step t to rank j - t, whose queries they are, which merges them
//
// Costs per rank: P-1 messages of c H d e bytes of Q and P-1 of c H (d e + 4) of partial outputs, the last of which
// nothing hides. A ring sends 2 c Hk d e one way: with as many key as query heads TokenRing halves what a direction
// carries, at two query heads a key head they are equal, beyond that the ring sends less. Partial outputs travel in the
// dtype of the layer and are merged in float32; where no query of a block sees a key nothing is computed or returned.
// The paper has the forward pass.
#include <algorithm>
#include <cstring>
#include <limits>
#include <memory>
#include <optional>
#include <utility>

#include "impls/parallelism/sequence/ring_attention.h"
#include "impls/parallelism/sequence/ring_attention_case.h"
#include "impls/parallelism/sequence/sequence_case.h"
#include "impls/parallelism/sequence/tokenring_claims.h"

namespace assay::parallelism {

using substrate::Buffer;
using substrate::Memory;
using substrate::Rank;
using substrate::Send;
using substrate::Tag;
using substrate::Task;
using substrate::Transfer;

namespace {

constexpr Tag kQueries{.value = 1, .name = "q"};
constexpr Tag kPartial{.value = 2, .name = "partial o"};

struct TokenRingPlan : RingPlan {
  using RingPlan::RingPlan;

  int returned_from = 0;  // a step before this returns nothing to the owner; more than 0 is wrong

  std::int64_t partial_bytes(int owner) const { return q_bytes(owner) + rows(owner) * 4; }
  // Whether rank `keys` has something to return to `owner`.
  bool returns(int owner, int keys) const { return pairs(owner, keys) > 0; }
};

// (O, l) of a block as it travels: O in the dtype of the layer, then l in float32.
void pack(const TokenRingPlan& plan, int owner, const Buffer& o, const Buffer& lse, Buffer& partial) {
  std::byte* to = partial.write<std::byte>().data();
  store(plan.problem.dtype, o.read<float>().data(), plan.q_elements(owner), to);
  std::memcpy(to + plan.q_bytes(owner), lse.read<float>().data(), static_cast<std::size_t>(plan.rows(owner)) * 4);
}

void merge_partial(const TokenRingPlan& plan, int owner, const Buffer& partial, Buffer& acc, Buffer& lse) {
  const int d = plan.problem.head_dim;
  const std::byte* from = partial.read<std::byte>().data();
  std::vector<float> row(static_cast<std::size_t>(d));
  float* to = acc.write<float>().data();
  float* to_lse = lse.write<float>().data();
  for (std::int64_t r = 0; r < plan.rows(owner); ++r) {
    float theirs = 0;
    std::memcpy(&theirs, from + plan.q_bytes(owner) + r * 4, 4);
    if (theirs == -std::numeric_limits<float>::infinity()) continue;  // a query that sees none of these keys
    load(plan.problem.dtype, from, r * d, d, row.data());
    plan.merge(to + r * d, to_lse[r], row.data(), theirs, d);
  }
}

Task<> forward(Rank& rank, const TokenRingPlan& plan, RingShard& shard) {
  const int me = rank.id(), ranks = rank.size();
  const bool separate = plan.problem.dtype != substrate::DType::f32;
  Buffer wide = separate ? rank.allocate("o accumulator", Memory::workspace, plan.q_elements(me) * 4) : Buffer();
  Buffer& acc = separate ? wide : shard.o;
  if (rank.real()) {
    std::ranges::fill(acc.write<float>(), 0.0F);
    std::ranges::fill(shard.lse.write<float>(), -std::numeric_limits<float>::infinity());
  }
  const auto attend = [&](int owner, const Buffer& q, Buffer& o, Buffer& lse) {
    const std::byte* kv = shard.kv.read<std::byte>().data();
    block_forward(plan.block, q.read<std::byte>().data(), plan.layout.positions(owner), kv, kv + plan.kv_bytes(me) / 2,
                  shard.positions, plan.merge, o.write<float>().data(), lse.write<float>().data());
  };

  Buffer travelling;
  const Buffer* held = &shard.q;
  Buffer partial;                // of the step before, on its way to its owner
  std::optional<Send> leaving;   // the same
  std::optional<Transfer> back;  // what comes back for this rank's queries
  for (int step = 0; step < ranks; ++step) {
    const int owner = plan.source(me, step);
    std::optional<Transfer> next;
    if (step + 1 < ranks)
      next.emplace(rank.shift(*held, +1,
                              {.bytes = plan.q_bytes(plan.source(me, step + 1)), .tag = kQueries, .name = "q block"}));
    Buffer fresh;
    if (step == 0) {
      co_await rank.compute(plan.forward_work(me, me), [&] { attend(me, *held, acc, shard.lse); });
    } else if (plan.returns(owner, me)) {
      Buffer o = rank.allocate("partial o", Memory::workspace, plan.q_elements(owner) * 4);
      Buffer lse = rank.allocate("partial lse", Memory::workspace, plan.rows(owner) * 4);
      fresh = rank.allocate("partial to return", Memory::communication, plan.partial_bytes(owner));
      co_await rank.compute(plan.forward_work(owner, me), [&] {
        std::ranges::fill(o.write<float>(), 0.0F);
        std::ranges::fill(lse.write<float>(), -std::numeric_limits<float>::infinity());
        if (step >= plan.returned_from) attend(owner, *held, o, lse);
        pack(plan, owner, o, lse, fresh);
      });
    }
    // What the step before returned has had this step to travel.
    if (leaving) co_await *leaving;
    leaving.reset();
    if (back) {
      const Buffer arrived = co_await *back;
      co_await rank.compute(plan.pointwise_work(plan.q_elements(me), 8.0 + size_of(plan.problem.dtype)),
                            [&] { merge_partial(plan, me, arrived, acc, shard.lse); });
      back.reset();
    }
    partial = std::move(fresh);
    if (partial) leaving.emplace(rank.send(partial, owner, kPartial));
    const int other = (me + step) % ranks;  // who works on this rank's queries in this step
    if (step > 0 && plan.returns(me, other))
      back.emplace(rank.receive(other, {.bytes = plan.partial_bytes(me), .tag = kPartial, .name = "partial returned"}));
    if (next) {
      travelling = co_await *next;
      held = &travelling;
    }
  }
  if (leaving) co_await *leaving;
  if (back) {
    const Buffer arrived = co_await *back;
    co_await rank.compute(plan.pointwise_work(plan.q_elements(me), 8.0 + size_of(plan.problem.dtype)),
                          [&] { merge_partial(plan, me, arrived, acc, shard.lse); });
  }
  if (separate)
    co_await rank.compute(plan.pointwise_work(plan.q_elements(me), 6), [&] {
      store(plan.problem.dtype, acc.read<float>().data(), plan.q_elements(me), shard.o.write<std::byte>().data());
    });
}

RankProgram token_ring_of(TokenRingPlan plan) {
  return [plan = std::make_shared<const TokenRingPlan>(std::move(plan))](Rank& rank, ProgramData* data) {
    return sharded_layer(
        rank, *plan, sequence_memory(data, rank.id()),
        [&plan = *plan](Rank& each, RingShard& shard) { return forward(each, plan, shard); }, nullptr);
  };
}

ProgramScheme token_ring_scheme(const harness::State& state) {
  const SequenceProblem problem = sequence_problem(state);
  std::vector<ProgramMutant> mutants;
  const auto wrong = [&](const char* name, auto change) {
    TokenRingPlan changed(problem);
    change(changed);
    mutants.push_back({name, token_ring_of(std::move(changed))});
  };
  if (problem.ranks > 1) {
    wrong("first-partial-not-returned", [](TokenRingPlan& plan) { plan.returned_from = 2; });
    wrong("merge-without-rescaling", [](TokenRingPlan& plan) {
      plan.merge = [](float* acc, float& acc_lse, const float* o, float lse, int d) {
        for (int x = 0; x < d; ++x) acc[x] += o[x];
        acc_lse = std::max(acc_lse, lse);
      };
    });
  }
  wrong("wrong-scale", [](TokenRingPlan& plan) { plan.block.scale *= 1.0625F; });
  return sequence_scheme(problem, {.program = token_ring_program, .data = ring_data}, std::move(mutants));
}

std::vector<harness::Axis> token_ring_axes() {
  std::vector<harness::Axis> axes = without(sequence_axes(), {"backward"});
  for (harness::Axis& axis : axes)
    if (axis.name == "layout") axis.defaults = {harness::Value(std::string("zigzag"))};
  return axes;
}

const harness::Registration registration({
    .id = "parallelism/sequence/tokenring",
    .title = "TokenRing",
    .paper = "arXiv 2412.20501",
    .summary = "queries travel a ring of ranks, partial outputs go straight back; exact, forward",
    .implementations = over_ranks<token_ring_scheme>(token_ring_axes(), __FILE__),
    .project = project_token_ring,
});

}  // namespace

RankProgram token_ring_program(const SequenceProblem& layer) { return token_ring_of(TokenRingPlan(layer)); }

}  // namespace assay::parallelism
