#pragma once
// What collectives of groups cost as programs of messages, simulated once for groups that sit alike.
#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "impls/substrate/cluster/cluster.h"
#include "impls/substrate/cluster/topology.h"
#include "impls/substrate/fabric/group_event.h"

namespace assay::substrate {

struct MemberCost {
  Picoseconds finish = 0;         // after all have begun
  RankReport counted;             // peers by member
  std::vector<LedgerEntry> held;  // what it held when it held most
};

struct GroupCost {
  std::vector<MemberCost> members;
  Picoseconds longest = 0;
  std::uint64_t events = 0;  // of the program
};

class GroupCosts {
 public:
  GroupCosts(const ClusterSetup& setup, const Topology& topology) : setup_(&setup), topology_(&topology) {}
  // `members`: the ranks of the group, in order. The reference stays valid.
  const GroupCost& of(const std::vector<int>& members, const GroupCall& call);

 private:
  using Key = std::tuple<std::string, std::vector<std::int64_t>, std::vector<int>>;

  // Slots of the group; where it only matters who shares a node with whom, nodes in order of first member.
  std::vector<int> seats(const std::vector<int>& members) const;

  const ClusterSetup* setup_;
  const Topology* topology_;
  std::map<Key, GroupCost> costs_;
};

}  // namespace assay::substrate
