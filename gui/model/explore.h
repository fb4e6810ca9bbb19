#pragma once
// Any metric over any axis: points of a run sorted into panels, series and what they have in common.
#include <set>
#include <string>
#include <vector>

#include "gui/model/filter.h"
#include "gui/model/run_data.h"

namespace assay::gui {

struct ExplorePoint {
  double x = 0;  // the axis's number, or the index of its category
  Value value;
  const CaseResult* result = nullptr;
};

// One technique in one provenance: never two of them on a line.
struct ExploreSeries {
  std::string technique;
  std::string name;     // flash-attention-2
  std::string variant;  // what tells it from the other series of its panel: "4 threads"
  results_db::Provenance provenance = results_db::Provenance::measured;
  std::vector<ExplorePoint> points;  // by x
};

struct ExplorePanel {
  std::string title;  // "bf16, causal"; "" when there is one panel
  std::vector<ExploreSeries> series;
};

struct ExploreWish {
  std::string metric;  // "": the metric most cases have
  std::string axis;    // "": the axis with most values; "technique": one row a technique
  int most_panels = 6;
  bool operator==(const ExploreWish&) const = default;
};

struct Exploration {
  std::string metric, unit, axis;
  bool numeric = true;                  // the axis has numbers; else categories
  std::vector<std::string> categories;  // names of x = 0, 1, ...
  bool lower_is_better = true;
  std::string common;                 // what all points share
  std::set<std::string> common_axes;  // the axes of that
  bool one_place = true;              // all on one backend or fabric
  std::vector<std::string> facets;    // the axes that panels are made of
  std::vector<ExplorePanel> panels;
  int shown = 0;
  int filtered_out = 0;                    // cases the filter leaves out
  int without_metric = 0;                  // cases that match but have no such value (failed ones included)
  std::vector<std::string> metrics, axes;  // to choose from
};

// The cases a filter leaves: with the wish all that an exploration depends on.
struct Kept {
  std::vector<const CaseResult*> cases;
  int filtered_out = 0;
  bool operator==(const Kept&) const = default;
};
Kept kept_cases(const RunData& data, const Filter& filter);

Exploration explore(const Kept& kept, const ExploreWish& wish);
inline Exploration explore(const RunData& data, const Filter& filter, const ExploreWish& wish) {
  return explore(kept_cases(data, filter), wish);
}

// Every point with how it stands among those that differ from it only in the technique.
struct RankedPoint {
  ExplorePoint point;
  double to_best = 1;  // 1: the best of its group; 2: needs twice the time, or gives half the rate
};
// Group by group, the largest size first; best first inside each.
std::vector<RankedPoint> ranking(const Exploration& exploration);

}  // namespace assay::gui
