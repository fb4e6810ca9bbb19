#pragma once
// The closed lists of the claim schema.
#include <string_view>
#include <vector>

namespace assay::harness::claims {

enum class Better { more, less };

struct Quantity {
  std::string_view name;
  Better better;  // orients a ratio so that more than 1 is better for the technique
};

const std::vector<Quantity>& quantities();
const Quantity* find_quantity(std::string_view name);
const std::vector<std::string_view>& units();
const std::vector<std::string_view>& families();

// family/name with lower-case name, as technique ids are.
bool is_technique_id(std::string_view text);

}  // namespace assay::harness::claims
