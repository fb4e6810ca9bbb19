#pragma once
// A compared case as the filter sees it.
#include "gui/model/filter.h"
#include "harness/comparison.h"

namespace assay::gui {

// Null sides: not in the run. Words are looked for in the verdict too.
Pair pair_of(const harness::ComparedCase& row, const CaseResult* a, const CaseResult* b);

}  // namespace assay::gui
