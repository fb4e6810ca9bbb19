#include "impls/parallelism/variable_length/batch_plan.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>
#include <string>
#include <utility>

namespace assay::parallelism {

std::int64_t BatchProblem::tokens() const { return std::accumulate(lengths.begin(), lengths.end(), std::int64_t{0}); }

double BatchProblem::pairs() const {
  double sum = 0;
  for (const std::int64_t length : lengths) sum += static_cast<double>(causal_pairs(length));
  return sum;
}

double BatchProblem::flops() const { return (backward ? 14 : 4) * pairs() * heads * head_dim; }

BlockShape BatchProblem::block() const {
  return {.batch = 1,
          .heads = heads,
          .kv_heads = kv_heads,
          .head_dim = head_dim,
          .causal = true,
          .dtype = dtype,
          .scale = 1 / std::sqrt(static_cast<float>(head_dim))};
}

BatchItem make_item(const BatchProblem& problem, std::vector<int> ranks, std::vector<int> sequences, Exchange exchange,
                    double offload) {
  BatchItem item{.ranks = std::move(ranks),
                 .sequences = std::move(sequences),
                 .exchange = exchange,
                 .offload = offload,
                 .shares = {}};
  std::ranges::sort(item.ranks);
  std::ranges::sort(item.sequences);
  item.shares = exchange == Exchange::ring ? zigzag_shares(item.sequences, problem.lengths, item.members())
                                           : run_shares(item.sequences, problem.lengths, item.members());
  return item;
}

void require_whole(const BatchPlan& plan) {
  std::vector<std::vector<Slice>> found(plan.problem.lengths.size());
  for (const BatchItem& item : plan.items) {
    for (std::size_t i = 0; i < item.ranks.size(); ++i)
      if (item.ranks[i] < 0 || item.ranks[i] >= plan.problem.ranks || (i > 0 && item.ranks[i] <= item.ranks[i - 1]))
        throw std::logic_error("an item has a rank twice, or one that is not there: " + std::to_string(item.ranks[i]));
    if (item.shares.size() != item.ranks.size()) throw std::logic_error("an item has not one share a member");
    for (const Share& share : item.shares)
      for (const Slice& slice : share) found[static_cast<std::size_t>(slice.sequence)].push_back(slice);
  }
  for (std::size_t s = 0; s < found.size(); ++s) {
    std::ranges::sort(found[s], {}, &Slice::begin);
    std::int64_t next = 0;
    for (const Slice& slice : found[s]) {
      if (slice.begin != next)
        throw std::logic_error("tokens of sequence " + std::to_string(s) + " are missing or twice");
      next = slice.end;
    }
    if (next != plan.problem.lengths[s])
      throw std::logic_error("the end of sequence " + std::to_string(s) + " is missing");
  }
}

std::int64_t most_tokens_of_a_rank(const BatchPlan& plan) {
  std::int64_t most = 0;
  for (const BatchItem& item : plan.items)
    for (const Share& share : item.shares) most = std::max(most, tokens_of(share));
  return most;
}

std::vector<double> pairs_by_rank(const BatchPlan& plan) {
  std::vector<double> pairs(static_cast<std::size_t>(plan.problem.ranks), 0);
  for (const BatchItem& item : plan.items) {
    double all = 0;
    for (const int sequence : item.sequences)
      all += static_cast<double>(causal_pairs(plan.problem.lengths[static_cast<std::size_t>(sequence)]));
    for (std::size_t m = 0; m < item.ranks.size(); ++m) {
      double own = 0;
      if (item.exchange == Exchange::heads)
        own = all / item.members();  // all pairs of its heads
      else
        for (const Share& keys : item.shares) own += static_cast<double>(causal_pairs(item.shares[m], keys));
      pairs[static_cast<std::size_t>(item.ranks[m])] += own;
    }
  }
  return pairs;
}

}  // namespace assay::parallelism
