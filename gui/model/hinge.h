#pragma once
// What a verdict hinges on, as `assay reproduce --hinge --store` left it in the database.
#include <optional>
#include <string>
#include <vector>

#include "results_db/records.h"

namespace assay::gui {

struct HingeSide {
  std::string setting;         // "-15.9%", "8k", "bf16"
  std::optional<double> ours;  // nothing: no value there
  std::string verdict;
};

struct HingeBar {
  std::string condition;  // "a100-80g-sxm.eff_gemm", "batch"
  std::string kind;       // fitted | stated | assumed | unstated
  std::string nominal;
  std::vector<HingeSide> sides;
  bool decides = false;  // a side has another verdict
};

struct HingeTable {
  std::vector<HingeBar> bars;  // widest first
  std::vector<std::string> no_influence, in_words;
};

// Nothing where the verdict was stored without one.
std::optional<HingeTable> hinge_of(const results_db::VerdictRecord& verdict);
// "2 of 9 conditions change the verdict: dtype = bf16 (fp32: partial), ...": what a reviewer asks first.
std::string finding(const HingeTable& table);

}  // namespace assay::gui
