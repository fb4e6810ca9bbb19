#pragma once
// The thin layer between a kernel and the harness: axes, declared work, inputs, oracle, mutants, the timed region.
#include <vector>

#include "harness/registry.h"
#include "harness/state.h"
#include "impls/attention/problem.h"

namespace assay::attention {

// sequence_length, context, batch, heads, kv_heads, head_dim, causal, dtype, threads, isa, inputs.
std::vector<harness::Axis> axes();

// Reads and checks the axes: UserError names the axis, what was found and what was expected. read_shape: all but dtype.
Problem read_problem(const harness::State& state);
Problem read_shape(const harness::State& state);

// Reads threads and isa; skips the case where this machine lacks them.
Execution read_execution(harness::State& state, const Problem& problem);

// Takes mantissa bits from a tensor, in place: what a kernel that computes in the next lower precision sees. bf16 for
// fp32, an 8-bit float's 3 mantissa bits for bf16 and fp16.
void coarsen(const Problem& problem, const substrate::View& view, int heads, int rows);

// FLOPs the technique's schedule executes, whole tiles counted.
using IssuedFlops = double (*)(const Problem&, const Execution&);

// Everything a registered attention technique does with its State.
void run(harness::State& state, MakeKernel make, IssuedFlops issued);
enum class Gives { output_and_lse, output_only };
void run(harness::State& state, const Problem& problem, const Execution& execution, MakeKernel make, IssuedFlops issued,
         Gives gives = Gives::output_and_lse);

}  // namespace assay::attention
