#include "impls/parallelism/sequence/sequence_layout.h"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace assay::parallelism {

Layout layout_from(std::string_view name) {
  if (name == "contiguous") return Layout::contiguous;
  if (name == "zigzag") return Layout::zigzag;
  throw std::invalid_argument("layout " + std::string(name));
}

SequenceLayout::SequenceLayout(Layout kind, std::int64_t length, int ranks) : length_(length) {
  const auto chunk = [length](std::int64_t index, std::int64_t count) -> TokenRange {
    const std::int64_t base = length / count;
    const std::int64_t longer = length % count;
    const std::int64_t begin = index * base + std::min(index, longer);
    return {begin, begin + base + (index < longer ? 1 : 0)};
  };
  for (int r = 0; r < ranks; ++r) {
    Runs runs;
    if (kind == Layout::contiguous) {
      runs.part[0] = chunk(r, ranks);
    } else {
      runs.part[0] = chunk(r, 2 * ranks);
      runs.part[1] = chunk(2 * ranks - 1 - r, 2 * ranks);
    }
    std::int64_t tokens = 0;
    for (const TokenRange& run : runs.part) tokens += run.end - run.begin;
    runs_.push_back(runs);
    tokens_.push_back(tokens);
  }
}

std::vector<std::int64_t> SequenceLayout::positions(int rank) const {
  std::vector<std::int64_t> all;
  for (const TokenRange& run : runs_[static_cast<std::size_t>(rank)].part)
    for (std::int64_t p = run.begin; p < run.end; ++p) all.push_back(p);
  return all;
}

namespace {
// sum over queries q of [a, b) of the keys of [s, e) that are not later than q
std::int64_t causal_pairs(TokenRange queries, TokenRange keys) {
  const std::int64_t first_full = std::max(queries.begin, keys.end - 1);  // from here on every key is seen
  std::int64_t pairs = std::max<std::int64_t>(0, queries.end - first_full) * (keys.end - keys.begin);
  const std::int64_t from = std::max(queries.begin, keys.begin);
  const std::int64_t to = std::min(queries.end, keys.end - 1);
  if (from < to) pairs += (from - keys.begin + 1 + to - keys.begin) * (to - from) / 2;
  return pairs;
}
}  // namespace

std::int64_t SequenceLayout::pairs(int query_rank, int key_rank, bool causal) const {
  if (!causal) return tokens(query_rank) * tokens(key_rank);
  std::int64_t total = 0;
  for (const TokenRange& queries : runs_[static_cast<std::size_t>(query_rank)].part)
    for (const TokenRange& keys : runs_[static_cast<std::size_t>(key_rank)].part)
      if (queries.begin < queries.end && keys.begin < keys.end) total += causal_pairs(queries, keys);
  return total;
}

}  // namespace assay::parallelism
