#include "results_db/distribution.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <map>

namespace assay::results_db {
namespace {

constexpr std::array levels = {0.01, 0.05, 0.10, 0.25, 0.75, 0.90, 0.95, 0.99};
constexpr int dropped_bits = 52 - 6;  // of the mantissa: 2^6 buckets an octave

// Puts every rank of `ranks` (sorted) at its place in values[begin, end), splitting at the middle rank: n log(ranks)
// instead of the n log n of a sort.
void select(std::span<double> values, std::size_t begin, std::size_t end, std::span<const std::size_t> ranks) {
  if (ranks.empty() || end - begin < 2) return;
  const std::size_t middle = ranks.size() / 2;
  const std::size_t rank = ranks[middle];
  const auto at = [&](std::size_t i) { return values.begin() + static_cast<std::ptrdiff_t>(i); };
  std::nth_element(at(begin), at(rank), at(end));
  select(values, begin, rank, ranks.first(middle));
  select(values, rank + 1, end, ranks.subspan(middle + 1));
}

struct Position {
  std::size_t below, above;
  double weight;  // of `above`
};

Position position(double level, std::size_t n) {
  const double exact = level * static_cast<double>(n - 1);
  const auto below = static_cast<std::size_t>(exact);
  return {below, std::min(below + 1, n - 1), exact - static_cast<double>(below)};
}

}  // namespace

std::span<const double> distribution_levels() { return levels; }

Distribution describe(std::span<const double> samples) {
  std::vector<double> values;
  values.reserve(samples.size());
  for (const double sample : samples)
    if (!std::isnan(sample)) values.push_back(sample);
  Distribution result;
  result.n = static_cast<std::int64_t>(values.size());
  if (values.empty()) return result;

  const auto n = static_cast<double>(values.size());
  double sum = 0;
  result.minimum = result.maximum = values.front();
  for (const double value : values) {
    sum += value;
    result.minimum = std::min(result.minimum, value);
    result.maximum = std::max(result.maximum, value);
  }
  result.mean = sum / n;
  double squares = 0;
  for (const double value : values) squares += (value - result.mean) * (value - result.mean);
  result.deviation = values.size() > 1 ? std::sqrt(squares / (n - 1)) : 0;

  std::array<Position, levels.size() + 1> positions{};
  std::vector<std::size_t> ranks;
  for (std::size_t i = 0; i < positions.size(); ++i) {
    positions.at(i) = position(i < levels.size() ? levels.at(i) : 0.5, values.size());
    ranks.push_back(positions.at(i).below);
    ranks.push_back(positions.at(i).above);
  }
  std::sort(ranks.begin(), ranks.end());
  ranks.erase(std::unique(ranks.begin(), ranks.end()), ranks.end());
  select(values, 0, values.size(), ranks);
  const auto quantile = [&](const Position& p) {
    // Between equal neighbours there is nothing to interpolate, and infinity minus itself is not a number.
    if (p.weight == 0 || values[p.below] == values[p.above]) return values[p.below];
    return values[p.below] + p.weight * (values[p.above] - values[p.below]);
  };
  for (std::size_t i = 0; i < levels.size(); ++i) result.quantiles.push_back(quantile(positions.at(i)));
  result.median = quantile(positions.back());
  return result;
}

std::int32_t bucket_of(double value) {
  return static_cast<std::int32_t>(std::bit_cast<std::int64_t>(value) >> dropped_bits);
}

double bucket_low(std::int32_t bucket) {
  return std::bit_cast<double>(static_cast<std::uint64_t>(static_cast<std::int64_t>(bucket)) << dropped_bits);
}

void add_histogram(Distribution& distribution, std::span<const double> samples) {
  std::map<std::int32_t, std::int64_t> counts;
  for (const double sample : samples)
    if (!std::isnan(sample)) ++counts[bucket_of(sample)];
  distribution.histogram.assign(counts.begin(), counts.end());
}

}  // namespace assay::results_db
