// All-to-all from tokens to heads inside the group of an item, over several sequences at once, as Ulysses does it
// (sequence/ulysses.cpp). A member's tokens are one run of the packed row, so that what it sends to the heads of
// another lies in one piece there.
#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

#include "impls/parallelism/variable_length/batch_program.h"
#include "impls/substrate/fabric/collectives.h"

namespace assay::parallelism {

using substrate::Buffer;
using substrate::Memory;
using substrate::Rank;
using substrate::Tag;
using substrate::Task;

namespace {

constexpr Tag kToHeads{.value = 1, .name = "qkv to heads"};
constexpr Tag kContext{.value = 2, .name = "context to tokens"};
constexpr Tag kContextGradient{.value = 3, .name = "dcontext to heads"};
constexpr Tag kGradients{.value = 4, .name = "dqkv to tokens"};

// Rows of `width` heads from `first` on, of a [tokens][heads][d] tensor, to and from one piece.
void cut(std::byte* whole, std::int64_t tokens, std::int64_t heads, std::int64_t first, std::int64_t width,
         std::int64_t head_bytes, std::byte* piece, bool into_piece) {
  for (std::int64_t t = 0; t < tokens; ++t) {
    std::byte* row = whole + (t * heads + first) * head_bytes;
    std::byte* part = piece + t * width * head_bytes;
    std::memcpy(into_piece ? part : row, into_piece ? row : part, static_cast<std::size_t>(width * head_bytes));
  }
}

struct Layer {
  ItemRun& run;
  const ItemSizes& s = run.sizes;
  Rank& rank = run.group.rank();
  int members = run.item.members();
  int qh = s.q_heads, kh = s.kv_heads_of_a_member;
  int copies = std::max(1, members / s.kv_heads);  // members that share a key head
  std::int64_t d = s.head_dim, mine = s.tokens[static_cast<std::size_t>(run.me)];
  Share row = {};                     // all sequences whole: what attention sees
  std::vector<std::int64_t> at = {};  // first row of each member's tokens

  int first_q(int m) const { return m * qh; }
  int first_kv(int m) const { return m / copies * kh; }
  std::int64_t tokens(int m) const { return s.tokens[static_cast<std::size_t>(m)]; }
  std::int64_t bytes(std::int64_t rows, int heads) const { return rows * heads * d * s.element; }
  BlockShape local() const {
    BlockShape shape = run.plan.problem.block();
    shape.heads = qh;
    shape.kv_heads = kh;
    shape.scale *= run.plan.fault.scale;
    return shape;
  }

  std::vector<Buffer> allocate(const char* name, bool to_heads, int width) const {
    std::vector<Buffer> parts;
    for (int m = 0; m < members; ++m)
      parts.push_back(rank.allocate(name, Memory::communication, bytes(to_heads ? mine : tokens(m), width)));
    return parts;
  }
  std::vector<std::int64_t> expected(bool to_heads, int width) const {
    std::vector<std::int64_t> sizes;
    for (int m = 0; m < members; ++m) sizes.push_back(bytes(to_heads ? tokens(m) : mine, width));
    return sizes;
  }

  // Tensors of the own tokens and all heads to tensors of all tokens and the own heads; kv of both or of none.
  Task<> to_heads(const Buffer& q, const Buffer* kv, Buffer& q_all, Buffer* kv_all, Tag tag) {
    const int width = kv != nullptr ? qh + 2 * kh : qh;
    const std::int64_t head = d * s.element;
    std::vector<Buffer> parts = allocate("parts by heads", true, width);
    co_await rank.copy(bytes(mine, width) * members, [&] {
      for (int m = 0; m < members; ++m) {
        std::byte* part = parts[static_cast<std::size_t>(m)].write<std::byte>().data();
        cut(const_cast<std::byte*>(q.read<std::byte>().data()), mine, s.heads, first_q(m), qh, head, part, true);
        for (int v = 0; kv != nullptr && v < 2; ++v)
          cut(const_cast<std::byte*>(kv->read<std::byte>().data()) + v * bytes(mine, s.kv_heads), mine, s.kv_heads,
              first_kv(m), kh, head, part + bytes(mine, qh + v * kh), true);
      }
    });
    const std::vector<Buffer> arrived =
        co_await all_to_all(run.group, std::move(parts), expected(true, width), tag, "parts by tokens");
    q_all = rank.allocate("q or context of the heads", Memory::activation, bytes(s.all, qh));
    if (kv != nullptr) *kv_all = rank.allocate("kv of the heads", Memory::activation, bytes(s.all, 2 * kh));
    co_await rank.copy(bytes(s.all, width), [&] {
      for (int m = 0; m < members; ++m) {
        const std::byte* part = arrived[static_cast<std::size_t>(m)].read<std::byte>().data();
        const std::int64_t begin = at[static_cast<std::size_t>(m)];
        const bool unheard = run.plan.fault.last_member_unheard && m == members - 1 && m != run.me;
        const auto place = [&](std::byte* to, const std::byte* from, std::int64_t size) {
          if (unheard)
            std::memset(to, 0, static_cast<std::size_t>(size));
          else
            std::memcpy(to, from, static_cast<std::size_t>(size));
        };
        place(q_all.write<std::byte>().data() + bytes(begin, qh), part, bytes(tokens(m), qh));
        for (int v = 0; kv != nullptr && v < 2; ++v)
          place(kv_all->write<std::byte>().data() + v * bytes(s.all, kh) + bytes(begin, kh),
                part + bytes(tokens(m), qh + v * kh), bytes(tokens(m), kh));
      }
    });
  }

  // The rows of each member from a tensor of all tokens and `width` heads in one piece a member.
  std::vector<Buffer> by_tokens(const std::vector<std::pair<Buffer*, int>>& tensors, int width) {
    std::vector<Buffer> parts = allocate("parts by tokens", false, width);
    if (!rank.real()) return parts;
    for (int m = 0; m < members; ++m) {
      std::byte* to = parts[static_cast<std::size_t>(m)].write<std::byte>().data();
      for (const auto& [tensor, heads] : tensors) {
        const std::int64_t size = bytes(tokens(m), heads);
        std::memcpy(to, tensor->read<std::byte>().data() + bytes(at[static_cast<std::size_t>(m)], heads),
                    static_cast<std::size_t>(size));
        to += size;
      }
    }
    return parts;
  }

  Task<> forward(Buffer& q_all, Buffer& kv_all, Buffer& o_all) {
    co_await to_heads(run.q, &run.kv, q_all, &kv_all, kToHeads);
    const BlockShape shape = local();
    const std::int64_t context = s.all * qh * d;
    o_all = rank.allocate("context of the heads", Memory::activation, bytes(s.all, qh));
    {
      const bool separate = shape.dtype != substrate::DType::f32;
      Buffer wide = separate ? rank.allocate("o accumulator", Memory::workspace, context * 4) : Buffer();
      Buffer& acc = separate ? wide : o_all;
      const double moved = static_cast<double>(bytes(s.all, 2 * qh + 2 * kh) + 4 * s.all * qh);
      co_await rank.compute(packed_attention_work(run.plan.problem, row, row, qh, kh, moved, false), [&] {
        std::ranges::fill(acc.write<float>(), 0.0F);
        std::ranges::fill(run.lse.write<float>(), -std::numeric_limits<float>::infinity());
        const std::byte* keys = kv_all.read<std::byte>().data();
        attend(run.plan, shape, q_all.read<std::byte>().data(), row, keys, keys + bytes(s.all, kh), row,
               acc.write<float>().data(), run.lse.write<float>().data());
        if (separate) store(shape.dtype, acc.read<float>().data(), context, o_all.write<std::byte>().data());
      });
    }
    co_await rank.copy(bytes(s.all, qh), [] {});
    std::vector<Buffer> parts = by_tokens({{&o_all, qh}}, qh);
    std::vector<Buffer> arrived =
        co_await all_to_all(run.group, std::move(parts), expected(false, qh), kContext, "parts by heads");
    co_await rank.copy(s.q_bytes(run.me), [&] {
      for (int m = 0; m < members; ++m)
        cut(run.o.write<std::byte>().data(), mine, s.heads, first_q(m), qh, d * s.element,
            arrived[static_cast<std::size_t>(m)].write<std::byte>().data(), false);
    });
  }

  Task<> backward(const Buffer& q_all, const Buffer& kv_all, const Buffer& o_all) {
    const BlockShape shape = local();
    Buffer d_context;
    co_await to_heads(run.d_out, nullptr, d_context, nullptr, kContextGradient);
    const std::int64_t q_count = s.all * qh * d, kv_count = s.all * kh * d;
    Buffer delta = rank.allocate("delta", Memory::workspace, s.all * qh * 4);
    Buffer dq = rank.allocate("dq of the heads", Memory::workspace, q_count * 4);
    Buffer d_kv = rank.allocate("dkv of the heads", Memory::workspace, 2 * kv_count * 4);
    co_await rank.compute(elementwise_work(q_count, 2.0 * s.element), [&] {
      row_delta(shape, d_context.read<std::byte>().data(), o_all.read<std::byte>().data(), s.all * qh,
                delta.write<float>().data());
      std::ranges::fill(dq.write<float>(), 0.0F);
    });
    const double moved = static_cast<double>(bytes(s.all, 3 * qh + 4 * kh) + 8 * s.all * qh);
    co_await rank.compute(packed_attention_work(run.plan.problem, row, row, qh, kh, moved, true), [&] {
      const std::byte* keys = kv_all.read<std::byte>().data();
      float* gradient = d_kv.write<float>().data();
      attend_backward(run.plan, shape, q_all.read<std::byte>().data(), row, keys, keys + bytes(s.all, kh), row,
                      d_context.read<std::byte>().data(), run.lse.read<float>().data(), delta.read<float>().data(),
                      dq.write<float>().data(), gradient, gradient + kv_count);
    });
    // Gradients travel in the dtype of the layer.
    Buffer narrow_q = rank.allocate("gradients of the heads", Memory::activation, bytes(s.all, qh));
    Buffer narrow_k = rank.allocate("gradients of the heads", Memory::activation, bytes(s.all, kh));
    Buffer narrow_v = rank.allocate("gradients of the heads", Memory::activation, bytes(s.all, kh));
    co_await rank.compute(elementwise_work(q_count + 2 * kv_count, 4.0 + s.element), [&] {
      store(shape.dtype, dq.read<float>().data(), q_count, narrow_q.write<std::byte>().data());
      store(shape.dtype, d_kv.read<float>().data(), kv_count, narrow_k.write<std::byte>().data());
      store(shape.dtype, d_kv.read<float>().data() + kv_count, kv_count, narrow_v.write<std::byte>().data());
    });
    const int width = qh + 2 * kh;
    co_await rank.copy(bytes(s.all, width), [] {});
    std::vector<Buffer> parts = by_tokens({{&narrow_q, qh}, {&narrow_k, kh}, {&narrow_v, kh}}, width);
    const std::vector<Buffer> arrived =
        co_await all_to_all(run.group, std::move(parts), expected(false, width), kGradients, "parts by heads");
    co_await rank.compute(elementwise_work(mine * width * d * members, 4.0 + s.element), [&] {
      std::vector<float> one(static_cast<std::size_t>(std::max(qh, kh) * d));
      std::ranges::fill(run.d_kv.write<float>(), 0.0F);
      for (int m = 0; m < members; ++m) {
        const std::byte* part = arrived[static_cast<std::size_t>(m)].read<std::byte>().data();
        for (std::int64_t t = 0; t < mine; ++t)
          load(shape.dtype, part, t * qh * d, qh * d, run.dq.write<float>().data() + (t * s.heads + first_q(m)) * d);
        if (run.plan.fault.own_gradient_only && m % copies != 0) continue;
        for (int v = 0; v < 2; ++v)
          for (std::int64_t t = 0; t < mine; ++t) {
            load(shape.dtype, part, mine * d * (qh + v * kh) + t * kh * d, kh * d, one.data());
            float* to = run.d_kv.write<float>().data() + ((v * mine + t) * s.kv_heads + first_kv(m)) * d;
            for (std::int64_t x = 0; x < kh * d; ++x) to[x] += one[static_cast<std::size_t>(x)];
          }
      }
    });
  }
};

}  // namespace

Task<> heads_layer(ItemRun& run) {
  Layer layer{.run = run};
  std::int64_t row = 0;
  for (const std::int64_t tokens : run.sizes.tokens) {
    layer.at.push_back(row);
    row += tokens;
  }
  for (const int sequence : run.item.sequences)
    layer.row.push_back({sequence, 0, run.plan.problem.lengths[static_cast<std::size_t>(sequence)]});
  Buffer q_all, kv_all, o_all;
  co_await layer.forward(q_all, kv_all, o_all);
  if (run.plan.problem.backward) co_await layer.backward(q_all, kv_all, o_all);
}

}  // namespace assay::parallelism
