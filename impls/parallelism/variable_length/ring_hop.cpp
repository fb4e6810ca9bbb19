#include "impls/parallelism/variable_length/ring_hop.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace assay::parallelism {

using substrate::Buffer;
using substrate::Memory;
using substrate::Rank;
using substrate::Task;
using substrate::Transfer;

// Every member starts its halves in the same order, legs of one kind after the other, so that the k-th send of a pair
// meets its k-th receive.
RingHop::RingHop(ItemRun& run, const Buffer& held, std::vector<std::int64_t> blocks, substrate::Tag tag,
                 const char* name)
    : run_(run), held_(held), blocks_(std::move(blocks)), tag_(tag), name_(name) {
  if (run.plan.routed_node_ranks > 0) borders_ = borders();
  const int me = run.me, before = (me + run.item.members() - 1) % run.item.members();
  const auto crosses = [&](int member) {
    return std::ranges::any_of(borders_, [&](const Border& border) { return border.from == member; });
  };
  Rank& rank = run.group.rank();
  for (const Border& border : borders_)
    for (std::size_t j = 0; j < border.near.size(); ++j) {
      if (border.from == me && border.near[j] != me) {
        cuts_.push_back(rank.slice(held_, piece_begin(border, j), piece_bytes(border, j)));
        sends_.push_back(run.group.send(cuts_.back(), border.near[j], tag_));
      }
      if (border.near[j] == me && border.from != me)
        near_.push_back(
            run.group.receive(border.from, {.bytes = piece_bytes(border, j), .tag = tag_, .name = "routed piece"}));
    }
  if (!crosses(me)) sends_.push_back(run.group.send(held_, next_of(me), tag_));
  if (!crosses(before))
    whole_.push_back(
        run.group.receive(before, {.bytes = blocks_[static_cast<std::size_t>(before)], .tag = tag_, .name = name_}));
}

int RingHop::node_of(int member) const {
  return run_.item.ranks[static_cast<std::size_t>(member)] / run_.plan.routed_node_ranks;
}

std::vector<RingHop::Border> RingHop::borders() const {
  std::vector<Border> all;
  for (int member = 0; member < run_.item.members(); ++member) {
    if (node_of(member) == node_of(next_of(member))) continue;
    Border border{.from = member, .to = next_of(member), .near = {}, .beyond = {}};
    for (int other = 0; other < run_.item.members(); ++other) {
      if (node_of(other) == node_of(border.from)) border.near.push_back(other);
      if (node_of(other) == node_of(border.to)) border.beyond.push_back(other);
    }
    const std::size_t ways = std::min(border.near.size(), border.beyond.size());
    border.near.resize(ways);
    border.beyond.resize(ways);
    all.push_back(std::move(border));
  }
  return all;
}

Task<Buffer> RingHop::arrived() {
  Rank& rank = run_.group.rank();
  const int me = run_.me, before = (me + run_.item.members() - 1) % run_.item.members();
  // Between nodes: piece j of every border that this member passes on, or has of its own.
  std::vector<Buffer> passing;
  std::vector<Transfer> beyond;
  std::size_t next_near = 0;
  passing.reserve(borders_.size());
  for (const Border& border : borders_)
    for (std::size_t j = 0; j < border.near.size(); ++j) {
      if (border.near[j] == me) {
        if (border.from == me) {
          passing.push_back(rank.slice(held_, piece_begin(border, j), piece_bytes(border, j)));
        } else {
          Transfer& piece = near_[next_near];
          ++next_near;
          passing.push_back(co_await piece);
        }
        if (run_.plan.fault.first_route_lost && rank.real() && j == 0 && border.from != me)
          std::ranges::fill(passing.back().write<std::byte>(), std::byte{0});
        sends_.push_back(run_.group.send(passing.back(), border.beyond[j], tag_));
      }
      if (border.beyond[j] == me)
        beyond.push_back(
            run_.group.receive(border.near[j], {.bytes = piece_bytes(border, j), .tag = tag_, .name = "routed piece"}));
    }
  // To whom they are for.
  std::vector<Buffer> crossed;
  std::vector<Transfer> home;
  Buffer whole;
  std::size_t next_beyond = 0;
  crossed.reserve(borders_.size());
  std::vector<std::pair<std::int64_t, Buffer>> own;  // pieces that crossed right here
  for (const Border& border : borders_)
    for (std::size_t j = 0; j < border.near.size(); ++j) {
      if (border.beyond[j] == me) {
        Transfer& coming = beyond[next_beyond];
        ++next_beyond;
        Buffer piece = co_await coming;
        if (border.to == me) {
          own.emplace_back(piece_begin(border, j), std::move(piece));
        } else {
          crossed.push_back(std::move(piece));
          sends_.push_back(run_.group.send(crossed.back(), border.to, tag_));
        }
      } else if (border.to == me) {
        home.push_back(run_.group.receive(border.beyond[j],
                                          {.bytes = piece_bytes(border, j), .tag = tag_, .name = "routed piece"}));
      }
    }
  if (!whole_.empty()) {
    whole = co_await whole_.front();
  } else {
    whole = rank.allocate(name_, Memory::communication, blocks_[static_cast<std::size_t>(before)]);
    const auto place = [&](std::int64_t begin, const Buffer& piece) {
      if (!rank.real() || piece.bytes() == 0) return;
      const auto from = piece.read<std::byte>();
      std::memcpy(whole.write<std::byte>().data() + begin, from.data(), from.size());
    };
    for (const auto& [begin, piece] : own) place(begin, piece);
    std::size_t next_home = 0;
    for (const Border& border : borders_)
      for (std::size_t j = 0; j < border.near.size(); ++j) {
        if (border.to != me || border.beyond[j] == me) continue;
        Transfer& coming = home[next_home];
        ++next_home;
        const Buffer piece = co_await coming;
        place(piece_begin(border, j), piece);
      }
    co_await rank.copy(whole.bytes(), [] {});
  }
  for (substrate::Send& each : sends_) co_await each;
  co_return whole;
}

}  // namespace assay::parallelism
