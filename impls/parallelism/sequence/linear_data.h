#pragma once
// The data of one layer of linear attention over ranks, and its comparison with the one-rank oracle.
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "impls/parallelism/program_case.h"
#include "impls/parallelism/sequence/linear_layer.h"
#include "impls/parallelism/sequence/linear_oracle.h"

namespace assay::parallelism {

class LinearData : public ProgramData {
 public:
  LinearData(LinearPlan plan, std::optional<int> only);

  // Q, K, V and dO from N(0, 1), rounded to the dtype; log decays from U(-0.1, 0).
  void draw(std::uint64_t seed) override;
  LinearMemory memory(int rank);
  std::vector<std::span<std::byte>> outputs_of(int rank) override;
  std::vector<harness::Output> outputs() override;
  // err(program, float64) <= 2 err(recurrence in the program's dtype, float64) + 2e-6 of the largest element, of each
  // tensor; err is the largest absolute difference. Every element is compared: the recurrence costs 14 L d^2 a head.
  harness::Check compare(std::uint64_t seed) const override;
  bool compares_all() const override { return true; }
  void refer(std::uint64_t seed) const override;

 private:
  // A tensor of every rank, in float32 or the dtype; `pair`: two of them one after the other.
  struct Shards {
    std::vector<std::vector<std::byte>> part;
    bool wide = false;
  };
  Shards make(bool wide, int copies) const;
  std::vector<double> gather(const Shards& from, int which) const;

  LinearPlan plan_;
  std::optional<int> only_;
  Shards q_, kv_, log_decay_, o_, d_out_, dq_, d_kv_, d_log_decay_;
  mutable std::shared_ptr<const LinearOracleOutputs> exact_, naive_;
};

}  // namespace assay::parallelism
