#pragma once
// assay compare --live: the cases that two selectors name, launched in turns.
#include <string>

#include "harness/cli/commands.h"
#include "harness/comparison.h"

namespace assay::cli {

struct LiveArguments {
  bool live = false;
  std::string program_a, program_b;  // other builds of assay; empty: this one
  int launches = 10;
  int max_launches = 40;
  std::string time_budget = "200ms";
  bool no_gate = false;
};

// A selector without a run that names a technique makes its cases from the technique's axes (defaults, or as the
// selector says); any other takes the cases of its run.
harness::Comparison run_live(const harness::Selector& a, const harness::Selector& b, const LiveArguments& given,
                             const harness::stats::DecisionRule& rule, const std::string& metric, bool rerun_unsure,
                             const Context& context);

}  // namespace assay::cli
