#include "datasets/nearest_names.h"

#include <algorithm>
#include <utility>

namespace assay::datasets {
namespace {

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

}  // namespace

std::vector<std::string> nearest_names(std::string_view wanted, const std::vector<std::string>& names,
                                       std::size_t count) {
  std::vector<std::pair<std::size_t, std::string>> ranked;
  const bool full = wanted.find('/') != std::string_view::npos;
  for (const std::string& name : names) {
    const std::string_view whole = name;
    ranked.emplace_back(edit_distance(wanted, full ? whole : whole.substr(whole.rfind('/') + 1)), name);
  }
  std::sort(ranked.begin(), ranked.end());
  std::vector<std::string> nearest;
  for (const auto& [distance, name] : ranked) {
    if (nearest.size() == count || distance > std::max<std::size_t>(3, wanted.size() / 2)) break;
    nearest.push_back(name);
  }
  return nearest;
}

}  // namespace assay::datasets
