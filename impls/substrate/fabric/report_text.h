#pragma once
// What a rank counted, as text, to carry it from one process to another.
#include <functional>
#include <string>
#include <vector>

#include "impls/substrate/fabric/fabric.h"

namespace assay::substrate {

std::string to_text(const RankReport& report, const std::vector<Interval>& intervals);

// `keep` returns storage for a name that lives as long as the report. Intervals are appended.
RankReport report_from_text(const std::string& text, const std::function<const char*(const std::string&)>& keep,
                            std::vector<Interval>& intervals);

}  // namespace assay::substrate
