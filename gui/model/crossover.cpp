#include "gui/model/crossover.h"

#include <algorithm>
#include <map>
#include <utility>

namespace assay::gui {
namespace {

struct Runner {
  const ExploreSeries* series;
  const Value* value;
};

// The interval; of launches too few for one, all that they reached.
std::pair<double, double> reach_of(const Value& value) {
  if (value.low && value.high) return {*value.low, *value.high};
  if (value.launches > 1) return {value.lowest, value.highest};
  return {value.median, value.median};
}

bool overlap(const Value& a, const Value& b) {
  const auto [low_a, high_a] = reach_of(a);
  const auto [low_b, high_b] = reach_of(b);
  return low_a <= high_b && low_b <= high_a;
}

std::string name_of(const ExploreSeries& series) {
  return series.variant.empty() ? series.name : series.name + ", " + series.variant;
}

// The one that leads at a value; null where it is alone or not to be told from the second.
const ExploreSeries* leader(std::vector<Runner> runners, bool lower_is_better) {
  if (runners.size() < 2) return nullptr;
  std::partial_sort(runners.begin(), runners.begin() + 2, runners.end(), [&](const Runner& a, const Runner& b) {
    return lower_is_better ? a.value->median < b.value->median : a.value->median > b.value->median;
  });
  return overlap(*runners[0].value, *runners[1].value) ? nullptr : runners[0].series;
}

}  // namespace

std::vector<Crossover> crossovers(const ExplorePanel& panel, bool lower_is_better) {
  std::map<results_db::Provenance, std::map<double, std::vector<Runner>>> places;
  for (const ExploreSeries& series : panel.series)
    for (const ExplorePoint& point : series.points)
      places[series.provenance][point.x].push_back({&series, &point.value});
  std::vector<Crossover> out;
  for (const auto& [provenance, along] : places) {
    const ExploreSeries* last = nullptr;
    double at = 0;
    for (const auto& [x, runners] : along) {
      const ExploreSeries* now = leader(runners, lower_is_better);
      if (now == nullptr) continue;
      if (last != nullptr && now != last) out.push_back({at, x, name_of(*last), name_of(*now)});
      last = now;
      at = x;
    }
  }
  std::stable_sort(out.begin(), out.end(), [](const Crossover& a, const Crossover& b) { return a.from < b.from; });
  return out;
}

}  // namespace assay::gui
