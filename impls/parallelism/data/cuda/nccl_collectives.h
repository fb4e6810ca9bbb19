#pragma once
// NCCL's own collectives as the programs of ranks with a GPU each: one call a rank, and what happens on the wire is the
// library's business. Compared with the float64 oracle like our own; messages are not counted.
#include <memory>

#include "impls/parallelism/data/collectives_data.h"
#include "impls/substrate/fabric/nccl/nccl_fabric.h"

namespace assay::parallelism::cuda {

// UserError for what NCCL has no call for (scan) or takes in equal parts only.
ProgramScheme nccl_collective(const CollectiveProblem& problem, const std::shared_ptr<substrate::NcclFabric>& fabric);
void check_nccl_collective(const CollectiveProblem& problem);

}  // namespace assay::parallelism::cuda
