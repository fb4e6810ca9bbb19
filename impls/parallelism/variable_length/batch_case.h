#pragma once
// Batches of sequences of different lengths as cases: what every planner's technique is asked for, and the scheme that
// runs or projects what it planned.
#include <functional>
#include <string>
#include <vector>

#include "harness/registry.h"
#include "harness/state.h"
#include "impls/parallelism/program_case.h"
#include "impls/parallelism/variable_length/batch_plan.h"

namespace assay::parallelism {

// Axes of a batch: the data set, how many sequences, how long at most, what a rank can hold, the layer, the ranks.
std::vector<harness::Axis> batch_axes();
// Lengths are drawn by the axis `batch_seed`, so that every fabric and every planner sees the same batch.
BatchProblem batch_problem(const harness::State& state);

// Tokens a rank holds at one time: the axis, or what the longest sequence needs on all ranks and half an even share of
// the batch, whichever is more, and a twelfth above.
std::int64_t batch_capacity(const harness::State& state, const BatchProblem& problem);
// UserError where all ranks together cannot hold the longest sequence.
void require_room(const BatchProblem& problem, std::int64_t capacity);

RankProgram batch_program(BatchPlan plan);
ProgramScheme batch_scheme(BatchPlan plan);

}  // namespace assay::parallelism
