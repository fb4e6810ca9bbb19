#include "harness/stats/median.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace assay::harness::stats {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

// Order statistic at `rank` (from 0); reorders `values`.
double select(std::vector<double>& values, std::size_t rank) {
  const auto at = values.begin() + static_cast<std::ptrdiff_t>(rank);
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

double median_of(std::vector<double>& values) {
  if (values.empty()) return not_a_number;
  const std::size_t half = values.size() / 2;
  const double upper = select(values, half);
  if (values.size() % 2 == 1) return upper;
  const double lower = *std::max_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(half));
  return lower + (upper - lower) / 2;
}

// P(Bin(n, 1/2) <= k). Terms shrink at least geometrically below the mode, so this takes O(sqrt n) of them.
double lower_tail(std::size_t n, std::size_t k) {
  const auto size = static_cast<double>(n);
  auto at = static_cast<double>(k);
  const double log_choose = std::lgamma(size + 1) - std::lgamma(at + 1) - std::lgamma(size - at + 1);
  double term = std::exp(log_choose - size * std::log(2.0));
  double sum = term;
  for (; at > 0 && term > sum * 1e-17; --at) {
    term *= at / (size - at + 1);
    sum += term;
  }
  return sum;
}

}  // namespace

double median(std::span<const double> samples) {
  std::vector<double> values(samples.begin(), samples.end());
  return median_of(values);
}

double quantile(std::span<const double> samples, double p) {
  if (samples.empty()) return not_a_number;
  std::vector<double> values(samples.begin(), samples.end());
  const double position = std::clamp(p, 0.0, 1.0) * static_cast<double>(values.size() - 1);
  const auto rank = static_cast<std::size_t>(position);
  const double low = select(values, rank);
  const double fraction = position - static_cast<double>(rank);
  if (fraction == 0) return low;
  const double high = *std::min_element(values.begin() + static_cast<std::ptrdiff_t>(rank) + 1, values.end());
  return low + fraction * (high - low);
}

double robust_spread(std::span<const double> samples) {
  const double centre = median(samples);
  std::vector<double> distance(samples.begin(), samples.end());
  for (double& value : distance) value = std::abs(value - centre);
  return 1.4826 * median_of(distance);
}

bool Interval::bounded() const { return std::isfinite(low) && std::isfinite(high); }

std::size_t interval_rank(std::size_t n, double confidence) {
  const double tail = (1 - confidence) / 2;
  if (n == 0 || lower_tail(n, 0) > tail) return 0;
  // Start at the normal approximation (2 sigma below the middle) and walk to the exact rank.
  const double guess = static_cast<double>(n) / 2 - std::sqrt(static_cast<double>(n));
  auto k = static_cast<std::size_t>(std::max(1.0, guess));
  while (k > 1 && lower_tail(n, k - 1) > tail) --k;
  while (lower_tail(n, k) <= tail) ++k;
  return k;
}

Interval median_interval(std::span<const double> samples, double confidence) {
  const std::size_t k = interval_rank(samples.size(), confidence);
  if (k == 0) return {-infinity, infinity};
  std::vector<double> values(samples.begin(), samples.end());
  const double low = select(values, k - 1);
  return {low, select(values, samples.size() - k)};
}

double relative_half_width(std::span<const double> samples, double confidence) {
  const Interval interval = median_interval(samples, confidence);
  if (!interval.bounded()) return infinity;
  if (interval.low == interval.high) return 0;
  return (interval.high - interval.low) / 2 / std::abs(median(samples));
}

}  // namespace assay::harness::stats
