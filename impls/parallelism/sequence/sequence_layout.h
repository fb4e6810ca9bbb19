#pragma once
// Which tokens of a sequence a rank holds. Masks follow from positions, never from local indices.
#include <cstdint>
#include <string_view>
#include <vector>

namespace assay::parallelism {

// contiguous: rank r holds one run. zigzag: the sequence is cut into 2P chunks and rank r holds chunks r and 2P-1-r,
// which gives every rank the same causal work. striped: token i is on rank i mod P; every block of queries and keys is
// half masked, to one diagonal.
enum class Layout : std::uint8_t { contiguous, zigzag, striped };
Layout layout_from(std::string_view name);

struct TokenRange {
  std::int64_t begin = 0, end = 0;
};

// L tokens over P ranks; where P (or 2P) does not divide L the first chunks are one token longer. With `members` more
// than one the tokens of each of the P / members shares are dealt on in runs, to that many consecutive ranks.
class SequenceLayout {
 public:
  SequenceLayout(Layout kind, std::int64_t length, int ranks, int members = 1);

  std::int64_t length() const { return length_; }
  int ranks() const { return static_cast<int>(tokens_.size()); }
  std::int64_t tokens(int rank) const { return tokens_[static_cast<std::size_t>(rank)]; }
  std::vector<std::int64_t> positions(int rank) const;  // ascending

  // Unmasked (query, key) pairs between the queries of one rank and the keys of another.
  std::int64_t pairs(int query_rank, int key_rank, bool causal) const;

 private:
  // At most two runs a rank, of every `stride`-th token; the second may be empty.
  struct Runs {
    TokenRange part[2];
    std::int64_t stride = 1;
  };
  std::int64_t length_;
  std::vector<std::int64_t> tokens_;
  std::vector<Runs> runs_;
};

}  // namespace assay::parallelism
