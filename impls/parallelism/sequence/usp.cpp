// USP (arXiv 2405.07719): Ulysses and Ring Attention at once on a mesh of P = Pu x Pr ranks; and the double ring of
// LoongTrain (arXiv 2406.18485) along its ring dimension.
//
// Rank i_r Pu + i_u. The sequence is dealt to Pr shares (zigzag over these, not over P), a share to Pu consecutive
// ranks:
//   all-to-all inside the Pu ranks of a share     [c, H] -> [L/Pr, H/Pu]
//   ring attention over the Pr shares             with rank i_u of every share, on H/Pu heads
//   all-to-all back                               [L/Pr, H/Pu] -> [c, H]
// so that the heavy exchange stays inside a node and the ring, which hides behind its blocks, crosses nodes. Pu is
// bounded by the heads, Pr is not.
//
// Double ring: the Pr ranks of a ring are Pr/w inner rings of w. In every outer round a rank sends the K, V it began
// the round with to its place in the next inner ring, which takes as long as w steps around the inner ring may; all
// NICs of a node then carry something at once. w = Pr (and w = 1) is the plain ring.
//
// Costs per rank: all-to-all (Pu-1)/Pu (2H + 2Hk) d L/P elements forward and again backward, as Ulysses; ring
// 2 (Pr-1)/P L Hk d elements forward in Pr - 1 messages, whatever w. Backward the ring sends K and V again and dK, dV
// in float32: w messages an inner ring (none for w = 1) and one an outer round (none for w = Pr), each of one block.
#include "impls/parallelism/sequence/usp.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "impls/parallelism/sequence/sequence_case.h"
#include "impls/parallelism/sequence/usp_case.h"
#include "impls/parallelism/sequence/usp_claims.h"

namespace assay::parallelism {

using substrate::Buffer;
using substrate::Group;
using substrate::Memory;
using substrate::Rank;
using substrate::Tag;
using substrate::Task;
using substrate::Transfer;

namespace {

constexpr Tag kInner{.value = 11, .name = "kv in the inner ring"};
constexpr Tag kOuter{.value = 12, .name = "kv to the next inner ring"};
constexpr Tag kInnerGradient{.value = 13, .name = "dkv in the inner ring"};
constexpr Tag kOuterGradient{.value = 14, .name = "dkv to the next inner ring"};

SequenceProblem ring_problem(SequenceProblem p, int by_heads) {
  p.ranks /= by_heads;
  p.heads /= by_heads;
  p.kv_heads = std::max(1, p.kv_heads / by_heads);
  return p;
}

}  // namespace

UspPlan::UspPlan(const SequenceProblem& layer, int head_ranks, int inner_ranks)
    : problem(layer),
      by_heads(head_ranks),
      inner(inner_ranks == 0 ? layer.ranks / head_ranks : inner_ranks),
      ring(ring_problem(layer, head_ranks)) {
  for (int share = 0; share < ring.problem.ranks; ++share) {
    SequenceProblem of_share = layer;
    of_share.length = ring.layout.tokens(share);
    of_share.ranks = by_heads;
    of_share.layout = Layout::contiguous;
    exchange.emplace_back(of_share);
  }
}

int UspPlan::source(int share, int round, int step) const {
  const int rings = ring.problem.ranks / inner;
  const int of_ring = share / inner, place = share % inner;
  return (of_ring - round % rings + rings) % rings * inner + (place - step % inner + inner) % inner;
}

namespace {

// Who a rank passes K and V to in the two rings.
struct Rings {
  Group all;
  const UspPlan& plan;
  Group inner = all.block(plan.inner), outer = all.across(plan.inner);
  int me = all.id();
  Rank& rank = all.rank();
  const RingPlan& ring = plan.ring;

  // Sends what the round begins with on to the next inner ring, and receives what the next round begins with.
  std::optional<Transfer> ahead(const Buffer& first, int round) const {
    std::optional<Transfer> next;
    if (round + 1 < outer.size())
      next.emplace(outer.shift(
          first, +1,
          {.bytes = ring.kv_bytes(plan.source(me, round + 1, 0)), .tag = kOuter, .name = "kv of the next round"}));
    return next;
  }
  std::optional<Transfer> along(const Buffer& held, int round, int step) const {
    std::optional<Transfer> next;
    if (step + 1 < plan.inner)
      next.emplace(inner.shift(
          held, +1, {.bytes = ring.kv_bytes(plan.source(me, round, step + 1)), .tag = kInner, .name = "kv block"}));
    return next;
  }
};

Task<> ring_forward(Group all, const UspPlan& plan, RingShard& shard) {
  const Rings rings{.all = all, .plan = plan};
  const RingPlan& ring = plan.ring;
  Rank& rank = rings.rank;
  const int me = rings.me;
  // In float32 the output itself is the accumulator.
  const bool separate = ring.problem.dtype != substrate::DType::f32;
  Buffer wide = separate ? rank.allocate("o accumulator", Memory::workspace, ring.q_elements(me) * 4) : Buffer();
  Buffer& acc = separate ? wide : shard.o;
  if (rank.real()) {
    std::ranges::fill(acc.write<float>(), 0.0F);
    std::ranges::fill(shard.lse.write<float>(), -std::numeric_limits<float>::infinity());
  }
  Buffer begun, travelling;
  const Buffer* first = &shard.kv;
  for (int round = 0; round < rings.outer.size(); ++round) {
    std::optional<Transfer> next_round = rings.ahead(*first, round);
    const Buffer* held = first;
    for (int step = 0; step < plan.inner; ++step) {
      const int source = plan.source(me, round, step);
      std::optional<Transfer> next = rings.along(*held, round, step);
      const bool heard = source != plan.deaf_to || source == me;
      if (ring.pairs(me, source) > 0)
        co_await rank.compute(ring.forward_work(me, source), [&] {
          if (!heard) return;
          const std::byte* kv = held->read<std::byte>().data();
          block_forward(ring.block, shard.q.read<std::byte>().data(), shard.positions, kv,
                        kv + ring.kv_bytes(source) / 2, ring.layout.positions(source), ring.merge,
                        acc.write<float>().data(), shard.lse.write<float>().data());
        });
      if (next) {
        travelling = co_await *next;
        held = &travelling;
      }
    }
    if (next_round) {
      begun = co_await *next_round;
      first = &begun;
    }
  }
  if (plan.round_output && rank.real())
    for (float& each : acc.write<float>()) each = substrate::to_float(substrate::to_bf16(each));
  if (separate)
    co_await rank.compute(ring.pointwise_work(ring.q_elements(me), 6), [&] {
      store(ring.problem.dtype, acc.read<float>().data(), ring.q_elements(me), shard.o.write<std::byte>().data());
    });
}

Task<> add(Rank& rank, const RingPlan& ring, int source, const Buffer& part, Buffer& sum) {
  co_await rank.compute(ring.pointwise_work(ring.kv_elements(source), 12), [&] {
    const auto from = part.read<float>();
    const auto to = sum.write<float>();
    for (std::size_t i = 0; i < to.size(); ++i) to[i] += from[i];
  });
}

Task<> ring_backward(Group all, const UspPlan& plan, RingShard& shard) {
  const Rings rings{.all = all, .plan = plan};
  const RingPlan& ring = plan.ring;
  Rank& rank = rings.rank;
  const int me = rings.me;
  Buffer delta = rank.allocate("delta", Memory::workspace, ring.rows(me) * 4);
  co_await rank.compute(ring.pointwise_work(ring.q_elements(me), 2.0 * size_of(ring.problem.dtype)), [&] {
    row_delta(ring.block, shard.d_out.read<std::byte>().data(), shard.o.read<std::byte>().data(), ring.rows(me),
              delta.write<float>().data());
    std::ranges::fill(shard.dq.write<float>(), 0.0F);
  });

  Buffer begun, travelling;
  const Buffer* first = &shard.kv;
  Buffer of_rounds;                      // dK, dV of what the round began with, from the inner rings so far
  std::optional<Transfer> outer_coming;  // the same for the next round
  for (int round = 0; round < rings.outer.size(); ++round) {
    std::optional<Transfer> next_round = rings.ahead(*first, round);
    const Buffer* held = first;
    Buffer sum;                      // dK, dV of the block held, from the ranks of this inner ring so far
    std::optional<Transfer> coming;  // the same for the next block
    for (int step = 0; step < plan.inner; ++step) {
      const int source = plan.source(me, round, step), following = plan.source(me, round, step + 1);
      std::optional<Transfer> next = rings.along(*held, round, step);
      const bool seen = ring.pairs(me, source) > 0;
      Buffer part;
      if (step == 0 || seen) part = rank.allocate("dkv part", Memory::workspace, ring.gradient_bytes(source));
      if (seen) {
        co_await rank.compute(ring.backward_work(me, source), [&] {
          const std::byte* kv = held->read<std::byte>().data();
          float* gradient = part.write<float>().data();
          block_backward(ring.block, shard.q.read<std::byte>().data(), shard.positions, kv,
                         kv + ring.kv_bytes(source) / 2, ring.layout.positions(source),
                         shard.d_out.read<std::byte>().data(), shard.lse.read<float>().data(),
                         delta.read<float>().data(), shard.dq.write<float>().data(), gradient,
                         gradient + ring.kv_elements(source) / 2);
          if (plan.own_gradient_only && source != me) std::ranges::fill(part.write<float>(), 0.0F);
        });
      } else if (part && rank.real()) {
        std::ranges::fill(part.write<float>(), 0.0F);
      }
      if (!coming) {
        sum = std::move(part);
      } else {
        sum = co_await *coming;
        if (part) co_await add(rank, ring, source, part, sum);
        part = Buffer();
      }
      if (plan.inner > 1)  // the last of these brings the sums to the place that the round began them at
        coming.emplace(rings.inner.shift(
            sum, +1, {.bytes = ring.gradient_bytes(following), .tag = kInnerGradient, .name = "dkv block"}));
      if (next) {
        travelling = co_await *next;
        held = &travelling;
      }
    }
    Buffer of_round = coming ? co_await *coming : std::move(sum);
    if (outer_coming) {
      of_rounds = co_await *outer_coming;
      co_await add(rank, ring, plan.source(me, round, 0), of_round, of_rounds);
    } else {
      of_rounds = std::move(of_round);
    }
    if (rings.outer.size() > 1)
      outer_coming.emplace(rings.outer.shift(of_rounds, +1,
                                             {.bytes = ring.gradient_bytes(plan.source(me, round + 1, 0)),
                                              .tag = kOuterGradient,
                                              .name = "dkv of the next round"}));
    if (next_round) {
      begun = co_await *next_round;
      first = &begun;
    }
  }
  if (outer_coming) {
    shard.d_kv = co_await *outer_coming;
  } else {
    shard.d_kv = std::move(of_rounds);
  }
}

}  // namespace

Task<> usp_layer(Rank& rank, const UspPlan& plan, SequenceMemory memory) {
  const Group all = rank;
  const Group ring = all.across(plan.by_heads);
  std::vector<std::int64_t> positions;
  if (rank.real()) positions = plan.ring.layout.positions(ring.id());
  return layer_by_heads(
      all.block(plan.by_heads), plan.exchange[static_cast<std::size_t>(ring.id())], memory, std::move(positions),
      [&plan, ring](Rank&, RingShard& heads) { return ring_forward(ring, plan, heads); },
      [&plan, ring](Rank&, RingShard& heads) { return ring_backward(ring, plan, heads); });
}

namespace {
const harness::Registration registration({
    .id = "parallelism/sequence/usp",
    .title = "USP: Ulysses and ring on a mesh, with double rings",
    .paper = "arXiv 2405.07719",
    .summary =
        "all-to-all by heads inside a share of the sequence, (double) ring attention over shares; exact, forward "
        "and backward",
    .implementations = over_ranks<usp_scheme>(usp_axes(), __FILE__),
    .project = project_usp,
});
}  // namespace

}  // namespace assay::parallelism
