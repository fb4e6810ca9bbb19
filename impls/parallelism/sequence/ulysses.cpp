// DeepSpeed-Ulysses (arXiv 2309.14509): sequence parallelism by transposing the sharded axis from tokens to heads.
//
// Tokens are sharded everywhere but in attention. There, per layer:
//   all-to-all #1   Q, K, V [B, L/P, H, d] -> [B, L, H/P, d]     heads are scattered, the sequence is gathered
//   attention       unchanged, of H/P heads over the whole sequence
//   all-to-all #2   O [B, L, H/P, d] -> [B, L/P, H, d]
// Backward mirrors it: dO goes as O came, dQ, dK, dV come as Q, K, V went. Where P > Hk a key head is sent to the P/Hk
// ranks whose query heads read it, and its gradients are summed where they come home, in rank order.
//
// Costs per rank: forward sends (P-1) B (L/P) (H/P + 2 max(Hk/P, 1)) d elements in P-1 messages and (P-1) B (L/P) (H/P)
// d in P-1; backward the same. Volume falls with P where that of a ring does not; but attention needs all of all-to-all
// #1, so nothing of it hides. Causal work is the same on every rank. Gradients travel in the dtype of the layer.
#include "impls/parallelism/sequence/ulysses.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "impls/parallelism/sequence/sequence_case.h"
#include "impls/parallelism/sequence/ulysses_case.h"
#include "impls/parallelism/sequence/ulysses_claims.h"
#include "impls/substrate/fabric/collectives.h"

namespace assay::parallelism {

using substrate::Buffer;
using substrate::Group;
using substrate::Memory;
using substrate::OpKind;
using substrate::OpWork;
using substrate::Rank;
using substrate::Tag;
using substrate::Task;

UlyssesPlan::UlyssesPlan(const SequenceProblem& layer)
    : SequencePlan(layer),
      q_heads(layer.heads / layer.ranks),
      kv_heads(std::max(1, layer.kv_heads / layer.ranks)),
      copies(std::max(1, layer.ranks / layer.kv_heads)),
      local(layer.block()) {
  head_ranks = layer.ranks;
  gradients_in_dtype = true;
  local.heads = q_heads;
  local.kv_heads = kv_heads;
}

OpWork UlyssesPlan::forward_work() const {
  const auto l = static_cast<double>(problem.length);
  const double pairs = problem.causal ? l * (l + 1) / 2 : l * l;
  const double scores = pairs * problem.batch * q_heads;
  // Q, K, V in; O and lse out.
  const std::int64_t moved = bytes(elements(problem.length, 2 * q_heads + 2 * kv_heads)) + 4 * lse_rows(0);
  return {.kind = OpKind::attention,
          .dtype = matrix_dtype(),
          .flops = 4 * scores * problem.head_dim,
          .bytes = static_cast<double>(moved),
          .exps = scores,
          .batch = problem.batch,
          .sequence = problem.length,
          .keys = problem.length,
          .heads = q_heads,
          .kv_heads = kv_heads,
          .head_dim = problem.head_dim,
          .causal = problem.causal};
}

OpWork UlyssesPlan::backward_work() const {
  OpWork work = forward_work();
  work.kind = OpKind::attention_backward;
  work.flops *= 2.5;  // five products in place of two
  // Q, dO, dQ, and K, V, dK, dV; lse and delta.
  work.bytes = static_cast<double>(bytes(elements(problem.length, 3 * q_heads + 4 * kv_heads)) + 8 * lse_rows(0));
  return work;
}

namespace {

constexpr Tag kToHeads{.value = 1, .name = "qkv to heads"};
constexpr Tag kContext{.value = 2, .name = "context to tokens"};
constexpr Tag kContextGradient{.value = 3, .name = "dcontext to heads"};
constexpr Tag kGradients{.value = 4, .name = "dqkv to tokens"};

// A run of heads of a [B][tokens][heads][d] tensor, which lies in memory as rows of width x d elements.
struct Slab {
  std::byte* data;
  std::int64_t tokens;
  int heads, first, width;
};

// Copies rows between two slabs of one width, token t of `from` at `places[t]` of `to`, or the other way round; an
// empty `places` is the identity.
enum class Way : bool { scatter, gather };
void copy_rows(const SequencePlan& plan, const Slab& from, const Slab& to, Positions places, Way way) {
  const std::int64_t head = std::int64_t{plan.problem.head_dim} * size_of(plan.problem.dtype);
  const std::int64_t tokens = way == Way::scatter ? from.tokens : to.tokens;
  for (int b = 0; b < plan.problem.batch; ++b)
    for (std::int64_t t = 0; t < tokens; ++t) {
      const std::int64_t place = places.empty() ? t : places[static_cast<std::size_t>(t)];
      const std::int64_t source = way == Way::scatter ? t : place;
      const std::int64_t target = way == Way::scatter ? place : t;
      std::memcpy(to.data + ((b * to.tokens + target) * to.heads + to.first) * head,
                  from.data + ((b * from.tokens + source) * from.heads + from.first) * head,
                  static_cast<std::size_t>(from.width * head));
    }
}

std::byte* bytes_of(const Buffer& buffer) { return const_cast<std::byte*>(buffer.read<std::byte>().data()); }

// Where the tokens of `source` lie in the gathered sequence.
std::vector<std::int64_t> places_of(const UlyssesPlan& plan, int source) {
  std::vector<std::int64_t> places = plan.layout.positions(source);
  if (!plan.arrival_order) return places;
  std::int64_t next = 0;
  for (int r = 0; r < source; ++r) next += plan.layout.tokens(r);
  for (std::int64_t& place : places) place = next++;
  return places;
}

struct Layer {
  Group group;
  const UlyssesPlan& plan;
  Rank& rank = group.rank();
  int me = group.id();
  std::int64_t mine = plan.layout.tokens(me);
  std::int64_t all = plan.problem.length;
  Buffer q, kv, o;     // inputs and output of the rank's tokens
  RingShard gathered;  // of all tokens and the rank's heads

  // Slabs of a whole tensor, K or V of a pair, or a part of a message, which has Q, K and V one after the other.
  std::int64_t kv_offset(std::int64_t tokens, int heads, int which) const {
    return which * plan.bytes(plan.elements(tokens, heads));
  }

  std::vector<Buffer> outgoing(const char* name, std::int64_t (UlyssesPlan::*elements)(int) const,
                               bool to_heads) const {
    std::vector<Buffer> parts;
    for (int p = 0; p < group.size(); ++p)
      parts.push_back(rank.allocate(name, Memory::communication, plan.bytes((plan.*elements)(to_heads ? me : p))));
    return parts;
  }
  std::vector<std::int64_t> expected(std::int64_t (UlyssesPlan::*elements)(int) const, bool to_heads) const {
    std::vector<std::int64_t> bytes;
    for (int p = 0; p < group.size(); ++p) bytes.push_back(plan.bytes((plan.*elements)(to_heads ? p : me)));
    return bytes;
  }

  // One tensor of tokens and all heads against the part of it in a message for or from the heads of rank p.
  void move_tokens(std::byte* tensor, int heads, int first, int width, std::byte* part, bool into_part) const {
    const Slab whole{tensor, mine, heads, first, width};
    const Slab cut{part, mine, width, 0, width};
    into_part ? copy_rows(plan, whole, cut, {}, Way::scatter) : copy_rows(plan, cut, whole, {}, Way::scatter);
  }
  // One tensor of all tokens and the rank's heads against the part with the tokens of rank p.
  void move_heads(std::byte* tensor, int width, int p, std::byte* part, bool into_part) const {
    const std::vector<std::int64_t> places = places_of(plan, p);
    const Slab whole{tensor, all, width, 0, width};
    const Slab cut{part, plan.layout.tokens(p), width, 0, width};
    into_part ? copy_rows(plan, whole, cut, places, Way::gather) : copy_rows(plan, cut, whole, places, Way::scatter);
  }

  // [B][L/P][H][d] of `tokens` (Q alone: `pair` null; with K, V: not) to [B][L][H/P][d].
  Task<> tokens_to_heads(const Buffer& tokens, const Buffer* pair, Buffer& of_heads, Buffer* heads_pair, Tag tag);
  Task<> forward(const ShardPass& attend);
  Task<> backward(SequenceMemory memory, const ShardPass& attend);
};

Task<> Layer::tokens_to_heads(const Buffer& tokens, const Buffer* pair, Buffer& of_heads, Buffer* heads_pair, Tag tag) {
  const auto elements = pair != nullptr ? &UlyssesPlan::qkv_elements : &UlyssesPlan::context_elements;
  const SequenceProblem& p = plan.problem;
  const int qh = plan.q_heads, kh = plan.kv_heads;
  std::vector<Buffer> parts = outgoing("parts by heads", elements, true);
  co_await rank.copy(plan.bytes((plan.*elements)(me)) * group.size(), [&] {
    for (int to = 0; to < group.size(); ++to) {
      std::byte* part = parts[static_cast<std::size_t>(to)].write<std::byte>().data();
      move_tokens(bytes_of(tokens), p.heads, plan.first_q(to), qh, part, true);
      for (int v = 0; pair != nullptr && v < 2; ++v)
        move_tokens(bytes_of(*pair) + kv_offset(mine, p.kv_heads, v), p.kv_heads, plan.first_kv(to), kh,
                    part + plan.bytes(plan.elements(mine, qh)) + kv_offset(mine, kh, v), true);
    }
  });
  std::vector<Buffer> arrived =
      co_await all_to_all(group, std::move(parts), expected(elements, true), tag, "parts by tokens");
  of_heads = rank.allocate("q or context of the heads", Memory::activation, plan.bytes(plan.elements(all, qh)));
  if (pair != nullptr)
    *heads_pair = rank.allocate("kv of the heads", Memory::activation, plan.bytes(2 * plan.elements(all, kh)));
  co_await rank.copy(plan.bytes(plan.elements(all, pair != nullptr ? qh + 2 * kh : qh)), [&] {
    if (plan.deaf_to >= 0) {  // else the memory may hold what an earlier run heard
      std::ranges::fill(of_heads.write<std::byte>(), std::byte{0});
      if (pair != nullptr) std::ranges::fill(heads_pair->write<std::byte>(), std::byte{0});
    }
    for (int from = 0; from < group.size(); ++from) {
      if (from == plan.deaf_to) continue;
      std::byte* part = arrived[static_cast<std::size_t>(from)].write<std::byte>().data();
      const std::int64_t theirs = plan.layout.tokens(from);
      move_heads(of_heads.write<std::byte>().data(), qh, from, part, false);
      for (int v = 0; pair != nullptr && v < 2; ++v)
        move_heads(heads_pair->write<std::byte>().data() + kv_offset(all, kh, v), kh, from,
                   part + plan.bytes(plan.elements(theirs, qh)) + kv_offset(theirs, kh, v), false);
    }
  });
}

Task<> Layer::forward(const ShardPass& attend) {
  const SequenceProblem& p = plan.problem;
  co_await tokens_to_heads(q, &kv, gathered.q, &gathered.kv, kToHeads);
  q = Buffer();
  kv = Buffer();

  const std::int64_t context = plan.elements(all, plan.q_heads);
  gathered.o = rank.allocate("context of the heads", Memory::activation, plan.bytes(context));
  co_await attend(rank, gathered);
  if (!p.backward) {
    gathered.q = Buffer();
    gathered.kv = Buffer();
  }

  std::vector<Buffer> parts = outgoing("parts by tokens", &UlyssesPlan::context_elements, false);
  co_await rank.copy(plan.bytes(context), [&] {
    for (int to = 0; to < group.size(); ++to)
      move_heads(gathered.o.write<std::byte>().data(), plan.q_heads, to,
                 parts[static_cast<std::size_t>(to)].write<std::byte>().data(), true);
  });
  if (!p.backward) gathered.o = Buffer();
  std::vector<Buffer> arrived = co_await all_to_all(
      group, std::move(parts), expected(&UlyssesPlan::context_elements, false), kContext, "parts by heads");
  co_await rank.copy(plan.q_bytes(me), [&] {
    for (int from = 0; from < group.size(); ++from)
      move_tokens(o.write<std::byte>().data(), p.heads, plan.first_q(from), plan.q_heads,
                  arrived[static_cast<std::size_t>(from)].write<std::byte>().data(), false);
  });
}

Task<> Layer::backward(SequenceMemory memory, const ShardPass& attend) {
  const SequenceProblem& p = plan.problem;
  const int qh = plan.q_heads, kh = plan.kv_heads, d = p.head_dim;
  const std::int64_t q_count = plan.elements(all, qh), kv_count = plan.elements(all, kh);
  Buffer d_out = rank.adopt("do", Memory::input, plan.q_bytes(me), memory.d_out);
  co_await tokens_to_heads(d_out, nullptr, gathered.d_out, nullptr, kContextGradient);
  d_out = Buffer();

  gathered.dq = rank.allocate("dq of the heads", Memory::workspace, q_count * 4);
  co_await attend(rank, gathered);
  gathered.o = Buffer();
  gathered.d_out = Buffer();
  gathered.q = Buffer();
  gathered.kv = Buffer();

  // Gradients leave the kernel in the dtype of the layer, Q's and then K's and V's, as they travel.
  Buffer narrow = rank.allocate("gradients of the heads", Memory::activation, plan.bytes(q_count + 2 * kv_count));
  co_await rank.compute(plan.pointwise_work(q_count + 2 * kv_count, 4.0 + size_of(p.dtype)), [&] {
    std::byte* to = narrow.write<std::byte>().data();
    store(p.dtype, gathered.dq.read<float>().data(), q_count, to);
    store(p.dtype, gathered.d_kv.read<float>().data(), 2 * kv_count, to + plan.bytes(q_count));
  });
  gathered.dq = Buffer();
  gathered.d_kv = Buffer();

  std::vector<Buffer> parts = outgoing("parts by tokens", &UlyssesPlan::qkv_elements, false);
  co_await rank.copy(plan.bytes(q_count + 2 * kv_count), [&] {
    std::byte* from = narrow.write<std::byte>().data();
    for (int to = 0; to < group.size(); ++to) {
      std::byte* part = parts[static_cast<std::size_t>(to)].write<std::byte>().data();
      const std::int64_t theirs = plan.layout.tokens(to);
      move_heads(from, qh, to, part, true);
      for (int v = 0; v < 2; ++v)
        move_heads(from + plan.bytes(q_count) + kv_offset(all, kh, v), kh, to,
                   part + plan.bytes(plan.elements(theirs, qh)) + kv_offset(theirs, kh, v), true);
    }
  });
  narrow = Buffer();
  const std::vector<Buffer> arrived = co_await all_to_all(
      group, std::move(parts), expected(&UlyssesPlan::qkv_elements, false), kGradients, "parts by heads");

  Buffer dq_mine = rank.adopt("dq", Memory::output, plan.q_elements(me) * 4, memory.dq);
  Buffer d_kv_mine = rank.adopt("dkv", Memory::output, plan.gradient_bytes(me), memory.d_kv);
  const std::int64_t received = plan.qkv_elements(me) * group.size();
  co_await rank.compute(plan.pointwise_work(received, 4.0 + size_of(p.dtype)), [&] {
    std::vector<float> row(static_cast<std::size_t>(std::max(qh, kh) * d));
    std::ranges::fill(d_kv_mine.write<float>(), 0.0F);
    for (int from = 0; from < group.size(); ++from) {
      const std::byte* part = arrived[static_cast<std::size_t>(from)].read<std::byte>().data();
      const std::int64_t rows = mine * p.batch;
      for (std::int64_t t = 0; t < rows; ++t)
        load(p.dtype, part, t * qh * d, std::int64_t{qh} * d,
             dq_mine.write<float>().data() + (t * p.heads + plan.first_q(from)) * d);
      if (plan.first_copy_only && from % plan.copies != 0) continue;
      for (int v = 0; v < 2; ++v)
        for (std::int64_t t = 0; t < rows; ++t) {
          load(p.dtype, part, rows * d * (qh + v * kh) + t * kh * d, std::int64_t{kh} * d, row.data());
          float* to = d_kv_mine.write<float>().data() + ((v * rows + t) * p.kv_heads + plan.first_kv(from)) * d;
          for (int x = 0; x < kh * d; ++x) to[x] += row[static_cast<std::size_t>(x)];
        }
    }
  });
}

// Unchanged attention of the rank's heads over the whole sequence.
Task<> attend(Rank& rank, const UlyssesPlan& plan, RingShard& heads) {
  const SequenceProblem& p = plan.problem;
  const std::int64_t context = plan.elements(p.length, plan.q_heads);
  // In float32 the output itself is the accumulator.
  const bool separate = p.dtype != substrate::DType::f32;
  Buffer wide = separate ? rank.allocate("o accumulator", Memory::workspace, context * 4) : Buffer();
  Buffer& acc = separate ? wide : heads.o;
  co_await rank.compute(plan.forward_work(), [&] {
    std::ranges::fill(acc.write<float>(), 0.0F);
    std::ranges::fill(heads.lse.write<float>(), -std::numeric_limits<float>::infinity());
    const std::byte* keys = heads.kv.read<std::byte>().data();
    block_forward(plan.local, heads.q.read<std::byte>().data(), heads.positions, keys,
                  keys + plan.bytes(plan.elements(p.length, plan.kv_heads)), heads.positions, merge_rescaled,
                  acc.write<float>().data(), heads.lse.write<float>().data());
    if (plan.round_output)
      for (float& each : acc.write<float>()) each = substrate::to_float(substrate::to_bf16(each));
    if (separate) store(p.dtype, acc.read<float>().data(), context, heads.o.write<std::byte>().data());
  });
}

Task<> attend_backward(Rank& rank, const UlyssesPlan& plan, RingShard& heads) {
  const SequenceProblem& p = plan.problem;
  const std::int64_t q_count = plan.elements(p.length, plan.q_heads);
  const std::int64_t kv_count = plan.elements(p.length, plan.kv_heads);
  Buffer delta = rank.allocate("delta", Memory::workspace, plan.lse_rows(0) * 4);
  co_await rank.compute(plan.pointwise_work(q_count, 2.0 * size_of(p.dtype)), [&] {
    row_delta(plan.local, heads.d_out.read<std::byte>().data(), heads.o.read<std::byte>().data(), plan.lse_rows(0),
              delta.write<float>().data());
  });
  heads.o = Buffer();
  heads.d_kv = rank.allocate("dkv of the heads", Memory::workspace, 2 * kv_count * 4);
  co_await rank.compute(plan.backward_work(), [&] {
    std::ranges::fill(heads.dq.write<float>(), 0.0F);
    float* gradient = heads.d_kv.write<float>().data();
    const std::byte* keys = heads.kv.read<std::byte>().data();
    block_backward(plan.local, heads.q.read<std::byte>().data(), heads.positions, keys, keys + plan.bytes(kv_count),
                   heads.positions, heads.d_out.read<std::byte>().data(), heads.lse.read<float>().data(),
                   delta.read<float>().data(), heads.dq.write<float>().data(), gradient, gradient + kv_count);
  });
}

}  // namespace

Task<> layer_by_heads(Group group, const UlyssesPlan& plan, SequenceMemory memory, std::vector<std::int64_t> positions,
                      ShardPass forward, ShardPass backward) {
  Layer layer{.group = group, .plan = plan};
  Rank& rank = group.rank();
  layer.gathered.positions = std::move(positions);
  layer.q = rank.adopt("q", Memory::input, plan.q_bytes(layer.me), memory.q);
  layer.kv = rank.adopt("kv", Memory::input, plan.kv_bytes(layer.me), memory.kv);
  layer.o = rank.adopt("o", Memory::output, plan.q_bytes(layer.me), memory.o);
  layer.gathered.lse = rank.adopt("lse", Memory::output, plan.lse_rows(layer.me) * 4, memory.lse);
  co_await layer.forward(forward);
  if (plan.problem.backward) co_await layer.backward(memory, backward);
}

Task<> ulysses_layer(Rank& rank, const UlyssesPlan& plan, SequenceMemory memory) {
  std::vector<std::int64_t> everywhere;  // of real data only
  for (std::int64_t t = 0; rank.real() && t < plan.problem.length; ++t) everywhere.push_back(t);
  return layer_by_heads(
      rank, plan, memory, std::move(everywhere),
      [&plan](Rank& each, RingShard& heads) { return attend(each, plan, heads); },
      [&plan](Rank& each, RingShard& heads) { return attend_backward(each, plan, heads); });
}

namespace {
const harness::Registration registration({
    .id = "parallelism/sequence/ulysses",
    .title = "DeepSpeed-Ulysses",
    .paper = "arXiv 2309.14509",
    .summary = "all-to-all from tokens to heads and back around unchanged attention; forward and backward",
    .implementations = over_ranks<ulysses_scheme>(sequence_axes(), __FILE__),
    .project = project_ulysses_claim,
});
}  // namespace

}  // namespace assay::parallelism
