#pragma once
// Parts of the HTML report that stand alone: what papers claim, and the cases under the roofs of the run.
#include <string>

#include "reports/run_report.h"

namespace assay::reports {

// Verdicts on claims about the techniques of the run, as HTML; "" where the database holds no claim about them.
std::string claims_section(const RunReport& report);
std::string claims_markdown(const RunReport& report);

bool is_roof(const ReportRow& row);  // a probe of the machine, not a technique

// Measured cases by declared work under the roofs measured in the same run, one picture a backend; "" without roofs or
// without declared work. The picture is SVG: it needs no script, and prints.
std::string roofline_section(const RunReport& report);

}  // namespace assay::reports
