#include "impls/parallelism/variable_length/batch_program.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <optional>
#include <span>
#include <utility>

#include "impls/parallelism/variable_length/token_remap.h"

namespace assay::parallelism {

using substrate::Group;
using substrate::Memory;
using substrate::OpKind;
using substrate::OpWork;
using substrate::Rank;
using substrate::Task;

ItemSizes::ItemSizes(const BatchProblem& problem, const BatchItem& item)
    : element(static_cast<int>(size_of(problem.dtype))),
      heads(problem.heads),
      kv_heads(problem.kv_heads),
      head_dim(problem.head_dim),
      by_heads(item.exchange == Exchange::heads),
      q_heads(problem.heads / item.members()),
      kv_heads_of_a_member(std::max(1, problem.kv_heads / item.members())) {
  for (const Share& share : item.shares) tokens.push_back(tokens_of(share));
  all = std::accumulate(tokens.begin(), tokens.end(), std::int64_t{0});
}

namespace {

std::vector<std::int64_t> positions_of(const Slice& slice) {
  std::vector<std::int64_t> positions(static_cast<std::size_t>(slice.tokens()));
  std::iota(positions.begin(), positions.end(), slice.begin);
  return positions;
}

// Calls visit(query slice, its first row, key slice, its first row, mask) for the pairs that meet.
template <class Visit>
void for_blocks(const BatchPlan& plan, const Share& queries, const Share& keys, Visit visit) {
  std::int64_t q_row = 0;
  for (const Slice& q : queries) {
    int before = -1;  // the sequence before this one
    for (const Slice& k : keys)
      if (k.sequence < q.sequence) before = k.sequence;
    std::int64_t k_row = 0;
    for (const Slice& k : keys) {
      if (causal_pairs(q, k) > 0) visit(q, q_row, k, k_row, true);
      if (plan.fault.across_sequences && k.sequence == before) visit(q, q_row, k, k_row, false);
      k_row += k.tokens();
    }
    q_row += q.tokens();
  }
}

}  // namespace

void attend(const BatchPlan& plan, const BlockShape& shape, const std::byte* q, const Share& queries,
            const std::byte* k, const std::byte* v, const Share& keys, float* acc, float* lse) {
  const std::int64_t element = size_of(shape.dtype), d = shape.head_dim;
  for_blocks(plan, queries, keys,
             [&](const Slice& q_slice, std::int64_t q_row, const Slice& k_slice, std::int64_t k_row, bool causal) {
               BlockShape block = shape;
               block.causal = causal;
               const std::int64_t from_q = q_row * shape.heads * d, from_k = k_row * shape.kv_heads * d;
               block_forward(block, q + from_q * element, positions_of(q_slice), k + from_k * element,
                             v + from_k * element, positions_of(k_slice), merge_rescaled, acc + from_q,
                             lse + q_row * shape.heads);
             });
}

void attend_backward(const BatchPlan& plan, const BlockShape& shape, const std::byte* q, const Share& queries,
                     const std::byte* k, const std::byte* v, const Share& keys, const std::byte* d_out,
                     const float* lse, const float* delta, float* dq, float* dk, float* dv) {
  const std::int64_t element = size_of(shape.dtype), d = shape.head_dim;
  const std::int64_t total = tokens_of(keys) * shape.kv_heads * d;
  std::fill_n(dk, total, 0.0F);
  std::fill_n(dv, total, 0.0F);
  std::vector<float> dk_part, dv_part;
  for_blocks(plan, queries, keys,
             [&](const Slice& q_slice, std::int64_t q_row, const Slice& k_slice, std::int64_t k_row, bool causal) {
               BlockShape block = shape;
               block.causal = causal;
               const std::int64_t from_q = q_row * shape.heads * d, from_k = k_row * shape.kv_heads * d;
               dk_part.resize(static_cast<std::size_t>(k_slice.tokens() * shape.kv_heads * d));
               dv_part.resize(dk_part.size());
               block_backward(block, q + from_q * element, positions_of(q_slice), k + from_k * element,
                              v + from_k * element, positions_of(k_slice), d_out + from_q * element,
                              lse + q_row * shape.heads, delta + q_row * shape.heads, dq + from_q, dk_part.data(),
                              dv_part.data());
               for (std::size_t i = 0; i < dk_part.size(); ++i) {
                 dk[static_cast<std::size_t>(from_k) + i] += dk_part[i];
                 dv[static_cast<std::size_t>(from_k) + i] += dv_part[i];
               }
             });
}

OpWork packed_attention_work(const BatchProblem& problem, const Share& queries, const Share& keys, int heads,
                             int kv_heads, double bytes, bool backward) {
  constexpr std::int64_t kTile = 128;
  const auto tiles = [](std::int64_t tokens) { return (tokens + kTile - 1) / kTile; };
  std::int64_t pairs = 0, issued = 0;
  std::size_t first = 0;
  for (const Slice& q : queries) {
    while (first < keys.size() && keys[first].sequence < q.sequence) ++first;
    for (std::size_t i = first; i < keys.size() && keys[i].sequence == q.sequence; ++i) {
      const std::int64_t seen = causal_pairs(q, keys[i]);
      pairs += seen;
      if (q == keys[i])
        issued += tiles(q.tokens()) * (tiles(q.tokens()) + 1) / 2 * kTile * kTile;
      else
        issued += seen;
    }
  }
  const std::int64_t rows = tokens_of(queries);
  const double scores = static_cast<double>(pairs) * heads;
  const bool whole = queries.size() == 1 && keys.size() == 1 && queries[0] == keys[0];
  return {.kind = backward ? OpKind::attention_backward : OpKind::attention,
          .dtype = problem.dtype == substrate::DType::bf16 ? substrate::OpDtype::bf16 : substrate::OpDtype::fp32,
          .flops = (backward ? 10 : 4) * scores * problem.head_dim,
          .bytes = bytes,
          .exps = scores,
          .batch = 1,
          .sequence = rows,
          .keys = whole ? rows : std::max<std::int64_t>(1, rows == 0 ? 0 : (issued + rows - 1) / rows),
          .heads = heads,
          .kv_heads = kv_heads,
          .head_dim = problem.head_dim,
          .causal = whole};
}

OpWork elementwise_work(std::int64_t elements, double bytes_each) {
  return {.kind = OpKind::pointwise,
          .dtype = substrate::OpDtype::fp32,
          .flops = 2 * static_cast<double>(elements),
          .bytes = bytes_each * static_cast<double>(elements)};
}

namespace {

Task<> linear_operators(Rank& rank, const BatchPlan& plan, std::int64_t tokens, bool backward) {
  if (!plan.linear || tokens == 0 || !plan.moves.empty()) co_return;
  for (const OpWork& work : plan.linear(tokens, backward)) co_await rank.compute(work, [] {});
}

// Between forward and backward a share of Q, K, V and O is in host memory. A planner lets only that go whose way is
// hidden by the time of a layer (ByteScale, Eq. 3), so none is charged; the ledger keeps one layer, which is back when
// it is worked on.
class InHostMemory {
 public:
  explicit InHostMemory(ItemRun& run) {
    for (substrate::Buffer* buffer : {&run.q, &run.kv, &run.o}) {
      const auto bytes = static_cast<std::size_t>(run.item.offload * static_cast<double>(buffer->bytes()));
      device_.push_back(buffer->write<std::byte>().first(bytes));
      host_.emplace_back(device_.back().begin(), device_.back().end());
      std::ranges::fill(device_.back(), std::byte{0});
    }
  }
  void bring_back() const {
    for (std::size_t i = 0; i < host_.size(); ++i) std::ranges::copy(host_[i], device_[i].begin());
  }

 private:
  std::vector<std::span<std::byte>> device_;
  std::vector<std::vector<std::byte>> host_;
};

Task<> run_item(Rank& rank, const BatchPlan& plan, const BatchItem& item, int me, SequenceMemory memory) {
  ItemRun run{.plan = plan,
              .item = item,
              .sizes = ItemSizes(plan.problem, item),
              .group = Group::of(rank, item.ranks),
              .me = me};
  const ItemSizes& sizes = run.sizes;
  const std::int64_t tokens = sizes.tokens[static_cast<std::size_t>(me)];
  run.q = rank.adopt("q", Memory::input, sizes.q_bytes(me), memory.q);
  run.kv = rank.adopt("kv", Memory::input, sizes.kv_bytes(me), memory.kv);
  run.o = rank.adopt("o", Memory::output, sizes.q_bytes(me), memory.o);
  run.lse = rank.adopt("lse", Memory::output, sizes.lse_rows(me) * 4, memory.lse);
  const bool backward = plan.problem.backward;
  if (backward) {
    run.d_out = rank.adopt("do", Memory::input, sizes.q_bytes(me), memory.d_out);
    run.dq = rank.adopt("dq", Memory::output, sizes.q_elements(me) * 4, memory.dq);
  }
  co_await linear_operators(rank, plan, tokens, false);
  if (sizes.by_heads) {
    if (backward) run.d_kv = rank.adopt("dkv", Memory::output, sizes.kv_elements(me) * 4, memory.d_kv);
    co_await heads_layer(run);
  } else {
    co_await ring_forward(run);
    if (backward) {
      std::optional<InHostMemory> away;
      if (rank.real() && item.offload > 0) away.emplace(run);
      if (away && !plan.fault.nothing_comes_back) away->bring_back();
      co_await ring_backward(run);
      if (away && plan.fault.nothing_comes_back) away->bring_back();  // inputs are the caller's
      if (rank.real()) {
        const auto gradients = run.d_kv.read<std::byte>();
        std::memcpy(memory.d_kv, gradients.data(), gradients.size());
      }
    }
  }
  if (backward) co_await linear_operators(rank, plan, tokens, true);
}

}  // namespace

Task<> batch_layer(Rank& rank, const BatchPlan& plan, BatchMemory memory) {
  for (std::size_t i = 0; i < plan.items.size(); ++i) {
    const BatchItem& item = plan.items[i];
    const auto found = std::ranges::lower_bound(item.ranks, rank.id());
    if (found == item.ranks.end() || *found != rank.id()) continue;
    const int me = static_cast<int>(found - item.ranks.begin());
    co_await run_item(rank, plan, item, me, memory ? memory(static_cast<int>(i), me) : SequenceMemory{});
  }
  if (plan.moves.empty()) co_return;
  co_await remapped_layer(rank, plan, memory, false);
  if (plan.problem.backward) co_await remapped_layer(rank, plan, memory, true);
}

}  // namespace assay::parallelism
