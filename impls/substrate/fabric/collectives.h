#pragma once
// Collectives as programs over sends and receives, the same on every fabric: their messages are counted like any other.
#include <cstdint>
#include <functional>
#include <vector>

#include "impls/substrate/dtype.h"
#include "impls/substrate/fabric/group.h"

namespace assay::substrate {

// Every rank has a part for every rank: `parts[p]` goes to rank p, and what rank p has for this one, `expected[p]`
// bytes, comes back at [p]. A rank's part for itself stays where it is. P - 1 messages a rank, all under way at once,
// the k-th to rank id + k, so that no two ranks begin with the same receiver. `name` is that of the landing buffers in
// the ledger.
Task<std::vector<Buffer>> all_to_all(Group group, std::vector<Buffer> parts, std::vector<std::int64_t> expected,
                                     Tag tag, const char* name);
// The same, one partner after the other: (P-1) (alpha + n/P beta), one message a rank on the links at any time.
Task<std::vector<Buffer>> all_to_all_pairwise(Group group, std::vector<Buffer> parts,
                                              std::vector<std::int64_t> expected, Tag tag, const char* name);
// In two hops: to the member of the own node that has the receiver's place, then between nodes. G - 1 messages inside
// and M - 1 between nodes in place of P - 1, for bytes that cross twice. `bytes(from, to)`: of every pair of members.
Task<std::vector<Buffer>> all_to_all_by_nodes(Group group, std::vector<Buffer> parts, int node_ranks,
                                              std::function<std::int64_t(int from, int to)> bytes, Tag tag,
                                              const char* name);

// The two below know nodes of `node_ranks` ranks (0 or a number that does not divide the ranks: one node): between
// nodes each rank exchanges with those of its own place only, so that all NICs of a node work side by side and no byte
// crosses twice; inside, with everyone. P - 1 messages and the same bytes either way. Started when made; what they hold
// is borrowed until they have ended.

// Every rank has one part, of `bytes[rank]`, that all get.
class AllGather {
 public:
  AllGather(Rank& rank, Buffer mine, std::vector<std::int64_t> bytes, int node_ranks, Tag tag, const char* name);

  // The parts, by rank.
  Task<std::vector<Buffer>> arrived();

 private:
  void share(int owner);  // what this rank has for its node

  Rank* rank_;
  std::vector<std::int64_t> bytes_;
  int node_ranks_;
  Tag tag_;
  const char* name_;
  std::vector<Buffer> parts_;      // in hand
  std::vector<Transfer> between_;  // from other nodes, the k-th from k nodes back
  std::vector<Send> sends_;        // into the node
  std::vector<Transfer> inside_;   // of the node's others ...
  std::vector<int> inside_owner_;  // ... and whose part each is
};

// Every rank has an addend for every rank, `parts[p]`, all ranks' of one size for one p; rank p gets their sum, in the
// order of ranks, of a node first where there are several. Sums are float32; what travels and the result are stored in
// `dtype`. `leave_out`: a rank whose addends do not count, for mutants.
class ReduceScatter {
 public:
  ReduceScatter(Rank& rank, std::vector<Buffer> parts, DType dtype, int node_ranks, Tag tag, const char* name,
                int leave_out = -1);

  Task<Buffer> sum();

 private:
  Rank* rank_;
  std::vector<Buffer> parts_;
  DType dtype_;
  int node_ranks_;
  Tag tag_;
  const char* name_;
  int leave_out_;
  std::vector<Send> sends_;
  std::vector<Transfer> inside_;  // by place of the node's others, then by node of the receiver
};

}  // namespace assay::substrate
