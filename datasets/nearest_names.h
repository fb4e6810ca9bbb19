#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace assay::datasets {

// Up to `count` names nearest to `wanted` by edit distance, nearest first, for "did you mean". A wanted name without a
// slash is compared with the part behind the last slash of each name.
std::vector<std::string> nearest_names(std::string_view wanted, const std::vector<std::string>& names,
                                       std::size_t count = 3);

}  // namespace assay::datasets
