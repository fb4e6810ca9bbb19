// LASP-2H beyond what every technique over ranks promises.
#include "impls/parallelism/sequence/lasp_2h.h"

#include <gtest/gtest.h>

#include "impls/parallelism/sequence/cp_balance.h"
#include "impls/parallelism/sequence/linear_layer.h"

namespace assay::parallelism {
namespace {

using substrate::RunReport;

SequenceProblem problem(std::int64_t length, bool backward) {
  return {.length = length,
          .ranks = 8,
          .batch = 2,
          .heads = 4,
          .kv_heads = 4,
          .head_dim = 16,
          .dtype = substrate::DType::bf16,
          .causal = true,
          .backward = backward};
}

TEST(Lasp2h, GathersOnceALayerAndPass) {
  const std::int64_t others = 7;
  for (const bool backward : {false, true}) {
    const SequenceProblem p = problem(256, backward);
    const std::int64_t passes = backward ? 2 : 1;
    const std::int64_t state = std::int64_t{p.batch} * p.heads * p.head_dim * p.head_dim * 4;
    const std::int64_t keys = 2 * (p.length / p.ranks) * p.batch * p.kv_heads * p.head_dim;
    const HybridLayers layers{.count = 8, .softmax_every = 4};
    const RunReport run = count_program(hybrid_program(p, layers), p.ranks);
    // Six linear layers, two standard ones, whose gradients are reduced and scattered in float32.
    const std::int64_t bytes = passes * others * (6 * state + 2 * keys * 2) + (backward ? 2 * others * keys * 4 : 0);
    EXPECT_EQ(run.ranks[3].bytes_sent(), bytes);
    EXPECT_EQ(run.ranks[3].messages_sent(), passes * others * 8 + (backward ? 2 * others : 0));
  }
}

TEST(Lasp2h, OnlyStandardLayersSendMoreWithTheLength) {
  const auto bytes = [](std::int64_t length, const HybridLayers& layers) {
    return count_program(hybrid_program(problem(length, false), layers), 8).ranks[0].bytes_sent();
  };
  const HybridLayers hybrid{.count = 4, .softmax_every = 4}, standard{.count = 1, .softmax_every = 1};
  EXPECT_EQ(bytes(2048, hybrid) - bytes(1024, hybrid), bytes(2048, standard) - bytes(1024, standard));
  EXPECT_EQ(bytes(2048, standard), 2 * bytes(1024, standard));
}

TEST(Lasp2h, HoldsWhatTheBackwardPassOfEveryLayerNeeds) {
  const auto peak = [](int layers, bool backward) {
    return count_program(hybrid_program(problem(1024, backward), {.count = layers, .softmax_every = 2}), 8)
        .memory_peak();
  };
  EXPECT_EQ(peak(4, false), peak(2, false)) << "a layer after the other, nothing is kept";
  EXPECT_GT(peak(4, true), peak(2, true));
}

}  // namespace
}  // namespace assay::parallelism
