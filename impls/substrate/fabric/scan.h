#pragma once
// Exclusive scan over the members of a group: what member i gets is the composition of the states of members 0 .. i-1.
// A state comes in blocks which are composed each for itself; block b of a member leaves for the next as soon as block
// b of those before has arrived, so that the blocks form a pipeline (with one block: a serial ring).
//
// n bytes of state in K blocks: K messages and n bytes a member, (P-1 + K-1) (alpha + n/K beta) from end to end.
#include <functional>
#include <vector>

#include "impls/substrate/fabric/group.h"

namespace assay::substrate {

// Makes `onward` of block `block`, which holds this member's own state, into that of all members so far: `before`
// composed with it. Runs on real data only.
using Compose = std::function<void(int block, const Buffer& before, Buffer& onward)>;

struct ScanPlan {
  bool reverse = false;                            // from the last member to the first
  std::function<OpWork(std::int64_t bytes)> work;  // of composing a block
};

// `onward`: the member's own state by blocks, composed in place. Returns the blocks of the state before it; nothing for
// the first member.
Task<std::vector<Buffer>> exclusive_scan(Group group, std::vector<Buffer>& onward, ScanPlan plan, Compose compose,
                                         Tag tag, const char* name);

}  // namespace assay::substrate
