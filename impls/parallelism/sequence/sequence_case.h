#pragma once
// The data of one sharded attention layer: inputs drawn and dealt to ranks, outputs collected, and the comparison with
// the one-rank float64 oracle. Serves every scheme that shards tokens.
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "harness/registry.h"
#include "harness/state.h"
#include "impls/parallelism/program_case.h"
#include "impls/parallelism/sequence/sequence_check.h"
#include "impls/parallelism/sequence/sequence_plan.h"

namespace assay::parallelism {

// A tensor cut along tokens, the parts of the ranks one after the other in one allocation; parts that this process does
// not hold are empty.
struct ShardedTensor {
  std::vector<std::byte> data;
  std::vector<std::int64_t> offset, bytes;  // by rank
  std::byte* part(int rank) { return data.data() + offset[static_cast<std::size_t>(rank)]; }
  const std::byte* part(int rank) const { return data.data() + offset[static_cast<std::size_t>(rank)]; }
};

class SequenceData : public ProgramData {
 public:
  // Of all ranks, or of `only` that one: what a process that is one rank of many holds.
  explicit SequenceData(SequencePlan plan, std::optional<int> only = {});

  // Q, K, V and dO from N(0, 1), rounded to the dtype.
  void draw(std::uint64_t seed) override;
  virtual SequenceMemory memory(int rank);
  std::vector<std::span<std::byte>> outputs_of(int rank) override;
  std::vector<harness::Output> outputs() override;
  // Every element where that costs at most 2 GFLOP, else samples (sequence_check.h).
  harness::Check compare(std::uint64_t seed) const override;
  bool compares_all() const override;
  void refer(std::uint64_t seed) const override;

 protected:
  const SequencePlan& plan() const { return plan_; }

 private:
  std::vector<double> gather(const ShardedTensor& tensor, bool wide, int heads, int width, bool second) const;
  std::vector<double> gather_lse_by_heads() const;
  double at(const ShardedTensor& tensor, bool wide, int rank, std::int64_t index) const;

  SequencePlan plan_;
  std::optional<int> only_;
  ShardedTensor q_, kv_, o_, lse_, d_out_, dq_, d_kv_;
  mutable std::shared_ptr<const SequenceReference> reference_;
};

// The memory of a rank in `data`, which must be a SequenceData; all null without.
SequenceMemory sequence_memory(ProgramData* data, int rank);

// What schemes of attention alone declare.
harness::Work attention_layer_work(const SequenceProblem& problem);

// What is the same in every scheme of a sharded layer: `make(problem)` gives the parts that depend on its size.
struct SequenceScheme {
  std::function<RankProgram(const SequenceProblem&)> program;
  std::function<std::unique_ptr<ProgramData>(const SequenceProblem&, std::optional<int> only)> data;
  std::function<harness::Work(const SequenceProblem&)> work = attention_layer_work;
  std::shared_ptr<substrate::Fabric> fabric = nullptr;  // null: the state's
};
ProgramScheme sequence_scheme(const SequenceProblem& problem, const SequenceScheme& scheme,
                              std::vector<ProgramMutant> mutants);

// The axes of a sharded attention layer, and the problem they describe. UserError for what cannot be.
std::vector<harness::Axis> sequence_axes();
std::vector<harness::Axis> without(std::vector<harness::Axis> axes, std::initializer_list<std::string_view> names);
SequenceProblem sequence_problem(const harness::State& state);
// The key heads of the axis `kv_heads`, as many as queries where it is 0 or missing; UserError where they do not divide
// these. And the storage of the axis `dtype`.
int key_heads(const harness::State& state);
substrate::DType storage(const harness::State& state);

}  // namespace assay::parallelism
