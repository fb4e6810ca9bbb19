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
