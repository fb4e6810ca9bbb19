#pragma once
// Keys of cases as a table shows them: what all rows share is said once above it, a row has what tells it from the
// others.
#include <string>
#include <vector>

namespace assay::cli {

std::string technique_of(const std::string& key);     // "attention/naive-attention"
std::string short_technique(const std::string& key);  // "naive-attention"

// Words of the keys that all have, in the order of the first.
std::vector<std::string> shared_words(const std::vector<std::string>& keys);

// The words of a key without its technique and the shared ones.
std::string own_words(const std::string& key, const std::vector<std::string>& shared);

}  // namespace assay::cli
