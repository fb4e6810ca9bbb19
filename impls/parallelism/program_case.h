#pragma once
// A program over ranks as cases: measured on fabrics with real data against the oracle, projected on `cluster`. The
// technique supplies its rank program, its data and its wrong versions; what is drawn, checked, counted and reported is
// the same for all.
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "harness/registry.h"
#include "harness/state.h"
#include "impls/substrate/fabric/rank.h"

namespace assay::parallelism {

// Inputs and outputs of all ranks or of the one that this process is, and their comparison with the one-rank oracle.
class ProgramData {
 public:
  ProgramData() = default;
  virtual ~ProgramData() = default;
  ProgramData(const ProgramData&) = delete;
  ProgramData& operator=(const ProgramData&) = delete;

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

// What one rank does with the data its technique made, null on virtual fabrics; it owns its plan and must outlive the
// runs made with it.
using RankProgram = std::function<substrate::Task<>(substrate::Rank&, ProgramData*)>;

// A wrong version of the program which the gate has to reject.
struct ProgramMutant {
  std::string name;
  RankProgram program;
};

struct ProgramScheme {
  int ranks = 1;
  substrate::OpDtype dtype = substrate::OpDtype::fp32;  // of its matrix products: the device must have the peak
  std::int64_t tokens = 0;                              // for the throughput; 0: not of tokens
  harness::Work work;
  RankProgram program;
  // Of all ranks, or of `only` that one.
  std::function<std::unique_ptr<ProgramData>(std::optional<int> only)> data;
  std::vector<ProgramMutant> mutants = {};
  // The same code path at a size small enough to be compared whole; null where every size is.
  std::function<ProgramScheme()> whole = nullptr;
  std::string whole_name = {};                          // "at 512 tokens"
  std::shared_ptr<substrate::Fabric> fabric = nullptr;  // null: the state's, threads or mpi
  bool counts_messages = true;                          // false: a library moves the bytes and does not say how
};

void measure_program(harness::State& state, const ProgramScheme& scheme);
void project_program(harness::State& state, const ProgramScheme& scheme);

// Bytes and messages of the rank that sends most, and the largest memory peak. They are those of the program, the same
// on every fabric.
void report_counts(harness::State& state, const substrate::RunReport& run);

// The counts of a program on `ranks` ranks; they need neither data nor a machine.
substrate::RunReport count_program(const RankProgram& program, int ranks);

// The axis of the cluster a program is projected on.
harness::Axis cluster_axis();

namespace program_case_detail {
template <ProgramScheme (*scheme_of)(const harness::State&)>
void measure(harness::State& state) {
  measure_program(state, scheme_of(state));
}
template <ProgramScheme (*scheme_of)(const harness::State&)>
void project(harness::State& state) {
  project_program(state, scheme_of(state));
}
}  // namespace program_case_detail

// The implementations of a technique over ranks: measured on the fabrics with real data, projected on `cluster`; the
// descriptor of the cluster that this, and the links of `emulated`, are of is one axis more.
template <ProgramScheme (*scheme_of)(const harness::State&)>
std::vector<harness::Implementation> over_ranks(const std::vector<harness::Axis>& axes, const char* file) {
  std::vector<harness::Axis> on_cluster = axes;
  on_cluster.push_back(cluster_axis());
  return {{.fabrics = {"threads", "mpi"},
           .axes = axes,
           .run = program_case_detail::measure<scheme_of>,
           .source_file = file},
          {.fabrics = {"emulated"},
           .axes = on_cluster,
           .run = program_case_detail::measure<scheme_of>,
           .source_file = file},
          {.fabrics = {"cluster"},
           .axes = std::move(on_cluster),
           .run = program_case_detail::project<scheme_of>,
           .source_file = file}};
}

}  // namespace assay::parallelism
