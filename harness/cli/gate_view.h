#pragma once
// A gate's report on the terminal and as JSON.
#include <string>

#include "harness/cli/commands.h"
#include "harness/gate.h"

namespace assay::cli {

std::string gate_as_text(const harness::GateReport& report, const Context& context, bool explain, bool all);
std::string gate_as_json(const harness::GateReport& report, int exit_code);

}  // namespace assay::cli
