#pragma once
// FlexSP's plan as items of a batch, and the costs it plans with.
#include "datasets/machine.h"
#include "impls/parallelism/variable_length/batch_plan.h"
#include "impls/parallelism/variable_length/flexsp_solver.h"

namespace assay::parallelism {

// Attention of one layer on the links and the device of a cluster; degrees up to `ranks` that the heads can be dealt
// to.
FlexSpCosts flexsp_layer_costs(const BatchProblem& shape, std::int64_t capacity, const datasets::Device& device,
                               const datasets::Cluster& cluster);
// For data that are only checked: a token of an exchange costs what 16 pairs do, on more than 4 ranks four times that.
FlexSpCosts flexsp_round_costs(int ranks, std::int64_t capacity);

// Groups lie on neighbours, those of larger degree first, so that each begins at a multiple of its degree.
std::vector<BatchItem> flexsp_items(const BatchProblem& problem, const FlexSpPlan& plan);

}  // namespace assay::parallelism
