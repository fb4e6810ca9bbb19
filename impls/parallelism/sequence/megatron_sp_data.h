#pragma once
// Inputs and outputs of one transformer layer dealt to ranks, and their comparison with the one-rank float64 oracle.
//
// Rule: err(program, float64) <= 2 err(the layer in the program's dtype on one rank, float64) + 1e-5, err the largest
// absolute difference of a tensor; of z and dx taken apart for every range of positions [0, 64), [64, 192) ... of which
// early ones see few keys. Every element is compared, so that cases are held to layers the oracle can afford.
#include <memory>
#include <optional>
#include <vector>

#include "impls/parallelism/program_case.h"
#include "impls/parallelism/sequence/megatron_sp.h"
#include "impls/parallelism/sequence/transformer_oracle.h"

namespace assay::parallelism {

class MegatronData : public ProgramData {
 public:
  // Of all ranks, or of `only` that one.
  explicit MegatronData(MegatronPlan plan, std::optional<int> only = {});

  // x and dz from N(0, 1), weights from N(0, 1 / rows), rounded to the dtype.
  void draw(std::uint64_t seed) override;
  MegatronMemory memory(int rank);
  std::vector<std::span<std::byte>> outputs_of(int rank) override;
  std::vector<harness::Output> outputs() override;
  harness::Check compare(std::uint64_t seed) const override;
  bool compares_all() const override { return true; }
  void refer(std::uint64_t seed) const override;

 private:
  struct Reference {
    TransformerOutputs exact, naive;
  };
  struct Shard {  // of a rank; empty where another process holds it
    std::vector<std::byte> x, weights, z, dz, dx, d_weights;
  };
  TransformerOutputs gathered() const;

  MegatronPlan plan_;
  std::optional<int> only_;
  std::vector<Shard> shards_;
  TransformerInputs inputs_;
  mutable std::shared_ptr<const Reference> reference_;
};

}  // namespace assay::parallelism
