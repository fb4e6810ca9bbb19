#pragma once
// Bodies of sharded attention on a rank's GPU: the flash kernels on each pair of runs of positions that lie equally
// far apart, then a merge, or sums of gradients.
#include "impls/parallelism/sequence/attention_bodies.h"

namespace assay::parallelism::cuda {

// bf16, head sizes 64, 128 and 256; partial outputs are float32. The workspace of a block comes from the rank's place
// and is not in the ledger.
class DeviceBodies final : public AttentionBodies {
 public:
  // Without `rescale` partial outputs are added as they are: a mutant. `Merge` is not used: it is a host's function.
  explicit DeviceBodies(bool rescale = true) : rescale_(rescale) {}

  void start(substrate::Rank& rank, std::span<float> acc, std::span<float> lse) const override;
  void attend(substrate::Rank& rank, const BlockShape& shape, const std::byte* q, Positions q_positions,
              const std::byte* k, const std::byte* v, Positions k_positions, Merge merge, float* acc,
              float* lse) const override;
  void row_delta(substrate::Rank& rank, const BlockShape& shape, const std::byte* d_out, const std::byte* o,
                 std::int64_t rows, float* delta) const override;
  void attend_backward(substrate::Rank& rank, const BlockShape& shape, const std::byte* q, Positions q_positions,
                       const std::byte* k, const std::byte* v, Positions k_positions, const std::byte* d_out,
                       const float* lse, const float* delta, float* dq, float* dk, float* dv) const override;
  void store(substrate::Rank& rank, substrate::DType dtype, const float* from, std::int64_t count,
             std::byte* to) const override;

 private:
  bool rescale_;
};

}  // namespace assay::parallelism::cuda
