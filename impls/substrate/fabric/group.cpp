#include "impls/substrate/fabric/group.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace assay::substrate {

Group Group::split(Rank& rank, const std::function<int(int)>& color_of) {
  const int color = color_of(rank.id());
  auto members = std::make_shared<std::vector<int>>();
  int id = 0;
  for (int r = 0; r < rank.size(); ++r) {
    if (color_of(r) != color) continue;
    if (r == rank.id()) id = static_cast<int>(members->size());
    members->push_back(r);
  }
  Group group(rank, id, static_cast<int>(members->size()));
  group.members_ = std::move(members);
  return group;
}

Group Group::of(Rank& rank, std::vector<int> members) {
  const auto found = std::ranges::find(members, rank.id());
  if (found == members.end()) throw ContractViolation(fmt::format("rank {} is not in its group", rank.id()));
  Group group(rank, static_cast<int>(found - members.begin()), static_cast<int>(members.size()));
  group.members_ = std::make_shared<const std::vector<int>>(std::move(members));
  return group;
}

void Group::check_divides(int count) const {
  if (count < 1 || size_ % count != 0)
    throw ContractViolation(fmt::format("a group of {} has no blocks of {}", size_, count));
}

Group Group::block(int count) const {
  check_divides(count);
  Group group(*rank_, id_ % count, count);
  const int begin = id_ - id_ % count;
  if (members_) {
    group.members_ = std::make_shared<std::vector<int>>(members_->begin() + begin, members_->begin() + begin + count);
  } else {
    group.first_ = member(begin);
    group.stride_ = stride_;
  }
  return group;
}

Group Group::across(int count) const {
  check_divides(count);
  Group group(*rank_, id_ / count, size_ / count);
  if (members_) {
    auto members = std::make_shared<std::vector<int>>();
    for (int i = id_ % count; i < size_; i += count) members->push_back(member(i));
    group.members_ = std::move(members);
  } else {
    group.first_ = member(id_ % count);
    group.stride_ = stride_ * count;
  }
  return group;
}

}  // namespace assay::substrate
