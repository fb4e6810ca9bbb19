#pragma once
// Reader of measured collective times (columns collective, ranks, devices_per_node, bytes, median_ms).
#include <string>
#include <vector>

#include "impls/substrate/models/collective_time.h"

namespace assay::substrate {

struct MeasuredCollective {
  CollectiveWork work;
  double seconds = 0;
  std::string place;  // file:line:column, for complaints about what a cluster cannot be asked
};

// Throws UserError naming file, line and column for what cannot be read, an unknown collective among them.
std::vector<MeasuredCollective> read_collective_profile(const std::string& file);

}  // namespace assay::substrate
