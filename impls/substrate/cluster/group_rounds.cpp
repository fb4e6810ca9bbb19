#include "impls/substrate/cluster/group_rounds.h"

#include <fmt/format.h>

#include <algorithm>

#include "impls/substrate/fabric/rank.h"

namespace assay::substrate {

std::uint32_t GroupRounds::party_of(const Group& group) {
  const auto make = [&] {
    Party& party = parties_.emplace_back();
    for (int i = 0; i < group.size(); ++i) party.members.push_back(group.member(i));
    party.calls.assign(party.members.size(), 0);
    return static_cast<std::uint32_t>(parties_.size() - 1);
  };
  if (group.stride() > 0) {
    const Regular key{group.member(0), group.stride(), group.size()};
    const auto found = regular_.find(key);
    return found != regular_.end() ? found->second : regular_.emplace(key, make()).first->second;
  }
  std::vector<int> members;
  for (int i = 0; i < group.size(); ++i) members.push_back(group.member(i));
  const auto found = listed_.find(members);
  return found != listed_.end() ? found->second : listed_.emplace(std::move(members), make()).first->second;
}

std::uint32_t GroupRounds::take_ticket() {
  if (free_tickets_.empty()) {
    tickets_.emplace_back();
    return static_cast<std::uint32_t>(tickets_.size() - 1);
  }
  const std::uint32_t ticket = free_tickets_.back();
  free_tickets_.pop_back();
  tickets_[ticket] = {};
  return ticket;
}

std::uint32_t GroupRounds::arrive(Rank& rank, const Group& group, const GroupCall& call, std::source_location where) {
  const std::uint32_t at = party_of(group);
  Party& party = parties_[at];
  const auto member = static_cast<std::size_t>(group.id());
  const std::uint32_t number = party.calls[member]++;
  const std::size_t index = number - party.first_round;
  while (party.rounds.size() <= index) {
    Round& fresh = party.rounds.emplace_back();
    fresh.tickets.assign(party.members.size(), 0);
  }
  Round& round = party.rounds[index];
  if (round.call == nullptr) {
    round.call = &call;
    round.first_rank = rank.id();
  } else if (std::string_view(round.call->name) != call.name || round.call->sizes != call.sizes) {
    throw ContractViolation(fmt::format("rank {} comes to '{}' of a group of {} at {}, rank {} to '{}'{}", rank.id(),
                                        call.name, group.size(), to_text(where), round.first_rank, round.call->name,
                                        round.call->sizes == call.sizes ? "" : " of other sizes"));
  }
  const std::uint32_t id = take_ticket();
  Ticket& ticket = tickets_[id];
  ticket.name = call.name;
  ticket.where = where;
  ticket.party = at;
  ticket.round = number;
  ticket.rank = rank.id();
  round.tickets[member] = id;
  if (++round.come == group.size()) {
    // Members come to the rounds of a group in order, so the first one is whole first.
    begin(party, round);
    party.rounds.pop_front();
    ++party.first_round;
  }
  return id;
}

void GroupRounds::begin(Party& party, const Round& round) {
  const GroupCall& call = *round.call;
  const auto known = std::find_if(party.known.begin(), party.known.end(), [&](const Known& each) {
    return each.name == call.name && each.sizes == call.sizes;
  });
  const GroupCost* cost = known != party.known.end() ? known->cost : nullptr;
  if (cost == nullptr) {
    cost = &costs_.of(party.members, call);
    party.known.push_back({call.name, call.sizes, cost});
  }
  const Picoseconds start = std::max(*clock_, party.free);
  party.free = start + cost->longest;
  for (std::size_t m = 0; m < party.members.size(); ++m) {
    Ticket& ticket = tickets_[round.tickets[m]];
    ticket.cost = &cost->members[m];
    ticket.start = start;
    if (ticket.waiting) resume_(ticket.rank, start + ticket.cost->finish);
  }
}

bool GroupRounds::ready(Rank&, std::uint32_t ticket) {
  const Ticket& of = tickets_[ticket];
  return of.cost != nullptr && of.start + of.cost->finish <= *clock_;
}

void GroupRounds::wait(Rank& rank, std::uint32_t ticket, std::coroutine_handle<> continuation) {
  Ticket& of = tickets_[ticket];
  suspend_(rank.id(), continuation);
  of.waiting = true;
  if (of.cost != nullptr) resume_(rank.id(), of.start + of.cost->finish);
}

void GroupRounds::finish(Rank& rank, const Group& group, std::uint32_t ticket, Picoseconds since) {
  const Ticket& of = tickets_[ticket];
  rank.count_group(group, of.cost->counted, of.cost->held, of.name, of.start, since);
  tickets_[ticket].waiting = false;
  free_tickets_.push_back(ticket);
}

std::string GroupRounds::waits_for(int rank) const {
  for (const Ticket& ticket : tickets_) {
    if (!ticket.waiting || ticket.rank != rank || ticket.cost != nullptr) continue;
    const Party& party = parties_[ticket.party];
    const Round& round = party.rounds[ticket.round - party.first_round];
    int missing = -1;
    for (std::size_t m = 0; m < party.members.size() && missing < 0; ++m)
      if (party.calls[m] <= ticket.round) missing = party.members[m];
    return fmt::format("rank {} waits in '{}' of a group of {} for rank {}, {} have come, posted at {}", rank,
                       ticket.name, party.members.size(), missing, round.come, to_text(ticket.where));
  }
  return {};
}

}  // namespace assay::substrate
