#include "impls/parallelism/sequence/attention_bodies.h"

#include <algorithm>
#include <limits>

namespace assay::parallelism {
namespace {

class HostBodies final : public AttentionBodies {
  void start(substrate::Rank&, std::span<float> acc, std::span<float> lse) const override {
    std::ranges::fill(acc, 0.0F);
    std::ranges::fill(lse, -std::numeric_limits<float>::infinity());
  }
  void attend(substrate::Rank&, const BlockShape& shape, const std::byte* q, Positions q_positions, const std::byte* k,
              const std::byte* v, Positions k_positions, Merge merge, float* acc, float* lse) const override {
    block_forward(shape, q, q_positions, k, v, k_positions, merge, acc, lse);
  }
  void row_delta(substrate::Rank&, const BlockShape& shape, const std::byte* d_out, const std::byte* o,
                 std::int64_t rows, float* delta) const override {
    parallelism::row_delta(shape, d_out, o, rows, delta);
  }
  void attend_backward(substrate::Rank&, const BlockShape& shape, const std::byte* q, Positions q_positions,
                       const std::byte* k, const std::byte* v, Positions k_positions, const std::byte* d_out,
                       const float* lse, const float* delta, float* dq, float* dk, float* dv) const override {
    block_backward(shape, q, q_positions, k, v, k_positions, d_out, lse, delta, dq, dk, dv);
  }
  void store(substrate::Rank&, substrate::DType dtype, const float* from, std::int64_t count,
             std::byte* to) const override {
    parallelism::store(dtype, from, count, to);
  }
};

}  // namespace

const AttentionBodies& host_bodies() {
  static const HostBodies bodies;
  return bodies;
}

}  // namespace assay::parallelism
