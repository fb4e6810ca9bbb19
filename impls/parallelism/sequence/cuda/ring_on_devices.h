#pragma once
// Ring attention whose ranks have a GPU each: the scheme of the host with its data in the memory of the ranks, and
// bodies that are kernels.
#include <memory>

#include "impls/parallelism/program_case.h"
#include "impls/parallelism/sequence/sequence_plan.h"
#include "impls/substrate/fabric/nccl/nccl_fabric.h"

namespace assay::parallelism::cuda {

// UserError for what no kernel is made for.
void check_device_problem(const SequenceProblem& problem);

ProgramScheme ring_on_devices(const SequenceProblem& problem, const std::shared_ptr<substrate::NcclFabric>& fabric);

}  // namespace assay::parallelism::cuda
