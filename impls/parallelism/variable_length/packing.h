#pragma once
// Sequences packed into rows of a fixed number of tokens.
#include <cstdint>
#include <vector>

namespace assay::parallelism {

// Best fit, longest first: each of `sequences` goes to the row with the least room that still holds it, else to a new
// one. Longer ones than `room` get a row of their own. Rows in the order they were opened.
std::vector<std::vector<int>> best_fit_rows(const std::vector<std::int64_t>& lengths, std::vector<int> sequences,
                                            std::int64_t room);

// Indices of `lengths`, longest first, equal ones in order.
std::vector<int> longest_first(const std::vector<std::int64_t>& lengths);

}  // namespace assay::parallelism
