#pragma once
// The thin layer between a kernel and the harness: axes, declared work, inputs, oracle, mutants, the timed region.
#include <vector>

#include "harness/registry.h"
#include "harness/state.h"
#include "impls/attention/problem.h"

namespace assay::attention {

// sequence_length, context, batch, heads, kv_heads, head_dim, causal, dtype, threads, isa, inputs.
std::vector<harness::Axis> axes();

// Reads and checks the axes: UserError names the axis, what was found and what was expected.
Problem read_problem(const harness::State& state);

// Reads threads and isa; skips the case where this machine lacks them.
Execution read_execution(harness::State& state, const Problem& problem);

// FLOPs the technique's schedule executes, whole tiles counted.
using IssuedFlops = double (*)(const Problem&, const Execution&);

// Everything a registered attention technique does with its State.
void run(harness::State& state, MakeKernel make, IssuedFlops issued);
enum class Gives { output_and_lse, output_only };
void run(harness::State& state, const Problem& problem, const Execution& execution, MakeKernel make, IssuedFlops issued,
         Gives gives = Gives::output_and_lse);

}  // namespace assay::attention
