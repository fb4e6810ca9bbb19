#include "impls/parallelism/variable_length/packing.h"

#include <algorithm>
#include <map>
#include <numeric>

namespace assay::parallelism {

std::vector<int> longest_first(const std::vector<std::int64_t>& lengths) {
  std::vector<int> order(lengths.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(
      order, [&](int a, int b) { return lengths[static_cast<std::size_t>(a)] > lengths[static_cast<std::size_t>(b)]; });
  return order;
}

std::vector<std::vector<int>> best_fit_rows(const std::vector<std::int64_t>& lengths, std::vector<int> sequences,
                                            std::int64_t room) {
  std::ranges::stable_sort(sequences, [&](int a, int b) {
    return lengths[static_cast<std::size_t>(a)] > lengths[static_cast<std::size_t>(b)];
  });
  std::vector<std::vector<int>> rows;
  std::multimap<std::int64_t, std::size_t> free;  // room left, row
  for (const int sequence : sequences) {
    const std::int64_t length = lengths[static_cast<std::size_t>(sequence)];
    const auto best = free.lower_bound(length);
    std::size_t row = rows.size();
    std::int64_t left = room - length;
    if (best == free.end()) {
      rows.emplace_back();
    } else {
      row = best->second;
      left = best->first - length;
      free.erase(best);
    }
    rows[row].push_back(sequence);
    if (left > 0) free.emplace(left, row);
  }
  return rows;
}

}  // namespace assay::parallelism
