#include "impls/parallelism/sequence/sequence_layout.h"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace assay::parallelism {

Layout layout_from(std::string_view name) {
  if (name == "contiguous") return Layout::contiguous;
  if (name == "zigzag") return Layout::zigzag;
  if (name == "striped") return Layout::striped;
  throw std::invalid_argument("layout " + std::string(name));
}

namespace {

std::int64_t tokens_of(const TokenRange& run, std::int64_t stride) {
  return run.begin < run.end ? (run.end - run.begin + stride - 1) / stride : 0;
}

TokenRange chunk(std::int64_t length, std::int64_t index, std::int64_t count) {
  const std::int64_t base = length / count;
  const std::int64_t longer = length % count;
  const std::int64_t begin = index * base + std::min(index, longer);
  return {begin, begin + base + (index < longer ? 1 : 0)};
}

}  // namespace

SequenceLayout::SequenceLayout(Layout kind, std::int64_t length, int ranks, int members) : length_(length) {
  const int shares = ranks / members;
  for (int share = 0; share < shares; ++share) {
    Runs whole;
    if (kind == Layout::contiguous) {
      whole.part[0] = chunk(length, share, shares);
    } else if (kind == Layout::zigzag) {
      whole.part[0] = chunk(length, share, 2 * shares);
      whole.part[1] = chunk(length, 2 * shares - 1 - share, 2 * shares);
    } else {
      whole.part[0] = {share, length};
      whole.stride = shares;
    }
    const std::int64_t first = tokens_of(whole.part[0], whole.stride);
    const std::int64_t all = first + tokens_of(whole.part[1], whole.stride);
    for (int member = 0; member < members; ++member) {
      const TokenRange slots = chunk(all, member, members);
      const auto cut = [&](const TokenRange& run, std::int64_t from) -> TokenRange {
        const std::int64_t count = tokens_of(run, whole.stride);
        const std::int64_t begin = std::clamp<std::int64_t>(slots.begin - from, 0, count);
        const std::int64_t end = std::clamp<std::int64_t>(slots.end - from, 0, count);
        if (begin == end) return {};
        return {run.begin + begin * whole.stride, run.begin + (end - 1) * whole.stride + 1};
      };
      runs_.push_back({.part = {cut(whole.part[0], 0), cut(whole.part[1], first)}, .stride = whole.stride});
      tokens_.push_back(slots.end - slots.begin);
    }
  }
}

std::vector<std::int64_t> SequenceLayout::positions(int rank) const {
  std::vector<std::int64_t> all;
  const Runs& runs = runs_[static_cast<std::size_t>(rank)];
  for (const TokenRange& run : runs.part)
    for (std::int64_t p = run.begin; p < run.end; p += runs.stride) all.push_back(p);
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

// The same of two runs of every `stride`-th token: query m sees key n where b + n s <= a + m s.
std::int64_t striped_pairs(TokenRange queries, TokenRange keys, std::int64_t stride) {
  const std::int64_t difference = queries.begin - keys.begin;
  const std::int64_t ahead =  // keys that the first query sees, of as many as there might be
      difference >= 0 ? difference / stride + 1 : -((-difference - 1) / stride);
  const std::int64_t most = tokens_of(keys, stride);
  const TokenRange q{ahead, ahead + tokens_of(queries, stride)};
  // sum over i of [ahead, ahead + queries) of clamp(i, 0, most)
  const std::int64_t from = std::clamp<std::int64_t>(q.begin, 0, most), to = std::clamp<std::int64_t>(q.end, 0, most);
  return (from + to - 1) * (to - from) / 2 + std::max<std::int64_t>(0, q.end - std::max(q.begin, most)) * most;
}
}  // namespace

std::int64_t SequenceLayout::pairs(int query_rank, int key_rank, bool causal) const {
  if (!causal) return tokens(query_rank) * tokens(key_rank);
  const Runs& of_queries = runs_[static_cast<std::size_t>(query_rank)];
  const Runs& of_keys = runs_[static_cast<std::size_t>(key_rank)];
  std::int64_t total = 0;
  for (const TokenRange& queries : of_queries.part)
    for (const TokenRange& keys : of_keys.part) {
      if (queries.begin >= queries.end || keys.begin >= keys.end) continue;
      total += of_keys.stride == 1 ? causal_pairs(queries, keys) : striped_pairs(queries, keys, of_keys.stride);
    }
  return total;
}

}  // namespace assay::parallelism
