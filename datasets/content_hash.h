#pragma once
#include <string>
#include <string_view>

namespace assay::datasets {

// 128-bit content hash (XXH3) as 32 hex digits. Names descriptors, suites and implementations by what they contain.
std::string content_hash(std::string_view content);

}  // namespace assay::datasets
