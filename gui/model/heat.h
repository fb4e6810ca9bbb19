#pragma once
// A comparison as a map: one row a technique and what else tells cases apart, one column a value of the axis along
// which most can be seen.
#include <string>
#include <vector>

#include "gui/model/case_text.h"
#include "harness/comparison.h"

namespace assay::gui {

struct HeatCell {
  std::size_t row = 0, column = 0;
  std::size_t which = 0;  // of the cases given
  double ratio = 1;
  double worse = 0;  // logarithm of the ratio, positive where the contender is the worse one
  harness::stats::Verdict verdict = harness::stats::Verdict::unsure;
  std::string evidence;  // both values, where they come from, launches
};

struct HeatMap {
  std::string axis;  // "" where no axis has two values: one column then
  std::vector<std::string> rows, columns;
  std::vector<HeatCell> cells;
};

// `infos[i]` tells what `cases[i]` is; cases without a finite ratio are left out.
HeatMap heat_map(const std::vector<const CaseInfo*>& infos, const std::vector<const harness::ComparedCase*>& cases);

}  // namespace assay::gui
