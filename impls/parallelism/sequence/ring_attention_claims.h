#pragma once
#include <optional>
#include <string>

#include "harness/claims/projection.h"

namespace assay::parallelism {

// Answers the claims about ring attention: the block at which a hop hides behind its compute and the tokens a device
// must then hold (quantity count), found by running the program on the setting's link and peak; and max_sequence from
// the memory ledger of the program.
std::optional<harness::claims::Projection> project_ring_attention(const harness::claims::Setting& setting,
                                                                  const std::string& quantity);

}  // namespace assay::parallelism
