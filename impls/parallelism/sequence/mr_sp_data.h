#pragma once
// Inputs and outputs of MR-SP on every rank, and their comparison with the same step on one rank in float64: one
// encoding, and policy and reference over whole rollouts (transformer_oracle.h under a head of its own).
//
// Rule: err(program, float64) <= 2 err(the same in the program's dtype, float64) + 2e-6 of the largest element, of the
// log-probabilities of policy and reference and of the gradient of every weight; err is the largest absolute
// difference. In bf16 2^-8 of the largest is allowed: all of it hangs on the probabilities of few words.
#include <memory>
#include <optional>
#include <vector>

#include "impls/parallelism/program_case.h"
#include "impls/parallelism/sequence/mr_sp.h"

namespace assay::parallelism {

class MrSpData : public ProgramData {
 public:
  explicit MrSpData(MrSpPlan plan, std::optional<int> only = {});

  // Frames and responses from N(0, 1), weights as decoder_data.h draws them, rounded to the dtype; words evenly;
  // advantages from N(0, 1).
  void draw(std::uint64_t seed) override;
  MrSpMemory memory(int rank);
  std::vector<std::span<std::byte>> outputs_of(int rank) override;
  std::vector<harness::Output> outputs() override;
  harness::Check compare(std::uint64_t seed) const override;
  bool compares_all() const override { return true; }
  void refer(std::uint64_t seed) const override;

 private:
  struct Tensor {
    std::vector<double> drawn;
    std::vector<std::byte> stored;
  };
  struct Shard {  // of a rank; empty where another process holds it
    std::vector<std::byte> policy, reference, d_weights;
  };
  struct Result {
    std::vector<double> policy, reference, d_weights;
  };
  template <class Sum>
  Result whole() const;

  MrSpPlan plan_;
  Tensor frames_, responses_, encoder_, policy_, reference_;  // the same on every rank
  std::vector<std::int32_t> words_;
  std::vector<float> advantages_;
  std::vector<Shard> shards_;
  struct Reference {
    Result exact, naive;
  };
  mutable std::shared_ptr<const Reference> expected_;
};

}  // namespace assay::parallelism
