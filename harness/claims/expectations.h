#pragma once
// A file of expected verdicts, so that a change that turns one is noticed: lines `claim-id = verdict`, quotes allowed,
// '#' begins a comment line. The same file reads as TOML when both sides are quoted.
#include <string>
#include <vector>

#include "harness/claims/judge.h"

namespace assay::harness::claims {

struct Expectation {
  std::string claim;
  Verdict verdict = Verdict::untestable;
  int line = 0;
};

// UserError with file and line for a line that is neither, an unknown verdict, or a claim that stands twice.
std::vector<Expectation> read_expectations(const std::string& file);

}  // namespace assay::harness::claims
