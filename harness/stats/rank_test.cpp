#include "harness/stats/rank_test.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

namespace assay::harness::stats {
namespace {

// Twice the mid-ranks, so that ties stay whole numbers; one list a block, the first `b` of them those of side B.
struct BlockRanks {
  std::vector<int> ranks;
  std::size_t b = 0;
};

struct RankSum {
  std::vector<BlockRanks> blocks;
  long long observed = 0;  // twice the rank sum of side B
  double expected = 0;
  double variance = 0;
  std::size_t values = 0;
};

RankSum rank_sum(std::span<const Block> blocks, double shift) {
  struct Value {
    double x;
    std::size_t block;
    bool is_b;
  };
  std::vector<Value> values;
  for (std::size_t k = 0; k < blocks.size(); ++k) {
    const Block& block = blocks[k];
    double centre = 0;
    if (blocks.size() > 1) {
      std::vector<double> together = block.a;
      for (const double x : block.b) together.push_back(x - shift);
      centre = median(together);
    }
    for (const double x : block.a) values.push_back({x - centre, k, false});
    for (const double x : block.b) values.push_back({x - shift - centre, k, true});
  }
  std::sort(values.begin(), values.end(), [](const Value& left, const Value& right) { return left.x < right.x; });

  RankSum sum;
  sum.values = values.size();
  sum.blocks.resize(blocks.size());
  for (std::size_t from = 0; from < values.size();) {
    // Subtractions leave values that ought to tie apart by rounding.
    const double grain = 1e-12 * std::max(1.0, std::abs(values[from].x));
    std::size_t to = from + 1;
    while (to < values.size() && values[to].x - values[from].x <= grain) ++to;
    const int twice_rank = static_cast<int>(from + 1 + to);
    for (; from < to; ++from) {
      BlockRanks& block = sum.blocks[values[from].block];
      block.ranks.push_back(twice_rank);
      if (!values[from].is_b) continue;
      ++block.b;
      sum.observed += twice_rank;
    }
  }
  for (const BlockRanks& block : sum.blocks) {
    const auto n = static_cast<double>(block.ranks.size());
    if (n < 2) continue;
    const auto b = static_cast<double>(block.b);
    const double mean = std::accumulate(block.ranks.begin(), block.ranks.end(), 0.0) / n;
    double squares = 0;
    for (const int rank : block.ranks) squares += (rank - mean) * (rank - mean);
    sum.expected += b * mean;
    sum.variance += b * (n - b) / (n * (n - 1)) * squares;
  }
  return sum;
}

struct Outcome {
  std::size_t sum;
  double probability;
};

// The sums of `b` of the block's ranks, every choice equally likely.
std::vector<Outcome> choices(const BlockRanks& block) {
  std::vector<Outcome> outcomes;
  double total = 0;
  if (block.ranks.size() <= 4) {
    for (unsigned chosen = 0; chosen < 1U << block.ranks.size(); ++chosen) {
      if (static_cast<std::size_t>(std::popcount(chosen)) != block.b) continue;
      int sum = 0;
      for (std::size_t i = 0; i < block.ranks.size(); ++i) sum += (chosen >> i & 1U) != 0 ? block.ranks[i] : 0;
      outcomes.push_back({static_cast<std::size_t>(sum), 1});
      total += 1;
    }
  } else {
    const int most = std::accumulate(block.ranks.begin(), block.ranks.end(), 0);
    std::vector<std::vector<double>> ways(block.b + 1, std::vector<double>(static_cast<std::size_t>(most) + 1, 0.0));
    ways[0][0] = 1;
    std::size_t seen = 0;
    for (const int rank : block.ranks) {
      ++seen;
      for (std::size_t taken = std::min(seen, block.b); taken > 0; --taken)
        for (auto sum = static_cast<std::size_t>(most); sum >= static_cast<std::size_t>(rank); --sum)
          ways[taken][sum] += ways[taken - 1][sum - static_cast<std::size_t>(rank)];
    }
    for (std::size_t sum = 0; sum < ways[block.b].size(); ++sum) {
      if (ways[block.b][sum] == 0) continue;
      outcomes.push_back({sum, ways[block.b][sum]});
      total += ways[block.b][sum];
    }
  }
  for (Outcome& outcome : outcomes) outcome.probability /= total;
  return outcomes;
}

std::vector<double> convolve(const std::vector<double>& left, const std::vector<Outcome>& right) {
  std::size_t most = 0;
  for (const Outcome& outcome : right) most = std::max(most, outcome.sum);
  std::vector<double> out(left.size() + most, 0.0);
  for (const Outcome& outcome : right)
    for (std::size_t i = 0; i < left.size(); ++i) out[i + outcome.sum] += left[i] * outcome.probability;
  return out;
}

double exact_p(const RankSum& sum) {
  std::vector<double> distribution = {1.0};
  for (const BlockRanks& block : sum.blocks) distribution = convolve(distribution, choices(block));
  const auto observed = static_cast<std::size_t>(sum.observed);
  double below = 0;
  double above = 0;
  for (std::size_t i = 0; i < distribution.size(); ++i) {
    if (i <= observed) below += distribution[i];
    if (i >= observed) above += distribution[i];
  }
  return std::min(1.0, 2 * std::min(below, above));
}

double normal_p(const RankSum& sum) {
  if (sum.variance <= 0) return 1;
  // Continuity: ranks are doubled, so half a step of the rank sum is 1.
  const double distance = std::max(0.0, std::abs(static_cast<double>(sum.observed) - sum.expected) - 1);
  return std::erfc(distance / std::sqrt(2 * sum.variance));
}

double p_of(const RankSum& sum) {
  bool one_sided = true;
  std::size_t largest = 0;
  for (const BlockRanks& block : sum.blocks) {
    one_sided = one_sided && (block.b == 0 || block.b == block.ranks.size());
    largest = std::max(largest, block.ranks.size());
  }
  if (one_sided) return 1;
  return sum.values <= (largest <= 4 ? 80U : 40U) ? exact_p(sum) : normal_p(sum);
}

constexpr double precision = 1e-7;

// The boundary between `no` (predicate false) and `yes` (true).
template <class Predicate>
double bisect(double no, double yes, Predicate predicate) {
  while (std::abs(yes - no) > precision) {
    const double middle = no + (yes - no) / 2;
    (predicate(middle) ? yes : no) = middle;
  }
  return no + (yes - no) / 2;
}

}  // namespace

double rank_test(std::span<const Block> blocks, double shift) { return p_of(rank_sum(blocks, shift)); }

ShiftEstimate estimate_shift(std::span<const Block> blocks, double confidence) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  double least_a = infinity;
  double most_a = -infinity;
  double least_b = infinity;
  double most_b = -infinity;
  for (const Block& block : blocks) {
    for (const double x : block.a) {
      least_a = std::min(least_a, x);
      most_a = std::max(most_a, x);
    }
    for (const double x : block.b) {
      least_b = std::min(least_b, x);
      most_b = std::max(most_b, x);
    }
  }
  if (least_a > most_a || least_b > most_b) return {std::numeric_limits<double>::quiet_NaN(), {-infinity, infinity}};
  // Beyond these shifts every value of one side lies above every value of the other.
  const double from = least_b - most_a - 10 * precision;
  const double to = most_b - least_a + 10 * precision;
  // The statistic falls as the shift grows; where it stays at its centre over a stretch, the estimate is the middle.
  const auto excess = [&](double shift) {
    const RankSum sum = rank_sum(blocks, shift);
    return static_cast<double>(sum.observed) - sum.expected;
  };
  constexpr double none = 1e-9;
  const double last_above = bisect(to, from, [&](double shift) { return excess(shift) > none; });
  const double first_below = bisect(from, to, [&](double shift) { return excess(shift) < -none; });
  ShiftEstimate estimate{last_above + (first_below - last_above) / 2, {-infinity, infinity}};

  const double level = 1 - confidence;
  const auto kept = [&](double shift) { return rank_test(blocks, shift) > level; };
  if (!kept(from)) estimate.interval.low = bisect(from, estimate.shift, kept);
  if (!kept(to)) estimate.interval.high = bisect(to, estimate.shift, kept);
  return estimate;
}

std::vector<double> benjamini_hochberg(std::span<const double> p) {
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < p.size(); ++i)
    if (!std::isnan(p[i])) order.push_back(i);
  std::sort(order.begin(), order.end(), [&](std::size_t left, std::size_t right) { return p[left] < p[right]; });
  std::vector<double> q(p.size(), std::numeric_limits<double>::quiet_NaN());
  const auto tests = static_cast<double>(order.size());
  double least = 1;
  for (std::size_t rank = order.size(); rank > 0; --rank) {
    least = std::min(least, p[order[rank - 1]] * tests / static_cast<double>(rank));
    q[order[rank - 1]] = least;
  }
  return q;
}

}  // namespace assay::harness::stats
