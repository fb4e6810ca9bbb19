#pragma once
// A gate's report for machines that show test results and for pull requests.
#include <string>

#include "harness/gate.h"

namespace assay::reports {

// JUnit XML: a test case a compared case. SLOWER is a failure, a missing case an error; so is UNSURE where that fails,
// else it is skipped with its reason. Nothing compared is one error: no empty file looks like success.
std::string gate_junit(const harness::GateReport& report, harness::UnsurePolicy unsure);

// A headline, what was found, what is missing; everything else folded away.
std::string gate_markdown(const harness::GateReport& report);

}  // namespace assay::reports
