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

// `onward`: the member's own state by blocks, composed in place, on the engine of copies: beside what is computed. From
// the last member to the first where `reverse`. Returns the blocks of the state before the member; nothing for the
// first one.
Task<std::vector<Buffer>> exclusive_scan(Group group, std::vector<Buffer>& onward, bool reverse, Compose compose,
                                         Tag tag, const char* name);

}  // namespace assay::substrate
