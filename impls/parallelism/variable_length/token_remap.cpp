#include "impls/parallelism/variable_length/token_remap.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace assay::parallelism {

using substrate::Buffer;
using substrate::Memory;
using substrate::OpWork;
using substrate::Rank;
using substrate::Send;
using substrate::Tag;
using substrate::Task;
using substrate::Transfer;

namespace {

constexpr Tag kOut{.value = 5, .name = "tokens to an even share"};
constexpr Tag kBack{.value = 6, .name = "tokens back"};

// The O of a rank's items, one after the other.
struct Rows {
  struct Part {
    std::int64_t begin, tokens;
    std::byte* data;
  };
  std::vector<Part> parts;
  std::int64_t tokens = 0, row_bytes = 0;

  // Copies rows [begin, begin + count) to or from `buffer`.
  void copy(std::int64_t begin, std::int64_t count, std::byte* buffer, bool into_buffer) const {
    for (const Part& part : parts) {
      const std::int64_t from = std::max(begin, part.begin), to = std::min(begin + count, part.begin + part.tokens);
      if (from >= to) continue;
      std::byte* mine = part.data + (from - part.begin) * row_bytes;
      std::byte* theirs = buffer + (from - begin) * row_bytes;
      std::memcpy(into_buffer ? theirs : mine, into_buffer ? mine : theirs,
                  static_cast<std::size_t>((to - from) * row_bytes));
    }
  }
};

Rows rows_of(const BatchPlan& plan, int rank, const BatchMemory& memory) {
  Rows rows;
  rows.row_bytes = std::int64_t{plan.problem.heads} * plan.problem.head_dim * size_of(plan.problem.dtype);
  for (std::size_t i = 0; i < plan.items.size(); ++i) {
    const auto& ranks = plan.items[i].ranks;
    const auto found = std::ranges::lower_bound(ranks, rank);
    if (found == ranks.end() || *found != rank) continue;
    const auto member = found - ranks.begin();
    const std::int64_t tokens = tokens_of(plan.items[i].shares[static_cast<std::size_t>(member)]);
    rows.parts.push_back(
        {rows.tokens, tokens, memory ? memory(static_cast<int>(i), static_cast<int>(member)).o : nullptr});
    rows.tokens += tokens;
  }
  return rows;
}

}  // namespace

Task<> remapped_layer(Rank& rank, const BatchPlan& plan, const BatchMemory& memory, bool backward) {
  const Rows rows = rows_of(plan, rank.id(), memory);
  std::int64_t held = rows.tokens;
  std::vector<Buffer> leaving;
  std::vector<std::int64_t> first;  // row of each
  std::vector<Send> sends;
  std::vector<Transfer> arriving;
  leaving.reserve(plan.moves.size());
  std::int64_t next = rows.tokens;
  for (const TokenMove& move : plan.moves) {
    const std::int64_t bytes = move.tokens * rows.row_bytes;
    if (move.from == rank.id()) {
      next -= move.tokens;
      held -= move.tokens;
      first.push_back(next);
      leaving.push_back(rank.allocate("tokens leaving", Memory::communication, bytes));
      if (rank.real()) rows.copy(next, move.tokens, leaving.back().write<std::byte>().data(), true);
      sends.push_back(rank.send(leaving.back(), move.to, kOut));
    }
    if (move.to == rank.id()) {
      held += move.tokens;
      arriving.push_back(rank.receive(move.from, {.bytes = bytes, .tag = kOut, .name = "tokens taken in"}));
    }
  }
  for (Send& each : sends) co_await each;
  std::vector<Buffer> guests;
  for (Transfer& each : arriving) guests.push_back(co_await each);
  if (plan.linear && held > 0)
    for (const OpWork& work : plan.linear(held, backward)) co_await rank.compute(work, [] {});

  std::vector<Send> returning;
  std::vector<Transfer> home;
  std::size_t guest = 0;
  for (const TokenMove& move : plan.moves) {
    if (move.to == rank.id()) returning.push_back(rank.send(guests[guest++], move.from, kBack));
    if (move.from == rank.id())
      home.push_back(
          rank.receive(move.to, {.bytes = move.tokens * rows.row_bytes, .tag = kBack, .name = "tokens back"}));
  }
  for (std::size_t k = 0; k < home.size(); ++k) {
    Buffer back = co_await home[k];
    if (!rank.real()) continue;
    if (plan.fault.remapped_lost) std::ranges::fill(back.write<std::byte>(), std::byte{0});
    rows.copy(first[k], back.bytes() / rows.row_bytes, back.write<std::byte>().data(), false);
  }
  for (Send& each : returning) co_await each;
}

}  // namespace assay::parallelism
