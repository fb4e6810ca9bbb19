#include "impls/parallelism/sequence/ring_attention.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "impls/parallelism/sequence/ring_attention_claims.h"
#include "impls/parallelism/sequence/sequence_case.h"
#include "impls/substrate/fabric/threads.h"
#include "tests/impls/parallelism/one_node_for_tests.h"

namespace assay::parallelism {
namespace {

using substrate::DType;
using substrate::Rank;
using substrate::RunReport;
using substrate::ThreadsFabric;

RunReport run_virtual(const RingPlan& plan) {
  return run_on_one_node(plan.problem.ranks, [&](Rank& rank) { return ring_attention_layer(rank, plan, {}); });
}

RunReport run_real(const RingPlan& plan, SequenceData& data) {
  ThreadsFabric fabric(plan.problem.ranks);
  return fabric.run([&](Rank& rank) { return ring_attention_layer(rank, plan, data.memory(rank.id())); });
}

struct Shape {
  const char* name;
  SequenceProblem problem;
};
std::ostream& operator<<(std::ostream& out, const Shape& shape) { return out << shape.name; }

SequenceProblem with(std::int64_t length, int ranks, DType dtype, bool causal, int heads = 2, int kv_heads = 2,
                     Layout layout = Layout::contiguous) {
  return {.length = length,
          .ranks = ranks,
          .batch = 2,
          .heads = heads,
          .kv_heads = kv_heads,
          .head_dim = 16,
          .dtype = dtype,
          .causal = causal,
          .backward = true,
          .layout = layout};
}

class RingAttention : public ::testing::TestWithParam<Shape> {};

TEST_P(RingAttention, SendsWhatTheFormulasSay) {
  const SequenceProblem& p = GetParam().problem;
  const RingPlan plan(p);
  const RunReport run = run_virtual(plan);
  const std::int64_t element = size_of(p.dtype);
  for (int r = 0; r < p.ranks; ++r) {
    // Forward and backward each pass on P-1 blocks of K, V: all but the one that comes from the right neighbour. dK and
    // dV of every block pass once through every rank; a rank alone keeps its own.
    std::int64_t kv = 0, gradients = 0;
    for (int hop = 0; hop < p.ranks; ++hop) {
      const std::int64_t elements =
          2 * plan.layout.tokens((r - hop + p.ranks) % p.ranks) * p.batch * p.kv_heads * p.head_dim;
      if (hop + 1 < p.ranks) kv += 2 * elements * element;
      if (p.ranks > 1) gradients += elements * 4;
    }
    const auto& report = run.ranks[static_cast<std::size_t>(r)];
    EXPECT_EQ(report.bytes_sent(), kv + gradients);
    EXPECT_EQ(report.messages_sent(), 2 * (p.ranks - 1) + (p.ranks > 1 ? p.ranks : 0));
  }
  if (p.length % p.ranks == 0 && p.layout == Layout::contiguous && p.ranks > 1) {
    const std::int64_t c = p.length / p.ranks * p.batch;
    EXPECT_EQ(run.ranks[0].bytes_sent(), 2 * (p.ranks - 1) * 2 * c * p.kv_heads * p.head_dim * element +
                                             p.ranks * 2 * c * p.kv_heads * p.head_dim * 4);
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, RingAttention,
                         ::testing::Values(Shape{"one_rank", with(40, 1, DType::f32, true)},
                                           Shape{"two_ranks", with(64, 2, DType::f32, true)},
                                           Shape{"three_ranks_full", with(96, 3, DType::f32, false)},
                                           Shape{"four_ranks_bf16", with(128, 4, DType::bf16, true)},
                                           Shape{"eight_ranks", with(160, 8, DType::f32, true)},
                                           Shape{"eight_ranks_full_bf16", with(160, 8, DType::bf16, false)},
                                           Shape{"uneven_three", with(100, 3, DType::f32, true)},
                                           Shape{"uneven_eight_gqa", with(131, 8, DType::f32, true, 6, 2)},
                                           Shape{"one_token_a_rank", with(4, 4, DType::f32, true)},
                                           Shape{"gqa_bf16_full", with(75, 4, DType::bf16, false, 8, 1)},
                                           Shape{"zigzag_uneven", with(101, 3, DType::f32, true, 4, 2, Layout::zigzag)},
                                           Shape{"zigzag_bf16", with(128, 4, DType::bf16, true, 2, 2, Layout::zigzag)}),
                         [](const auto& shape) { return std::string(shape.param.name); });

TEST(RingAttentionPlan, TheResultDoesNotDependOnTheNumberOfRanks) {
  std::vector<std::vector<float>> outputs;
  for (const int ranks : {1, 2, 4, 8}) {
    const RingPlan plan(with(64, ranks, DType::f32, true));
    // One set of values for every split: the value of an element follows from its place in the sequence.
    std::vector<std::vector<float>> q, kv, o, lse, d_out, dq, d_kv;
    const auto value = [](std::int64_t token, std::int64_t x, int salt) {
      return static_cast<float>(std::sin(0.37 * static_cast<double>(token) + 1.3 * static_cast<double>(x) + salt));
    };
    const auto width = static_cast<std::int64_t>(2 * 16);
    for (int r = 0; r < ranks; ++r) {
      const auto positions = plan.layout.positions(r);
      auto& mine = q.emplace_back();
      auto& gradient = d_out.emplace_back();
      auto& keys = kv.emplace_back();
      for (int b = 0; b < 2; ++b)
        for (const std::int64_t t : positions)
          for (std::int64_t x = 0; x < width; ++x) {
            mine.push_back(value(t, x, b));
            gradient.push_back(value(t, x, b + 10));
          }
      for (int half = 0; half < 2; ++half)
        for (int b = 0; b < 2; ++b)
          for (const std::int64_t t : positions)
            for (std::int64_t x = 0; x < width; ++x) keys.push_back(value(t, x, b + 20 + half));
      o.emplace_back(mine.size());
      dq.emplace_back(mine.size());
      d_kv.emplace_back(keys.size());
      lse.emplace_back(mine.size());
    }
    const auto bytes = [](std::vector<float>& v) { return reinterpret_cast<std::byte*>(v.data()); };
    ThreadsFabric fabric(ranks);
    fabric.run([&](Rank& rank) {
      const auto r = static_cast<std::size_t>(rank.id());
      return ring_attention_layer(
          rank, plan,
          {bytes(q[r]), bytes(kv[r]), bytes(o[r]), bytes(lse[r]), bytes(d_out[r]), bytes(dq[r]), bytes(d_kv[r])});
    });
    std::vector<float> all(64 * 2 * 32 * 2);
    for (int r = 0; r < ranks; ++r) {
      const auto positions = plan.layout.positions(r);
      const auto tokens = static_cast<std::int64_t>(positions.size());
      for (int b = 0; b < 2; ++b)
        for (std::int64_t slot = 0; slot < tokens; ++slot)
          for (std::int64_t x = 0; x < width; ++x) {
            const auto from = static_cast<std::size_t>((b * tokens + slot) * width + x);
            const auto to =
                static_cast<std::size_t>(((b * 64 + positions[static_cast<std::size_t>(slot)]) * width + x) * 2);
            all[to] = o[static_cast<std::size_t>(r)][from];
            all[to + 1] = dq[static_cast<std::size_t>(r)][from];
          }
    }
    outputs.push_back(all);
  }
  for (std::size_t i = 1; i < outputs.size(); ++i)
    for (std::size_t x = 0; x < outputs[0].size(); ++x)
      ASSERT_NEAR(outputs[i][x], outputs[0][x], 2e-5) << i << " " << x;
}

TEST(RingAttentionPlan, GroupedHeadsShrinkTheMessagesByTheGroup) {
  const RunReport many = run_virtual(RingPlan(with(64, 4, DType::bf16, true, 8, 8)));
  const RunReport few = run_virtual(RingPlan(with(64, 4, DType::bf16, true, 8, 2)));
  EXPECT_EQ(many.ranks[1].bytes_sent(), 4 * few.ranks[1].bytes_sent());
}

TEST(RingAttentionPlan, PairsAreThoseOfTheMask) {
  for (const Layout kind : {Layout::contiguous, Layout::zigzag, Layout::striped})
    for (const int members : {1, 2, 3}) {
      const SequenceLayout layout(kind, 53, 6, members);
      for (int a = 0; a < 6; ++a)
        for (int b = 0; b < 6; ++b) {
          std::int64_t seen = 0;
          for (const auto q : layout.positions(a))
            for (const auto k : layout.positions(b)) seen += k <= q ? 1 : 0;
          EXPECT_EQ(layout.pairs(a, b, true), seen) << a << " " << b << " of members " << members;
        }
    }
}

TEST(SequenceLayouts, EveryTokenIsOnOneRank) {
  for (const Layout kind : {Layout::contiguous, Layout::zigzag, Layout::striped})
    for (const int members : {1, 2, 4}) {
      const SequenceLayout layout(kind, 67, 8, members);
      std::vector<int> held(67);
      for (int r = 0; r < 8; ++r) {
        const auto positions = layout.positions(r);
        EXPECT_EQ(static_cast<std::int64_t>(positions.size()), layout.tokens(r));
        for (const auto position : positions) ++held[static_cast<std::size_t>(position)];
      }
      EXPECT_EQ(held, std::vector<int>(67, 1));
    }
}

TEST(SequenceLayouts, ZigzagGivesEveryStepTheSameWorkAndStripedToOneDiagonal) {
  const SequenceLayout zigzag(Layout::zigzag, 160, 8), striped(Layout::striped, 160, 8);
  for (int rank = 0; rank < 8; ++rank)
    for (int source = 0; source < 8; ++source) {
      if (rank != source) EXPECT_EQ(zigzag.pairs(rank, source, true), 2 * 10 * 10);
      EXPECT_EQ(striped.pairs(rank, source, true), source <= rank ? 20 * 21 / 2 : 20 * 19 / 2);
    }
}

TEST(RingAttentionPlan, BlockMemoryDoesNotGrowWithTheSequence) {
  SequenceProblem problem = with(64, 2, DType::f32, false);
  problem.backward = false;
  const std::int64_t short_peak = run_virtual(RingPlan(problem)).memory_peak();
  problem.length = 64 * 16;
  problem.ranks = 32;
  EXPECT_EQ(run_virtual(RingPlan(problem)).memory_peak(), short_peak);
}

TEST(RingAttentionGate, WrongRingsAreRejected) {
  const RingPlan plan(with(128, 4, DType::f32, true));
  SequenceData data(plan);
  data.draw(5);
  RingPlan skipped = plan;
  --skipped.hops;
  run_real(skipped, data);
  EXPECT_GT(data.compare(1).error, 1);

  RingPlan unscaled = plan;
  unscaled.merge = [](float* acc, float& acc_lse, const float* o, float lse, int d) {
    for (int x = 0; x < d; ++x) acc[x] += o[x];
    acc_lse = std::max(acc_lse, lse);
  };
  run_real(unscaled, data);
  EXPECT_GT(data.compare(1).error, 1);

  run_real(plan, data);
  EXPECT_LE(data.compare(1).error, 1);
  data.draw(6);  // the outputs are now those of other inputs
  EXPECT_GT(data.compare(1).error, 1);
}

TEST(RingAttentionProjection, CausalZigzagBeatsContiguous) {
  SequenceProblem problem = with(1 << 15, 8, DType::bf16, true, 32, 32);
  problem.head_dim = 128;
  const auto contiguous = run_virtual(RingPlan(problem)).makespan();
  problem.layout = Layout::zigzag;
  const auto zigzag = run_virtual(RingPlan(problem)).makespan();
  // (2P - 1) / P at P = 8, where compute hides the ring.
  EXPECT_NEAR(static_cast<double>(contiguous) / static_cast<double>(zigzag), 15.0 / 8, 0.05);
}

harness::claims::Setting threshold(const char* claim, double peak, double link) {
  harness::claims::Setting setting;
  setting.technique = "parallelism/sequence/ring-attention";
  setting.claim = claim;
  setting.axes.set("peak_flops", peak);
  setting.axes.set("link_bandwidth", link);
  return setting;
}

TEST(RingAttentionProjection, TheSmallestHiddenBlockIsWhereComputeMeetsTheLink) {
  // 4 c^2 h / F = 4 c h / Bw at c = F / Bw for two-byte elements and as many key as query heads.
  const struct {
    double peak, link;
  } machines[] = {{312e12, 300e9}, {312e12, 12.5e9}, {123e12, 112e9}};
  for (const auto& machine : machines) {
    const auto block = project_ring_attention(threshold("min-block-x", machine.peak, machine.link), "count");
    const auto sequence = project_ring_attention(threshold("min-seq-x", machine.peak, machine.link), "count");
    ASSERT_TRUE(block && sequence);
    EXPECT_NEAR(block->value, machine.peak / machine.link, 1);
    EXPECT_EQ(sequence->value, 6 * block->value);
  }
}

TEST(RingAttentionProjection, SharedKeyHeadsLowerTheThreshold) {
  auto setting = threshold("min-block-x", 312e12, 300e9);
  setting.model.emplace();
  setting.model->numbers = {{"heads", 32}, {"kv_heads", 8}, {"head_dim", 128}};
  EXPECT_NEAR(project_ring_attention(setting, "count")->value, 312e12 / 300e9 / 4, 1);
}

TEST(RingAttentionProjection, WhatIsNotMappedHasNoValue) {
  EXPECT_FALSE(project_ring_attention(threshold("min-block-x", 1e12, 1e9), "power"));
  EXPECT_FALSE(project_ring_attention(threshold("another", 1e12, 1e9), "count"));
}

}  // namespace
}  // namespace assay::parallelism
