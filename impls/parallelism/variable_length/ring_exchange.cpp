// Ring attention inside the group of an item, over slices of several sequences at once: the loop of
// sequence/ring_attention.cpp, with masks that end where a sequence ends.
#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "impls/parallelism/variable_length/batch_program.h"
#include "impls/parallelism/variable_length/ring_hop.h"

namespace assay::parallelism {

using substrate::Buffer;
using substrate::Memory;
using substrate::OpWork;
using substrate::Rank;
using substrate::Tag;
using substrate::Task;

namespace {

constexpr Tag kKeysValues{.value = 1, .name = "kv"};
constexpr Tag kGradients{.value = 2, .name = "dkv"};

// After `hop` hops member m holds the block of member m - hop.
int source_of(const ItemRun& run, int member, int hop) {
  const int members = run.item.members();
  return (member + members - hop % members) % members;
}
int source_of(const ItemRun& run, int hop) { return source_of(run, run.me, hop); }

// Bytes of what every member holds after `hop` hops.
std::vector<std::int64_t> blocks_at(const ItemRun& run, int hop, std::int64_t (ItemSizes::*bytes)(int) const) {
  std::vector<std::int64_t> blocks;
  for (int member = 0; member < run.item.members(); ++member)
    blocks.push_back((run.sizes.*bytes)(source_of(run, member, hop)));
  return blocks;
}

const Share& share_of(const ItemRun& run, int member) { return run.item.shares[static_cast<std::size_t>(member)]; }

OpWork block_work(const ItemRun& run, int source, bool backward) {
  const ItemSizes& s = run.sizes;
  const auto q = static_cast<double>(s.q_elements(run.me));
  const auto rows = static_cast<double>(s.lse_rows(run.me));
  // Forward: Q, K, V in; accumulator and lse in and out. Backward: Q, dO, K, V, lse, delta in; dQ in and out; dK, dV
  // out.
  const double bytes = backward ? 2.0 * q * s.element + static_cast<double>(s.kv_bytes(source)) + 8 * rows + 8 * q +
                                      4.0 * static_cast<double>(s.kv_elements(source))
                                : q * s.element + static_cast<double>(s.kv_bytes(source)) + 8 * (q + rows);
  return packed_attention_work(run.plan.problem, share_of(run, run.me), share_of(run, source), s.heads, s.kv_heads,
                               bytes, backward);
}

bool meets(const ItemRun& run, int source) {
  if (run.plan.fault.last_member_unheard && source == run.item.members() - 1 && source != run.me) return false;
  return causal_pairs(share_of(run, run.me), share_of(run, source)) > 0;
}

BlockShape shape_of(const BatchPlan& plan) {
  BlockShape shape = plan.problem.block();
  shape.scale *= plan.fault.scale;
  return shape;
}

}  // namespace

Task<> ring_forward(ItemRun& run) {
  Rank& rank = run.group.rank();
  const ItemSizes& sizes = run.sizes;
  const BlockShape shape = shape_of(run.plan);
  const bool separate = shape.dtype != substrate::DType::f32;  // else the output itself is the accumulator
  Buffer wide = separate ? rank.allocate("o accumulator", Memory::workspace, sizes.q_elements(run.me) * 4) : Buffer();
  Buffer& acc = separate ? wide : run.o;
  if (rank.real()) {
    std::ranges::fill(acc.write<float>(), 0.0F);
    std::ranges::fill(run.lse.write<float>(), -std::numeric_limits<float>::infinity());
  }
  Buffer travelling;
  const Buffer* held = &run.kv;
  for (int hop = 0; hop < run.item.members(); ++hop) {
    const int source = source_of(run, hop);
    std::optional<RingHop> next;
    if (hop + 1 < run.item.members())
      next.emplace(run, *held, blocks_at(run, hop, &ItemSizes::kv_bytes), kKeysValues, "kv block");
    if (meets(run, source))
      co_await rank.compute(block_work(run, source, false), [&] {
        const std::byte* kv = held->read<std::byte>().data();
        attend(run.plan, shape, run.q.read<std::byte>().data(), share_of(run, run.me), kv,
               kv + sizes.kv_bytes(source) / 2, share_of(run, source), acc.write<float>().data(),
               run.lse.write<float>().data());
      });
    if (next) {
      Buffer arrived = co_await next->arrived();
      next.reset();
      travelling = std::move(arrived);
      held = &travelling;
    }
  }
  if (separate)
    co_await rank.compute(elementwise_work(sizes.q_elements(run.me), 6), [&] {
      store(shape.dtype, acc.read<float>().data(), sizes.q_elements(run.me), run.o.write<std::byte>().data());
    });
}

Task<> ring_backward(ItemRun& run) {
  Rank& rank = run.group.rank();
  const ItemSizes& sizes = run.sizes;
  const BlockShape shape = shape_of(run.plan);
  const int members = run.item.members();
  Buffer delta = rank.allocate("delta", Memory::workspace, sizes.lse_rows(run.me) * 4);
  co_await rank.compute(elementwise_work(sizes.q_elements(run.me), 2.0 * sizes.element), [&] {
    row_delta(shape, run.d_out.read<std::byte>().data(), run.o.read<std::byte>().data(), sizes.lse_rows(run.me),
              delta.write<float>().data());
    std::ranges::fill(run.dq.write<float>(), 0.0F);
  });

  Buffer travelling;
  const Buffer* held = &run.kv;
  Buffer sum;                       // dK, dV of the block held, as far as the ring has come
  std::optional<RingHop> arriving;  // the same for the next block
  for (int hop = 0; hop < members; ++hop) {
    const int source = source_of(run, hop);
    std::optional<RingHop> next;
    if (hop + 1 < members) next.emplace(run, *held, blocks_at(run, hop, &ItemSizes::kv_bytes), kKeysValues, "kv block");
    Buffer part;
    if (hop == 0 || causal_pairs(share_of(run, run.me), share_of(run, source)) > 0) {
      part = rank.allocate("dkv part", Memory::workspace, sizes.kv_elements(source) * 4);
      co_await rank.compute(block_work(run, source, true), [&] {
        const std::byte* kv = held->read<std::byte>().data();
        float* gradient = part.write<float>().data();
        attend_backward(run.plan, shape, run.q.read<std::byte>().data(), share_of(run, run.me), kv,
                        kv + sizes.kv_bytes(source) / 2, share_of(run, source), run.d_out.read<std::byte>().data(),
                        run.lse.read<float>().data(), delta.read<float>().data(), run.dq.write<float>().data(),
                        gradient, gradient + sizes.kv_elements(source) / 2);
        if (run.plan.fault.own_gradient_only && source != run.me) std::ranges::fill(part.write<float>(), 0.0F);
      });
    }
    if (!arriving) {
      sum = std::move(part);
    } else {
      Buffer arrived = co_await arriving->arrived();
      arriving.reset();
      sum = std::move(arrived);
      if (part)
        co_await rank.compute(elementwise_work(sizes.kv_elements(source), 12), [&] {
          const auto from = part.read<float>();
          const auto to = sum.write<float>();
          for (std::size_t i = 0; i < to.size(); ++i) to[i] += from[i];
        });
      part = Buffer();
    }
    if (members > 1)  // the last of these brings the sums of the member's own block home
      arriving.emplace(run, sum, blocks_at(run, hop, &ItemSizes::gradient_bytes), kGradients, "dkv block");
    if (next) {
      Buffer arrived = co_await next->arrived();
      next.reset();
      travelling = std::move(arrived);
      held = &travelling;
    }
  }
  if (!arriving) {
    run.d_kv = std::move(sum);
    co_return;
  }
  run.d_kv = co_await arriving->arrived();
  arriving.reset();
}

}  // namespace assay::parallelism
