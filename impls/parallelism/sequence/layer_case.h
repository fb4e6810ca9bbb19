#pragma once
// A scheme of sharded attention as cases: measured on fabrics with real data against the oracle, projected on
// `cluster`. The scheme supplies its rank program; what is drawn, checked, counted and reported is the same for all.
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "harness/registry.h"
#include "harness/state.h"
#include "impls/parallelism/sequence/sequence_plan.h"
#include "impls/substrate/fabric/rank.h"

namespace assay::parallelism {

// Inputs and outputs of one layer, of all ranks or of the one that this process is, and their comparison with the
// one-rank oracle.
class LayerData {
 public:
  LayerData() = default;
  virtual ~LayerData() = default;
  LayerData(const LayerData&) = delete;
  LayerData& operator=(const LayerData&) = delete;

  virtual void draw(std::uint64_t seed) = 0;
  // The outputs of one rank, for those who bring them to where all are compared.
  virtual std::vector<std::span<std::byte>> outputs_of(int rank) = 0;
  virtual std::vector<harness::Output> outputs() = 0;
  // Against the oracle of the inputs last drawn, which is kept until the next draw; `seed` chooses samples.
  virtual harness::Check compare(std::uint64_t seed) const = 0;
  // Whether every element is compared.
  virtual bool compares_all() const = 0;
  // Computes that oracle now rather than in the first comparison.
  virtual void refer(std::uint64_t seed) const = 0;
  // Where ranks have memory of their own: takes the outputs there as the gate has left them, and back here after a run.
  // The gate does so around every run; timed runs move nothing.
  virtual void outputs_to_ranks() {}
  virtual void outputs_from_ranks() {}
};

// The layer of one rank on the data its scheme made, null on virtual fabrics; it owns its plan and must outlive the
// runs made with it.
using LayerProgram = std::function<substrate::Task<>(substrate::Rank&, LayerData*)>;

// A wrong version of the program which the gate has to reject.
struct LayerMutant {
  std::string name;
  LayerProgram program;
};

struct LayerScheme {
  SequenceProblem problem;
  std::function<LayerProgram(const SequenceProblem&)> program;
  // Of all ranks, or of `only` that one.
  std::function<std::unique_ptr<LayerData>(const SequenceProblem&, std::optional<int> only)> data;
  harness::Work (*work)(const SequenceProblem&);
  std::vector<LayerMutant> mutants;                     // of `problem`
  std::shared_ptr<substrate::Fabric> fabric = nullptr;  // null: the state's, threads or mpi
};

void measure_layer(harness::State& state, const LayerScheme& scheme);
void project_layer(harness::State& state, const LayerScheme& scheme);

// Bytes and messages of the rank that sends most, and the largest memory peak. They are those of the program, the same
// on every fabric.
void report_counts(harness::State& state, const substrate::RunReport& run);

// The axes of a sharded layer, and the cluster it is projected on.
std::vector<harness::Axis> sequence_cluster_axes();

}  // namespace assay::parallelism
