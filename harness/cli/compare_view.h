#pragma once
// A comparison as a person and as a program reads it.
#include <string>
#include <vector>

#include "harness/cli/commands.h"
#include "harness/comparison.h"

namespace assay::cli {

struct CompareView {
  std::vector<std::string> only;  // verdicts to show, upper case; empty: all
  bool explain = false;           // p, q, design and the reason of every row
  bool markdown = false;
};

std::string comparison_as_text(const harness::Comparison& comparison, const Context& context, const CompareView& view);
std::string comparison_as_json(const harness::Comparison& comparison, const harness::stats::DecisionRule& rule,
                               int exit_code);

// "nothing matched", "nothing measured" or "nothing significant" in a sentence; "" when a difference was found.
std::string nothing_line(const harness::Comparison& comparison);

}  // namespace assay::cli
