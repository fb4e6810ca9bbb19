#pragma once
// The history of a case as a person and as a program reads it.
#include <string>

#include "harness/cli/commands.h"
#include "harness/history.h"

namespace assay::cli {

std::string history_as_text(const harness::CaseHistory& history, const Context& context, int rows, bool markdown);
std::string history_as_json(const harness::CaseHistory& history);

// "2026-01-06 03:00" in UTC.
std::string day_text(std::int64_t unix_ns);
// "+9.1%"
std::string percent_text(double ratio);

}  // namespace assay::cli
