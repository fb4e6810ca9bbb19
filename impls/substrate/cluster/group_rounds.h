#pragma once
// Who has come to which collective of which group, and when each is let go: the members' k-th calls are one event.
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "impls/substrate/cluster/group_costs.h"

namespace assay::substrate {

class GroupRounds final : public GroupEvents {
 public:
  // Resumes a rank at a time.
  using Resume = std::function<void(int rank, Picoseconds time)>;
  // Keeps what a rank waits with.
  using Suspend = std::function<void(int rank, std::coroutine_handle<> continuation)>;

  GroupRounds(const ClusterSetup& setup, const Topology& topology, const Picoseconds* clock, Suspend suspend,
              Resume resume)
      : costs_(setup, topology), clock_(clock), suspend_(std::move(suspend)), resume_(std::move(resume)) {}

  std::uint32_t arrive(Rank& rank, const Group& group, const GroupCall& call, std::source_location where) override;
  bool ready(Rank& rank, std::uint32_t ticket) override;
  void wait(Rank& rank, std::uint32_t ticket, std::coroutine_handle<> continuation) override;
  void finish(Rank& rank, const Group& group, std::uint32_t ticket, Picoseconds since) override;

  // What a rank that can not go on waits for; "" where it waits for no group.
  std::string waits_for(int rank) const;

 private:
  struct Ticket {
    const MemberCost* cost = nullptr;  // null until all have come
    const char* name = "";
    std::source_location where;
    Picoseconds start = 0;
    std::uint32_t party = 0, round = 0;
    int rank = 0;
    bool waiting = false;
  };
  struct Round {
    const GroupCall* call = nullptr;
    int first_rank = 0;  // that came
    int come = 0;
    std::vector<std::uint32_t> tickets;  // by member
  };
  struct Known {
    std::string name;
    std::vector<std::int64_t> sizes;
    const GroupCost* cost;
  };
  struct Party {
    std::vector<int> members;
    std::vector<std::uint32_t> calls;  // of each member so far
    std::deque<Round> rounds;          // not all have come to
    std::uint32_t first_round = 0;
    Picoseconds free = 0;      // when the last event of the group ends
    std::vector<Known> known;  // few calls recur
  };
  struct Regular {
    int first, stride, size;
    bool operator==(const Regular&) const = default;
  };
  struct RegularHash {
    std::size_t operator()(const Regular& of) const {
      return (static_cast<std::size_t>(of.first) * 0x9E3779B97F4A7C15ULL) ^
             (static_cast<std::size_t>(of.stride) << 32) ^ (static_cast<std::size_t>(of.size) << 16);
    }
  };

  std::uint32_t party_of(const Group& group);
  std::uint32_t take_ticket();
  void begin(Party& party, const Round& round);

  GroupCosts costs_;
  const Picoseconds* clock_;
  Suspend suspend_;
  Resume resume_;
  std::deque<Party> parties_;
  std::unordered_map<Regular, std::uint32_t, RegularHash> regular_;
  std::map<std::vector<int>, std::uint32_t> listed_;
  std::vector<Ticket> tickets_;
  std::vector<std::uint32_t> free_tickets_;
};

}  // namespace assay::substrate
