#pragma once
// Which tokens of a batch of sequences a rank holds, as slices of sequences, and what they cost each other under causal
// masks that end where a sequence ends.
#include <cstdint>
#include <vector>

namespace assay::parallelism {

// Positions [begin, end) of one sequence.
struct Slice {
  int sequence = 0;
  std::int64_t begin = 0, end = 0;
  std::int64_t tokens() const { return end - begin; }
  bool operator==(const Slice&) const = default;
};
// Of one rank: by sequence, then by position; they lie in memory in this order.
using Share = std::vector<Slice>;

std::int64_t tokens_of(const Share& share);

// (query, key) pairs of the same sequence where the key is not later.
std::int64_t causal_pairs(const Slice& queries, const Slice& keys);
std::int64_t causal_pairs(const Share& queries, const Share& keys);
inline std::int64_t causal_pairs(std::int64_t length) { return length * (length + 1) / 2; }

// Every sequence cut into 2 D pieces of which member i gets piece i and 2 D - 1 - i, so that every member has the same
// part of every mask (zigzag for each sequence). Where 2 D does not divide a length, longer pieces go on where those of
// the sequence before ended, so that members differ by two tokens at most over all sequences.
std::vector<Share> zigzag_shares(const std::vector<int>& sequences, const std::vector<std::int64_t>& lengths,
                                 int members);
// All sequences one after the other, cut into one run a member.
std::vector<Share> run_shares(const std::vector<int>& sequences, const std::vector<std::int64_t>& lengths, int members);

}  // namespace assay::parallelism
