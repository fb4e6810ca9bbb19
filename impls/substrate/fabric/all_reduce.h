#pragma once
// All-reduce as programs over sends and receives: every member ends with the sum of all members' tensors, in place. The
// same on every fabric, and all members end with the same bits.
//
// P members, n bytes, alpha seconds a message, beta seconds a byte. Costs per rank, which the counts of the programs
// equal (docs/fabrics.md):
//   ring              2 (P-1) messages, 2 (P-1)/P n bytes       2 (P-1) alpha + 2 (P-1)/P n beta
//   halving-doubling  2 log2 P,         2 (P-1)/P n             2 log2 P alpha + 2 (P-1)/P n beta; P a power of two,
//                     else the first 2 (P - 2^k) members fold in pairs first: n more there and back
//   double-tree       two trees with half the tensor each, no member inside both, in pieces of c bytes:
//                     about 2 n bytes, 4 log2 P (alpha + c beta) + 2 n beta
//   hierarchical      ring inside a node, n/G through every NIC between nodes, ring inside the node
//   star              a worker n and 1, the master (P-1) n and P-1    2 alpha + 2 (P-1) n beta at its port
#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "impls/substrate/dtype.h"
#include "impls/substrate/fabric/group.h"

namespace assay::substrate {

enum class AllReduce : std::uint8_t { ring, halving_doubling, double_tree, hierarchical, star };
inline constexpr std::array kAllReduces{AllReduce::ring, AllReduce::halving_doubling, AllReduce::double_tree,
                                        AllReduce::hierarchical, AllReduce::star};
std::string_view to_string(AllReduce algorithm);

struct AllReducePlan {
  AllReduce algorithm = AllReduce::ring;
  int node_ranks = 0;                     // hierarchical: members of a node, a divisor of all; 0: all are one node
  std::int64_t piece_bytes = 512 * 1024;  // double-tree
};

Task<> all_reduce(Group group, Buffer& tensor, AllReducePlan plan, DType dtype, Tag tag);

// The halves of the ring. After the first, member i has the sum of part i + 1 (mod P) of `parts`; before the second it
// has that of part i + `shift`.
Task<> ring_reduce_scatter(Group group, std::vector<Buffer>& parts, DType dtype, Tag tag);
Task<> ring_all_gather(Group group, std::vector<Buffer>& parts, int shift, Tag tag);

// Neighbours of a member in one of two binary trees over P members; -1: none. A member with children in one tree has
// none in the other (Sanders, Speck, Traff: Two-tree algorithms, Parallel Computing 35(12), 2009).
struct TreePlace {
  int up = -1;
  std::array<int, 2> down{-1, -1};
};
std::array<TreePlace, 2> double_tree(int members, int member);

}  // namespace assay::substrate
