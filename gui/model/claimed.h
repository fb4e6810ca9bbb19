#pragma once
// What papers claim about the techniques and the metric an exploration shows: reference lines, never points.
#include <string>
#include <vector>

#include "gui/model/explore.h"

namespace assay::gui {

struct ClaimedValue {
  std::string technique;
  double value = 0;
  std::string bound;      // at_least | at_most | up_to | ...
  std::string published;  // the paper's words
  std::string where;      // "FlashAttention-2 (2307.08691), Figure 4"
};

// Absolute values in the exploration's unit; ratios have no place on such an axis. Nearest to what is shown first.
std::vector<ClaimedValue> claimed_values(const std::vector<results_db::ClaimRecord>& claims,
                                         const Exploration& exploration);

}  // namespace assay::gui
