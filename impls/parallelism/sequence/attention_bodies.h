#pragma once
// What the bodies of a program of sharded attention do with a rank's memory: plain loops where that is the host's
// (attention_block.h), kernels in the rank's stream where it is a device's. The program is the same for both.
#include "impls/parallelism/sequence/attention_block.h"
#include "impls/substrate/fabric/rank.h"

namespace assay::parallelism {

// Layouts as in attention_block.h. Called inside Rank::compute; addresses are those that Buffer gives.
class AttentionBodies {
 public:
  AttentionBodies() = default;
  virtual ~AttentionBodies() = default;
  AttentionBodies(const AttentionBodies&) = delete;
  AttentionBodies& operator=(const AttentionBodies&) = delete;

  // acc = 0, lse = -infinity: attention to nothing.
  virtual void start(substrate::Rank& rank, std::span<float> acc, std::span<float> lse) const = 0;
  // Merges attention of q to one block of keys into (acc, lse).
  virtual void attend(substrate::Rank& rank, const BlockShape& shape, const std::byte* q, Positions q_positions,
                      const std::byte* k, const std::byte* v, Positions k_positions, Merge merge, float* acc,
                      float* lse) const = 0;
  // delta = rowsum(dO * O), O as stored in the dtype.
  virtual void row_delta(substrate::Rank& rank, const BlockShape& shape, const std::byte* d_out, const std::byte* o,
                         std::int64_t rows, float* delta) const = 0;
  // block_backward(): dQ is added to, dK and dV are overwritten.
  virtual void attend_backward(substrate::Rank& rank, const BlockShape& shape, const std::byte* q,
                               Positions q_positions, const std::byte* k, const std::byte* v, Positions k_positions,
                               const std::byte* d_out, const float* lse, const float* delta, float* dq, float* dk,
                               float* dv) const = 0;
  // float32 -> dtype.
  virtual void store(substrate::Rank& rank, substrate::DType dtype, const float* from, std::int64_t count,
                     std::byte* to) const = 0;
};

const AttentionBodies& host_bodies();

}  // namespace assay::parallelism
