#pragma once
// The data of a planned batch: inputs drawn and dealt to the members of its items, outputs collected, and every
// sequence compared with the one-rank float64 oracle of that sequence alone.
#include <memory>
#include <optional>
#include <vector>

#include "impls/parallelism/program_case.h"
#include "impls/parallelism/sequence/sequence_case.h"
#include "impls/parallelism/variable_length/batch_program.h"

namespace assay::parallelism {

class BatchData final : public ProgramData {
 public:
  explicit BatchData(std::shared_ptr<const BatchPlan> plan, std::optional<int> only = {});

  void draw(std::uint64_t seed) override;
  std::vector<std::span<std::byte>> outputs_of(int rank) override;
  std::vector<harness::Output> outputs() override;
  harness::Check compare(std::uint64_t seed) const override;
  bool compares_all() const override;
  void refer(std::uint64_t seed) const override;

  SequenceMemory memory(int item, int member);

 private:
  int part(int item, int member) const { return first_[static_cast<std::size_t>(item)] + member; }
  bool held(int item, int member) const;
  double at(const ShardedTensor& tensor, bool wide, int part, std::int64_t index) const;
  // One sequence in the order of its tokens; `second`: V of K and V.
  std::vector<double> gather(int sequence, const ShardedTensor& tensor, bool wide, int heads, int width,
                             bool second) const;
  std::vector<double> gather_lse(int sequence) const;

  std::shared_ptr<const BatchPlan> plan_;
  std::optional<int> only_;
  std::vector<ItemSizes> sizes_;                        // by item
  std::vector<int> first_;                              // part of each item's first member
  std::vector<int> item_of_;                            // of each sequence
  ShardedTensor q_, kv_, o_, lse_, d_out_, dq_, d_kv_;  // by part
  mutable std::vector<SequenceReference> references_;   // by sequence
};

}  // namespace assay::parallelism
