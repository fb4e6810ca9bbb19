#pragma once
// A scheme of sharded attention as cases: measured on fabrics with real data against the oracle, projected on
// `cluster`. The scheme supplies its rank program; what is drawn, checked, counted and reported is the same for all.
#include <functional>
#include <string>
#include <vector>

#include "harness/registry.h"
#include "harness/state.h"
#include "impls/parallelism/sequence/sequence_plan.h"
#include "impls/substrate/fabric/rank.h"

namespace assay::parallelism {

// The layer of one rank; it owns its plan and must outlive the runs made with it.
using LayerProgram = std::function<substrate::Task<>(substrate::Rank&, SequenceMemory)>;

// A wrong version of the program which the gate has to reject.
struct LayerMutant {
  std::string name;
  LayerProgram program;
};

struct LayerScheme {
  SequenceProblem problem;
  LayerProgram (*program)(const SequenceProblem&);
  // What each rank holds and where results end up.
  SequencePlan (*plan)(const SequenceProblem&) = [](const SequenceProblem& layer) { return SequencePlan(layer); };
  std::vector<LayerMutant> mutants;  // of `problem`
};

void measure_layer(harness::State& state, const LayerScheme& scheme);
void project_layer(harness::State& state, const LayerScheme& scheme);

// Bytes and messages of the rank that sends most, and the largest memory peak. They are those of the program, the same
// on every fabric.
void report_counts(harness::State& state, const substrate::RunReport& run);

// The axes of a sharded layer, and the cluster it is projected on.
std::vector<harness::Axis> sequence_cluster_axes();

}  // namespace assay::parallelism
