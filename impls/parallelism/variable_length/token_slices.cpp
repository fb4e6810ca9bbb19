#include "impls/parallelism/variable_length/token_slices.h"

#include <algorithm>

namespace assay::parallelism {

std::int64_t tokens_of(const Share& share) {
  std::int64_t sum = 0;
  for (const Slice& each : share) sum += each.tokens();
  return sum;
}

std::int64_t causal_pairs(const Slice& queries, const Slice& keys) {
  if (queries.sequence != keys.sequence) return 0;
  const std::int64_t first_full = std::max(queries.begin, keys.end - 1);  // from here on every key is seen
  std::int64_t pairs = std::max<std::int64_t>(0, queries.end - first_full) * keys.tokens();
  const std::int64_t from = std::max(queries.begin, keys.begin), to = std::min(queries.end, keys.end - 1);
  if (from < to) pairs += (from - keys.begin + 1 + to - keys.begin) * (to - from) / 2;
  return pairs;
}

std::int64_t causal_pairs(const Share& queries, const Share& keys) {
  std::int64_t pairs = 0;
  std::size_t first = 0;  // of the keys' slices of the query's sequence
  for (const Slice& q : queries) {
    while (first < keys.size() && keys[first].sequence < q.sequence) ++first;
    for (std::size_t k = first; k < keys.size() && keys[k].sequence == q.sequence; ++k)
      pairs += causal_pairs(q, keys[k]);
  }
  return pairs;
}

std::vector<Share> zigzag_shares(const std::vector<int>& sequences, const std::vector<std::int64_t>& lengths,
                                 int members) {
  std::vector<int> order = sequences;
  std::ranges::sort(order);
  std::vector<Share> shares(static_cast<std::size_t>(members));
  const std::int64_t pieces = 2 * std::int64_t{members};
  std::int64_t next_longer = 0;  // piece that gets the next token left over
  for (const int sequence : order) {
    const std::int64_t length = lengths[static_cast<std::size_t>(sequence)];
    const std::int64_t base = length / pieces, rest = length % pieces;
    std::int64_t begin = 0;
    for (std::int64_t piece = 0; piece < pieces; ++piece) {
      const bool longer = (piece - next_longer + pieces) % pieces < rest;
      const std::int64_t end = begin + base + (longer ? 1 : 0);
      const std::int64_t member = std::min(piece, pieces - 1 - piece);
      Share& share = shares[static_cast<std::size_t>(member)];
      if (end > begin) {
        if (!share.empty() && share.back().sequence == sequence && share.back().end == begin)
          share.back().end = end;  // the two middle pieces are one run
        else
          share.push_back({sequence, begin, end});
      }
      begin = end;
    }
    next_longer = (next_longer + rest) % pieces;
  }
  return shares;
}

std::vector<Share> run_shares(const std::vector<int>& sequences, const std::vector<std::int64_t>& lengths,
                              int members) {
  std::vector<int> order = sequences;
  std::ranges::sort(order);
  std::int64_t total = 0;
  for (const int sequence : order) total += lengths[static_cast<std::size_t>(sequence)];
  std::vector<Share> shares(static_cast<std::size_t>(members));
  std::int64_t at = 0;  // of the row
  int member = 0;
  for (const int sequence : order) {
    const std::int64_t length = lengths[static_cast<std::size_t>(sequence)];
    std::int64_t begin = 0;
    while (begin < length) {
      while (at + begin >= total * (member + 1) / members) ++member;
      const std::int64_t end = std::min(length, total * (member + 1) / members - at);
      shares[static_cast<std::size_t>(member)].push_back({sequence, begin, end});
      begin = end;
    }
    at += length;
  }
  return shares;
}

}  // namespace assay::parallelism
