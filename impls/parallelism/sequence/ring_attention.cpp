// Ring Attention (arXiv 2310.01889): exact attention over a sequence that fits on no device, without gathering K and V.
//
// Each of P ranks holds c = L/P tokens. Its queries stay; blocks of K, V travel around the ring, and while one is
// worked on the next is under way. Partial results over disjoint key sets merge exactly:
//   l = log(exp l1 + exp l2),  O = exp(l1 - l) O1 + exp(l2 - l) O2        (O and l in float32)
// Backward, K and V travel again, and the dK, dV of a block follow it one hop behind, collecting each rank's part, with
// one more hop at the end to reach home.
//
// Costs per rank: forward P-1 messages of 2 c Hk d e bytes; backward P-1 of 2 c Hk d e and, for P > 1, P of 2 c Hk d 4.
// A hop hides behind its block when 4 c^2 H d / F >= 2 c Hk d e / Bw. The layout of the paper is contiguous: under a
// causal mask rank r has r+1 blocks to work on, so the ring runs at the speed of the last rank; blocks that no query
// sees are passed on unread.
#include "impls/parallelism/sequence/ring_attention.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "impls/parallelism/sequence/ring_attention_case.h"
#include "impls/parallelism/sequence/ring_attention_claims.h"
#include "impls/parallelism/sequence/sequence_case.h"
#include "impls/substrate/fabric/reduction.h"

namespace assay::parallelism {

using substrate::Buffer;
using substrate::Memory;
using substrate::OpKind;
using substrate::OpWork;
using substrate::Rank;
using substrate::Tag;
using substrate::Task;
using substrate::Transfer;

namespace {
constexpr Tag kKeysValues{.value = 1, .name = "kv"};
constexpr Tag kGradients{.value = 2, .name = "dkv"};
}  // namespace

OpWork RingPlan::forward_work(int rank, int key_rank) const {
  const std::int64_t seen = pairs(rank, key_rank);
  const double scores = static_cast<double>(seen) * problem.batch * problem.heads;
  // Off the diagonal a zigzag block is half masked, in one piece: a full product with fewer keys. Every striped block
  // has a diagonal.
  const std::int64_t queries = layout.tokens(rank);
  const bool diagonal = rank == key_rank || problem.layout == Layout::striped;
  const std::int64_t keys = diagonal ? layout.tokens(key_rank) : (seen + queries - 1) / queries;
  // Q, K, V in; the float32 accumulator and lse in and out.
  const double bytes = static_cast<double>(q_bytes(rank) + kv_bytes(key_rank) + 8 * (q_elements(rank) + rows(rank)));
  return {.kind = OpKind::attention,
          .dtype = matrix_dtype(),
          .flops = 4 * scores * problem.head_dim,
          .bytes = bytes,
          .exps = scores,
          .batch = problem.batch,
          .sequence = queries,
          .keys = keys,
          .heads = problem.heads,
          .kv_heads = problem.kv_heads,
          .head_dim = problem.head_dim,
          .causal = problem.causal && diagonal};
}

OpWork RingPlan::backward_work(int rank, int key_rank) const {
  OpWork work = forward_work(rank, key_rank);
  work.kind = OpKind::attention_backward;
  work.flops *= 2.5;  // five products in place of two
  // Q, dO, K, V, lse, delta in; dQ in and out; this rank's part of dK, dV out.
  work.bytes = static_cast<double>(2 * q_bytes(rank) + kv_bytes(key_rank) + 8 * rows(rank) + 8 * q_elements(rank) +
                                   gradient_bytes(key_rank));
  return work;
}

Task<> ring_attention_forward(Rank& rank, const RingPlan& plan, RingShard& shard) {
  const int me = rank.id();
  // In float32 the output itself is the accumulator.
  const bool separate = plan.problem.dtype != substrate::DType::f32;
  Buffer wide = separate ? rank.allocate("o accumulator", Memory::workspace, plan.q_elements(me) * 4) : Buffer();
  Buffer& acc = separate ? wide : shard.o;
  if (rank.real()) plan.bodies->start(rank, acc.write<float>(), shard.lse.write<float>());

  Buffer travelling;
  const Buffer* held = &shard.kv;
  for (int hop = 0; hop < plan.hops; ++hop) {
    const int source = plan.source(me, hop);
    std::optional<Transfer> next;
    if (hop + 1 < plan.hops)
      next.emplace(rank.shift(
          *held, +1, {.bytes = plan.kv_bytes(plan.source(me, hop + 1)), .tag = kKeysValues, .name = "kv block"}));
    if (plan.pairs(me, source) > 0)
      co_await rank.compute(plan.forward_work(me, source), [&] {
        const std::vector<std::int64_t> positions = plan.layout.positions(source);
        const std::byte* kv = held->read<std::byte>().data();
        plan.bodies->attend(rank, plan.block, shard.q.read<std::byte>().data(), shard.positions, kv,
                            kv + plan.kv_bytes(source) / 2, positions, plan.merge, acc.write<float>().data(),
                            shard.lse.write<float>().data());
      });
    if (next) {
      Buffer arrived = co_await *next;
      if (hop == 0 && !plan.problem.backward) shard.kv = Buffer();
      travelling = std::move(arrived);
      held = &travelling;
    }
  }
  if (separate)
    co_await rank.compute(plan.pointwise_work(plan.q_elements(me), 6), [&] {
      plan.bodies->store(rank, plan.problem.dtype, acc.read<float>().data(), plan.q_elements(me),
                         shard.o.write<std::byte>().data());
    });
}

Task<> ring_attention_backward(Rank& rank, const RingPlan& plan, RingShard& shard) {
  const int me = rank.id();
  const int ranks = rank.size();
  const BlockShape& shape = plan.block;
  Buffer delta = rank.allocate("delta", Memory::workspace, plan.rows(me) * 4);
  co_await rank.compute(plan.pointwise_work(plan.q_elements(me), 2.0 * size_of(plan.problem.dtype)), [&] {
    plan.bodies->row_delta(rank, shape, shard.d_out.read<std::byte>().data(), shard.o.read<std::byte>().data(),
                           plan.rows(me), delta.write<float>().data());
    substrate::fill_with(shard.dq, 0);
  });

  Buffer travelling;
  const Buffer* held = &shard.kv;
  Buffer sum;                        // dK, dV of the block held, as far as the ring has come
  std::optional<Transfer> arriving;  // the same for the next block
  for (int hop = 0; hop < ranks; ++hop) {
    const int source = plan.source(me, hop);
    const int following = plan.source(me, hop + 1);
    std::optional<Transfer> next;
    if (hop + 1 < ranks)
      next.emplace(rank.shift(*held, +1, {.bytes = plan.kv_bytes(following), .tag = kKeysValues, .name = "kv block"}));
    Buffer part;
    if (hop == 0 || plan.pairs(me, source) > 0) {
      part = rank.allocate("dkv part", Memory::workspace, plan.gradient_bytes(source));
      co_await rank.compute(plan.backward_work(me, source), [&] {
        const std::vector<std::int64_t> positions = plan.layout.positions(source);
        const std::byte* kv = held->read<std::byte>().data();
        float* gradient = part.write<float>().data();
        plan.bodies->attend_backward(rank, shape, shard.q.read<std::byte>().data(), shard.positions, kv,
                                     kv + plan.kv_bytes(source) / 2, positions, shard.d_out.read<std::byte>().data(),
                                     shard.lse.read<float>().data(), delta.read<float>().data(),
                                     shard.dq.write<float>().data(), gradient, gradient + plan.kv_elements(source) / 2);
      });
    }
    if (!arriving) {
      sum = std::move(part);
    } else {
      sum = co_await *arriving;
      if (part)
        co_await rank.compute(plan.pointwise_work(plan.kv_elements(source), 12),
                              [&] { substrate::add_into(sum, part, substrate::DType::f32); });
      part = Buffer();
    }
    if (ranks > 1)  // the last of these brings the sums of the rank's own block home
      arriving.emplace(
          rank.shift(sum, +1, {.bytes = plan.gradient_bytes(following), .tag = kGradients, .name = "dkv block"}));
    if (next) {
      travelling = co_await *next;
      held = &travelling;
    }
  }
  shard.d_kv = arriving ? co_await *arriving : std::move(sum);
}

Task<> sharded_layer(Rank& rank, const SequencePlan& plan, SequenceMemory memory, ShardPass forward, ShardPass backward,
                     LayersAbove above) {
  const int me = rank.id();
  RingShard shard;
  if (rank.real()) shard.positions = plan.layout.positions(me);
  shard.q = rank.adopt("q", Memory::input, plan.q_bytes(me), memory.q);
  shard.kv = rank.adopt("kv", Memory::input, plan.kv_bytes(me), memory.kv);
  shard.o = rank.adopt("o", Memory::output, plan.q_bytes(me), memory.o);
  shard.lse = rank.adopt("lse", Memory::output, plan.rows(me) * 4, memory.lse);
  co_await forward(rank, shard);
  if (above) co_await above();
  if (!plan.problem.backward) co_return;
  shard.d_out = rank.adopt("do", Memory::input, plan.q_bytes(me), memory.d_out);
  shard.dq = rank.adopt("dq", Memory::output, plan.q_elements(me) * 4, memory.dq);
  co_await backward(rank, shard);
  if (!rank.real()) co_return;
  const auto gradients = shard.d_kv.read<std::byte>();
  if (const auto place = rank.place())
    place->copy(memory.d_kv, gradients.data(), gradients.size());
  else
    std::memcpy(memory.d_kv, gradients.data(), gradients.size());
}

Task<> ring_attention_layer(Rank& rank, const RingPlan& plan, SequenceMemory memory) {
  return sharded_layer(
      rank, plan, memory, [&plan](Rank& each, RingShard& shard) { return ring_attention_forward(each, plan, shard); },
      [&plan](Rank& each, RingShard& shard) { return ring_attention_backward(each, plan, shard); });
}

namespace {
const harness::Registration registration({
    .id = "parallelism/sequence/ring-attention",
    .title = "Ring Attention",
    .paper = "arXiv 2310.01889",
    .summary = "K and V blocks travel a ring of ranks while each is worked on; exact, forward and backward",
    .implementations = over_ranks<ring_scheme>(sequence_axes(), __FILE__),
    .project = project_ring_attention,
});
}  // namespace

}  // namespace assay::parallelism
