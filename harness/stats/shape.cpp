#include "harness/stats/shape.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "harness/stats/median.h"

namespace assay::harness::stats {
namespace {

constexpr std::size_t least_samples = 40;
constexpr double least_relevant = 0.01;  // level differences below 1% of the median are no shape worth a label
constexpr double clock_grain = 0.001;    // clocks tick: a spread below 0.1% of the level is taken as 0.1%

// Otsu's split of sorted values: the boundary that maximises the variance between the two sides.
std::size_t best_split(const std::vector<double>& sorted) {
  const auto n = static_cast<double>(sorted.size());
  const double total = std::accumulate(sorted.begin(), sorted.end(), 0.0);
  double left = 0;
  double best = -1;
  std::size_t split = 0;
  for (std::size_t i = 1; i < sorted.size(); ++i) {
    left += sorted[i - 1];
    const auto count = static_cast<double>(i);
    const double gap = left / count - (total - left) / (n - count);
    const double between = count * (n - count) * gap * gap;
    if (between > best) {
      best = between;
      split = i;
    }
  }
  return split;
}

bool is_bimodal(std::vector<double> values, double centre) {
  std::sort(values.begin(), values.end());
  // A few wild values would draw the split to themselves: look for it inside the central 98%.
  const std::size_t trim = values.size() / 100 + 1;
  const std::vector<double> core(values.begin(), values.end() - static_cast<std::ptrdiff_t>(trim));
  const std::size_t split = best_split(core);
  const std::size_t tenth = core.size() / 10;
  if (split < tenth || core.size() - split < tenth) return false;
  const double low = median(std::span(core).first(split));
  const double high = median(std::span(core).subspan(split));
  if (high - low < least_relevant * std::abs(centre)) return false;
  const double third = (high - low) / 3;
  const auto from = std::lower_bound(core.begin(), core.end(), low + third);
  const auto to = std::upper_bound(core.begin(), core.end(), high - third);
  // A normal or uniform sample keeps 17% in that middle third; a valley is less than a twentieth.
  return static_cast<double>(to - from) < 0.05 * static_cast<double>(core.size());
}

// Kruskal-Wallis over eight consecutive blocks: H against the 0.001 point of chi-square with 7 degrees of freedom, and
// at least a quarter of the rank variance explained, so that long series are not labelled for a trifle.
bool is_drifting(std::span<const double> samples, double centre) {
  constexpr std::size_t blocks = 8;
  const std::size_t n = samples.size();
  std::vector<std::size_t> order(n);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return samples[a] < samples[b]; });
  std::vector<double> ranks(n);
  for (std::size_t i = 0; i < n;) {
    std::size_t end = i;
    while (end < n && samples[order[end]] == samples[order[i]]) ++end;
    for (std::size_t tied = i; tied < end; ++tied) ranks[order[tied]] = static_cast<double>(i + end - 1) / 2;
    i = end;
  }
  const double mean = static_cast<double>(n - 1) / 2;
  double total = 0;
  for (const double rank : ranks) total += (rank - mean) * (rank - mean);
  if (total == 0) return false;
  double between = 0;
  double lowest = 0;
  double highest = 0;
  for (std::size_t block = 0; block < blocks; ++block) {
    const std::size_t from = block * n / blocks;
    const std::size_t to = (block + 1) * n / blocks;
    const double sum = std::accumulate(ranks.begin() + static_cast<std::ptrdiff_t>(from),
                                       ranks.begin() + static_cast<std::ptrdiff_t>(to), 0.0);
    const auto size = static_cast<double>(to - from);
    between += size * (sum / size - mean) * (sum / size - mean);
    const double level = median(samples.subspan(from, to - from));
    lowest = block == 0 ? level : std::min(lowest, level);
    highest = block == 0 ? level : std::max(highest, level);
  }
  const double explained = between / total;
  constexpr double chi_square_7_at_0001 = 24.32;
  return explained > 0.25 && explained * static_cast<double>(n - 1) > chi_square_7_at_0001 &&
         highest - lowest > least_relevant * std::abs(centre);
}

}  // namespace

std::size_t warmup_length(std::span<const double> samples) {
  const std::size_t n = samples.size();
  if (n < 10) return 0;
  const std::span<const double> second_half = samples.subspan(n / 2);
  const double centre = median(second_half);
  const double band = 4 * std::max(robust_spread(second_half), clock_grain * std::abs(centre));
  const auto steady = [&](std::size_t at) { return std::abs(samples[at] - centre) <= band; };
  for (std::size_t start = 0; start <= n / 2; ++start) {
    if (!steady(start)) continue;
    int others = 0;
    for (std::size_t at = start + 1; at < start + 5; ++at) others += steady(at) ? 1 : 0;
    if (others >= 2) return start;
  }
  return 0;
}

Shape shape_of(std::span<const double> steady) {
  Shape shape;
  if (steady.size() < least_samples) return shape;
  const double centre = median(steady);
  const double fence = centre + 5 * std::max(robust_spread(steady), clock_grain * std::abs(centre));
  const auto beyond = std::count_if(steady.begin(), steady.end(), [&](double value) { return value > fence; });
  shape.heavy_tail = static_cast<double>(beyond) > 0.01 * static_cast<double>(steady.size());
  shape.bimodal = is_bimodal({steady.begin(), steady.end()}, centre);
  shape.drifting = is_drifting(steady, centre);
  return shape;
}

std::string to_string(const Shape& shape) {
  std::string text;
  const auto say = [&](bool is, const char* word) {
    if (!is) return;
    if (!text.empty()) text += ", ";
    text += word;
  };
  say(shape.bimodal, "bimodal");
  say(shape.drifting, "drifting");
  say(shape.heavy_tail, "heavy tail");
  return text;
}

}  // namespace assay::harness::stats
