#pragma once
// Collectives as programs over sends and receives, the same on every fabric: their messages are counted like any other.
#include <cstdint>
#include <vector>

#include "impls/substrate/fabric/rank.h"

namespace assay::substrate {

// Every rank has a part for every rank: `parts[p]` goes to rank p, and what rank p has for this one, `expected[p]`
// bytes, comes back at [p]. A rank's part for itself stays where it is. P - 1 messages a rank, all under way at once,
// the k-th to rank id + k, so that no two ranks begin with the same receiver. `name` is that of the landing buffers in
// the ledger.
Task<std::vector<Buffer>> all_to_all(Rank& rank, std::vector<Buffer> parts, std::vector<std::int64_t> expected, Tag tag,
                                     const char* name);

}  // namespace assay::substrate
