// The formulas of work and traffic, against counting one by one; and the oracle against values known by hand.
#include "impls/attention/problem.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "impls/attention/gradients.h"
#include "impls/attention/oracle.h"
#include "impls/attention/tiles.h"

namespace assay::attention {
namespace {

TEST(Problem, CountsTheUnmaskedPairs) {
  for (const auto& [queries, keys] : {std::pair{1, 1}, {7, 7}, {5, 12}, {12, 5}, {40, 1}}) {
    for (const bool causal : {false, true}) {
      const Problem p = aligned(
          {.batch = 3, .queries = queries, .keys = keys, .heads = 4, .kv_heads = 2, .head_dim = 8, .causal = causal});
      double pairs = 0;
      for (int i = 0; i < queries; ++i) {
        for (int j = 0; j < keys; ++j) pairs += !causal || j <= i + (keys - queries);
      }
      EXPECT_EQ(static_cast<double>(p.pairs()), pairs) << queries << "x" << keys;
      EXPECT_EQ(p.flops(), 2.0 * pairs * (8 + 8) * 4 * 3);
      EXPECT_EQ(p.exps(), 1.0 * pairs * 4 * 3);
    }
  }
}

TEST(Problem, CausalSquareIsTheTextbookHalf) {
  const Problem p =
      aligned({.queries = 1000, .keys = 1000, .heads = 1, .kv_heads = 1, .head_dim = 128, .causal = true});
  EXPECT_EQ(p.flops(), 2.0 * (1000.0 * 1001 / 2) * 256);
}

TEST(Problem, CountsEveryTensorOnce) {
  const Problem p =
      aligned({.batch = 2, .queries = 10, .keys = 20, .heads = 6, .kv_heads = 3, .head_dim = 16, .dtype = DType::bf16});
  const double q = 2 * 6 * 10 * 16, k = 2 * 3 * 20 * 16;
  EXPECT_EQ(p.least_bytes(), 2 * (q + k + k + q) + 4 * (2 * 6 * 10));
}

TEST(Shape, IssuedFlopsAreThoseOfTheTilesTheKernelsWalk) {
  const Execution execution{.isa = Isa::portable};
  for (const auto& [queries, keys] : {std::pair{100, 100}, {33, 200}, {200, 33}}) {
    const Problem p = aligned({.queries = queries, .keys = keys, .head_dim = 20, .dtype = DType::f32, .causal = true});
    const auto& kernels = kernels_for(p, execution);
    const Shape shape(p, kernels, 64);
    // The last row of a tile decides how many keys, in multiples of 8, all its 32 rows take.
    double scores = 0;
    for (int first = 0; first < queries; first += 32) {
      const int last = std::min(first + 31, queries - 1);
      int seen = 0;
      for (int j = 0; j < keys; ++j) seen += j <= last + (keys - queries);
      const int rounded = (seen + 7) / 8 * 8;
      scores += 32.0 * rounded;
    }
    EXPECT_EQ(issued_flops(p, shape), 2 * scores * (20 + 24));  // d padded to 24 rows of O^T
    EXPECT_GE(issued_flops(p, shape), p.flops());
  }
}

TEST(Oracle, OneKeyGivesItsValueAndItsLogit) {
  const Problem p = aligned({.queries = 1, .keys = 1, .heads = 1, .kv_heads = 1, .head_dim = 4, .dtype = DType::f32});
  Storage storage(p);
  const Tensors& t = storage.tensors();
  for (int c = 0; c < 4; ++c) {
    t.q.store(0, 0, 0, c, 1.0F);
    t.k.store(0, 0, 0, c, 3.0F);
    t.v.store(0, 0, 0, c, static_cast<float>(c));
  }
  const ExactRow row = exact_row(p, t, 0, 0, 0);
  EXPECT_EQ(row.o, (std::vector<double>{0, 1, 2, 3}));
  EXPECT_DOUBLE_EQ(row.lse, 12.0 * 0.5);  // q . k / sqrt(4)
}

TEST(Oracle, EqualLogitsAverage) {
  const Problem p =
      aligned({.queries = 2, .keys = 3, .heads = 1, .kv_heads = 1, .head_dim = 1, .dtype = DType::f32, .causal = true});
  Storage storage(p);
  const Tensors& t = storage.tensors();
  for (int j = 0; j < 3; ++j) t.v.store(0, 0, j, 0, static_cast<float>(j + 1));
  EXPECT_DOUBLE_EQ(exact_row(p, t, 0, 0, 0).o[0], 1.5);  // sees keys 0 and 1
  EXPECT_DOUBLE_EQ(exact_row(p, t, 0, 0, 1).o[0], 2.0);
  EXPECT_DOUBLE_EQ(exact_row(p, t, 0, 0, 1).lse, std::log(3.0));
}

TEST(Oracle, RowsBeforeEveryKeyAreEmpty) {
  const Problem p = aligned({.queries = 3, .keys = 1, .heads = 1, .kv_heads = 1, .head_dim = 2, .causal = true});
  Storage storage(p);
  EXPECT_EQ(exact_row(p, storage.tensors(), 0, 0, 1).o, (std::vector<double>{0, 0}));
  EXPECT_EQ(exact_row(p, storage.tensors(), 0, 0, 1).lse, -std::numeric_limits<double>::infinity());
}

TEST(Oracle, ANaNAnywhereFails) {
  const Problem p = aligned({.queries = 5, .keys = 5, .heads = 1, .kv_heads = 1, .head_dim = 4, .dtype = DType::f32});
  Storage storage(p);
  const Tensors& t = storage.tensors();
  draw_inputs(p, InputLaw::normal, 1, t);
  const Reference reference(p, t, 1);
  for (int row = 0; row < 5; ++row) {
    const ExactRow exact = exact_row(p, t, 0, 0, row);
    for (int c = 0; c < 4; ++c) t.o.store(0, 0, row, c, static_cast<float>(exact.o[static_cast<std::size_t>(c)]));
    t.lse_at(p, 0, 0, row) = static_cast<float>(exact.lse);
  }
  EXPECT_LE(reference.compare(t).error, 1);
  t.o.store(0, 0, 3, 2, std::numeric_limits<float>::quiet_NaN());
  EXPECT_GT(reference.compare(t).error, 1);
}

// Inputs and oracles are made on all CPUs; a result that depended on their number could not be made again.
TEST(Oracle, IsTheSameOnOneCpuAndOnAll) {
  const Problem p = aligned({.batch = 2, .queries = 33, .keys = 50, .heads = 4, .kv_heads = 2, .head_dim = 12});
  cpu_set_t all;
  ASSERT_EQ(sched_getaffinity(0, sizeof all, &all), 0);
  const auto found_on = [&](const cpu_set_t& cpus) {
    sched_setaffinity(0, sizeof cpus, &cpus);
    Storage storage(p), gradients(p);
    const Tensors& t = storage.tensors();
    const Tensors& g = gradients.tensors();
    draw_inputs(p, InputLaw::outlier, 3, t);
    draw_tensor(g.o, p.batch, p.heads, p.queries, p.head_dim, InputLaw::normal, 4);
    std::string found(reinterpret_cast<const char*>(t.k.data), 64);
    found += Reference(p, t, 5).compare(t).detail;
    found += GradientReference(p, t, g.o, 6).compare({.d_o = g.o, .d_q = g.q, .d_k = g.k, .d_v = g.v}).detail;
    sched_setaffinity(0, sizeof all, &all);
    return found;
  };
  cpu_set_t one;
  CPU_ZERO(&one);
  for (std::size_t cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; ++cpu)
    if (CPU_ISSET(cpu, &all)) CPU_SET(cpu, &one);
  EXPECT_EQ(found_on(one), found_on(all));
}

TEST(Oracle, SampledRowsHoldBothEndsAndTileEdges) {
  const Problem p = aligned({.queries = 8192, .keys = 8192, .heads = 1, .kv_heads = 1, .head_dim = 128});
  const std::vector<int> rows = checked_rows(p, 5);
  EXPECT_GE(rows.size(), 64U);
  for (const int row : {0, 31, 32, 127, 128, 4095, 4096, 8191})
    EXPECT_TRUE(std::binary_search(rows.begin(), rows.end(), row)) << row;
  EXPECT_NE(rows, checked_rows(p, 6)) << "the seed draws the others";
}

}  // namespace
}  // namespace assay::attention
