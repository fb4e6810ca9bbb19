#pragma once
// A verdict's numbers in words.
#include <string>

#include "harness/stats/decide.h"

namespace assay::gui {

// "0.984 to 1.021"; "" where the launches are too few to bound it.
std::string interval_text(const harness::stats::Decision& decision);

}  // namespace assay::gui
