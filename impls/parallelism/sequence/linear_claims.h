#pragma once
// What the schedules of linear attention's scan say to the configurations of papers.
#include <optional>
#include <string>

#include "harness/claims/projection.h"

namespace assay::parallelism {

// comm_time: of the exchange of states alone, forward. comm_bytes: of rank 0, forward unless the setting says
// otherwise. operator_time: of one layer, forward and backward. throughput: of a training step; scaling_efficiency:
// one device's step on its tokens over that of all. max_sequence: from the memory ledger. count: collectives of a layer
// (LASP-2). States travel in the dtype of the setting. Data parallelism alone is a schedule on one rank.
std::optional<harness::claims::Projection> project_lasp_1(const harness::claims::Setting& setting,
                                                          const std::string& quantity);
std::optional<harness::claims::Projection> project_lasp_2(const harness::claims::Setting& setting,
                                                          const std::string& quantity);
std::optional<harness::claims::Projection> project_zeco(const harness::claims::Setting& setting,
                                                        const std::string& quantity);

}  // namespace assay::parallelism
