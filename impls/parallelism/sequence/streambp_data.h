#pragma once
// Inputs and outputs of StreamBP on every rank, and their comparison with one whole backward pass of the same layers
// and head in float64 (transformer_oracle.h, head_oracle.h).
//
// Rule: err(program, float64) <= 2 err(the same in the program's dtype at once, float64) + 2e-6 of the largest element,
// of z, dx, the loss and the gradient of every weight; err is the largest absolute difference. The loss, one number,
// and the gains, few, are allowed 2^-8 of the largest in bf16. Every element is compared, of the gradients of weights
// on every rank.
#include <memory>
#include <optional>
#include <vector>

#include "impls/parallelism/program_case.h"
#include "impls/parallelism/sequence/streambp.h"

namespace assay::parallelism {

class StreamData : public ProgramData {
 public:
  // Of all ranks, or of `only` that one.
  explicit StreamData(StreamPlan plan, std::optional<int> only = {});

  // x from N(0, 1), weights as decoder_data.h draws them, rounded to the dtype; the next words evenly, a tenth of them
  // not counted.
  void draw(std::uint64_t seed) override;
  StreamMemory memory(int rank);
  std::vector<std::span<std::byte>> outputs_of(int rank) override;
  std::vector<harness::Output> outputs() override;
  harness::Check compare(std::uint64_t seed) const override;
  bool compares_all() const override { return true; }
  void refer(std::uint64_t seed) const override;

 private:
  struct Shard {
    std::vector<std::byte> x, z, dx, d_weights, loss;  // empty where another process holds it
    std::vector<double> drawn;                         // x of every rank, whoever holds it
    std::vector<std::int32_t> next;
  };
  // Of all ranks: z and dx one rank's after the other, gradients summed.
  struct Result {
    std::vector<double> z, dx, d_weights;
    double loss = 0;
  };
  Result whole(bool exact) const;

  StreamPlan plan_;
  std::optional<int> only_;
  std::vector<Shard> shards_;
  std::vector<std::byte> weights_;
  std::vector<double> drawn_weights_;
  std::int64_t counted_ = 1;
  struct Reference {
    Result exact, naive;
  };
  mutable std::shared_ptr<const Reference> reference_;
};

}  // namespace assay::parallelism
