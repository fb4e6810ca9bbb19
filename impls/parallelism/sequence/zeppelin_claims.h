#pragma once
#include <optional>
#include <string>

#include "harness/claims/projection.h"

namespace assay::parallelism {

// Training steps of a batch of sequences by an arm of Zeppelin, and the transfer of one round of its ring.
std::optional<harness::claims::Projection> project_zeppelin(const harness::claims::Setting& setting,
                                                            const std::string& quantity);

// A batch of so many tokens of a data set, as Zeppelin's settings describe it.
bool is_zeppelin_batch(const harness::claims::Setting& setting);
// Its baseline: every sequence over all ranks.
std::optional<harness::claims::Projection> project_te_cp(const harness::claims::Setting& setting,
                                                         const std::string& quantity);

}  // namespace assay::parallelism
