#include "impls/substrate/cluster/group_costs.h"

#include <algorithm>
#include <utility>

#include "impls/substrate/fabric/rank.h"

namespace assay::substrate {

std::vector<int> GroupCosts::seats(const std::vector<int>& members) const {
  std::vector<int> slots;
  slots.reserve(members.size());
  for (const int rank : members) slots.push_back(setup_->placement[static_cast<std::size_t>(rank)]);
  if (!topology_->translates()) return slots;
  const int devices = setup_->cluster.devices_per_node;
  std::map<int, int> renamed;
  for (int& slot : slots) {
    const int node = renamed.emplace(slot / devices, static_cast<int>(renamed.size())).first->second;
    slot = node * devices + slot % devices;
  }
  return slots;
}

const GroupCost& GroupCosts::of(const std::vector<int>& members, const GroupCall& call) {
  const auto [found, fresh] = costs_.try_emplace(Key(call.name, call.sizes, seats(members)));
  GroupCost& cost = found->second;
  if (!fresh) return cost;
  ClusterSetup alone = *setup_;
  alone.ranks = static_cast<int>(members.size());
  alone.placement = std::get<2>(found->first);
  alone.groups_as_events = false;
  ClusterFabric fabric(std::move(alone));
  RunReport report = fabric.run([&](Rank& rank) { return call.program(Group(rank)); });
  cost.events = report.events;
  for (RankReport& rank : report.ranks) {
    MemberCost& member = cost.members.emplace_back();
    member.finish = rank.finish;
    cost.longest = std::max(cost.longest, rank.finish);
    for (const LedgerEntry& entry : rank.memory.entries())
      if (entry.at_peak > 0) member.held.push_back(entry);
    member.counted = std::move(rank);
  }
  return cost;
}

}  // namespace assay::substrate
