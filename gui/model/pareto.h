#pragma once
// One metric against another: which cases no other one beats in both, and which is best inside a limit.
#include <string>
#include <vector>

#include "gui/model/filter.h"
#include "gui/model/run_data.h"

namespace assay::gui {

struct FrontPoint {
  const CaseResult* result = nullptr;
  Value x, y;
  bool on_front = false;  // among those of its provenance: no other is at least as good in both and better in one
};

struct Front {
  std::string x_metric, y_metric;
  bool x_lower_is_better = true, y_lower_is_better = true;
  std::vector<FrontPoint> points;  // by x
  int without = 0;                 // cases that match but lack one of the two
  int filtered_out = 0;
};

Front front_of(const RunData& data, const Filter& filter, const std::string& x_metric, const std::string& y_metric);

bool inside(const Front& front, const FrontPoint& point, double limit);  // of x, on its good side
// The best y inside the limit, of one provenance; null where nothing is.
const FrontPoint* best_inside(const Front& front, double limit, results_db::Provenance provenance);

}  // namespace assay::gui
