#include "gui/model/claimed.h"

#include <algorithm>
#include <cmath>
#include <set>

namespace assay::gui {
namespace {

// A claim's quantity is named as the metric is, but for the rate of a kernel, which papers state for the device.
bool measures(const results_db::ClaimRecord& claim, const Exploration& exploration) {
  if (claim.unit != exploration.unit) return false;
  return claim.quantity == exploration.metric ||
         (claim.quantity == "device_flops" && exploration.metric == "flops_rate");
}

}  // namespace

std::vector<ClaimedValue> claimed_values(const std::vector<results_db::ClaimRecord>& claims,
                                         const Exploration& exploration) {
  std::set<std::string> techniques;
  double logs = 0;
  int points = 0;
  for (const ExplorePanel& panel : exploration.panels)
    for (const ExploreSeries& series : panel.series) {
      techniques.insert(series.technique);
      for (const ExplorePoint& point : series.points)
        if (point.value.median > 0) {
          logs += std::log(point.value.median);
          ++points;
        }
    }
  std::vector<ClaimedValue> out;
  for (const auto& claim : claims) {
    if (claim.form == "ratio" || claim.form == "difference" || !claim.value || !(*claim.value > 0)) continue;
    if (!techniques.contains(claim.technique) || !measures(claim, exploration)) continue;
    std::string where = claim.paper;
    if (!claim.arxiv.empty()) where += " (" + claim.arxiv + ")";
    if (!claim.where.empty()) where += ", " + claim.where;
    out.push_back({claim.technique, *claim.value, claim.bound, claim.published, where});
  }
  const double middle = points > 0 ? logs / points : 0;
  std::stable_sort(out.begin(), out.end(), [&](const ClaimedValue& a, const ClaimedValue& b) {
    return std::abs(std::log(a.value) - middle) < std::abs(std::log(b.value) - middle);
  });
  return out;
}

}  // namespace assay::gui
