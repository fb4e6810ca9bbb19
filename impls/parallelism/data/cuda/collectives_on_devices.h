#pragma once
// Collectives of ranks with a GPU each. Our own are the programs of the other fabrics over NCCL's sends and receives,
// their additions kernels in the ranks' streams. NCCL's are one call a rank, and what happens on the wire is the
// library's business: messages are not counted. Both are compared with the float64 oracle.
#include <memory>

#include "impls/parallelism/data/collectives_data.h"
#include "impls/substrate/fabric/nccl/nccl_fabric.h"

namespace assay::parallelism::cuda {

// Of a problem whose algorithm is resolved: any of those of collectives.cpp.
ProgramScheme own_collective(const CollectiveProblem& problem, const std::shared_ptr<substrate::NcclFabric>& fabric);

// UserError for what NCCL has no call for (scan) or takes in equal parts only.
ProgramScheme nccl_collective(const CollectiveProblem& problem, const std::shared_ptr<substrate::NcclFabric>& fabric);
void check_nccl_collective(const CollectiveProblem& problem);

}  // namespace assay::parallelism::cuda
