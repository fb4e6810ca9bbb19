// The emulator finds what it says it finds, and the kernels' products of tiles are matrix products.
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "impls/attention/cuda/emulator/emulator.h"
#include "impls/attention/cuda/tiles.h"
#include "impls/substrate/dtype.h"
#include "impls/substrate/random.h"

namespace assay::attention::cuda {
namespace {

using emulator::Findings;
using emulator::Region;

Findings run_block(int threads, std::size_t shared_bytes, const std::function<void()>& kernel) {
  std::vector<Region> memory;
  return emulator::run({1, 1, 1, threads, shared_bytes, 0}, memory, kernel);
}

bool reports(const Findings& found, const std::string& part) {
  for (const std::string& fault : found.faults)
    if (fault.find(part) != std::string::npos) return true;
  return false;
}

TEST(CudaEmulator, FindsAReadThatNoBarrierSeparatesFromAWrite) {
  const auto exchange = [](bool with_barrier) {
    return run_block(64, 256, [=] {
      const auto mine = static_cast<std::uint32_t>(thread_index() * 4);
      store_shared(shared_base() + mine, 1.0F);
      if (with_barrier) barrier();
      (void)load_shared_float(shared_base() + (252 - mine));
    });
  };
  EXPECT_EQ(exchange(true).fault_count, 0);
  EXPECT_TRUE(reports(exchange(false), "no barrier between"));
}

TEST(CudaEmulator, AWarpBarrierOrdersAWarpAndNoMore) {
  const auto exchange = [](int distance) {
    return run_block(64, 256, [=] {
      store_shared(shared_base() + static_cast<std::uint32_t>(thread_index() * 4), 1.0F);
      warp_barrier();
      (void)load_shared_float(shared_base() + static_cast<std::uint32_t>((thread_index() ^ distance) * 4));
    });
  };
  EXPECT_EQ(exchange(1).fault_count, 0);
  EXPECT_TRUE(reports(exchange(32), "no barrier between"));
}

TEST(CudaEmulator, FindsAWriteOverWhatOthersStillRead) {
  const Findings found = run_block(64, 256, [] {
    const auto mine = static_cast<std::uint32_t>(thread_index() * 4);
    store_shared(shared_base() + mine, 1.0F);
    barrier();
    (void)load_shared_float(shared_base() + (252 - mine));
    store_shared(shared_base() + mine, 2.0F);
  });
  EXPECT_TRUE(reports(found, "others read"));
}

TEST(CudaEmulator, CopiesLandWhenWaitedForAndNotBefore) {
  alignas(16) float source[128];
  for (int i = 0; i < 128; ++i) source[i] = static_cast<float>(i);
  const auto copy = [&](bool wait) {
    std::vector<Region> memory = {{source, sizeof source, false}};
    bool right = true;
    const Findings found = emulator::run({1, 1, 1, 32, 512, 0}, memory, [&] {
      const std::uint32_t to = shared_base() + static_cast<std::uint32_t>(thread_index() * 16);
      copy_async(to, source + thread_index() * 4, true);
      copy_commit();
      if (wait) copy_wait<0>();
      right = right && load_shared_float(to) == static_cast<float>(thread_index() * 4);
      copy_wait<0>();
    });
    EXPECT_EQ(right, wait);
    return found;
  };
  EXPECT_EQ(copy(true).fault_count, 0);
  EXPECT_TRUE(reports(copy(false), "copy in flight"));
}

TEST(CudaEmulator, FindsAccessesOutOfBounds) {
  EXPECT_TRUE(reports(run_block(32, 128, [] { store_shared(shared_base() + 128, 0.0F); }), "out of bounds"));
  EXPECT_TRUE(reports(run_block(32, 128, [] { store_shared(0U, 0.0F); }), "out of bounds"));
  float inside = 1;
  float outside = 1;
  std::vector<Region> memory = {{&inside, sizeof inside, false}};
  const Findings found = emulator::run({1, 1, 1, 32, 0, 0}, memory, [&] {
    (void)load_global(&inside);
    (void)load_global(&outside);
    store_global(&inside, 2.0F);
  });
  EXPECT_TRUE(reports(found, "reads global memory out of bounds"));
  EXPECT_TRUE(reports(found, "should only read"));
  EXPECT_EQ(inside, 1);
}

TEST(CudaEmulator, FindsThreadsThatWaitForEver) {
  EXPECT_THROW(run_block(64, 0,
                         [] {
                           if (thread_index() != 7) barrier();
                         }),
               std::runtime_error);
}

TEST(CudaEmulator, CountsBankConflictsOfATileThatIsNotSwizzled) {
  const Findings found = run_block(32, 16 * 128, [] {
    for (int i = 0; i < 16; ++i)
      store_shared(shared_base() + static_cast<std::uint32_t>(i * 128 + thread_index() * 4), 0.0F);
    warp_barrier();
    std::uint32_t r[4];
    // 16 rows of 128 bytes, all at the same banks: each of the four passes of eight rows takes eight.
    load_matrices(r, shared_base() + static_cast<std::uint32_t>(by_rows_row(thread_index()) * 128 +
                                                                by_rows_chunk(thread_index()) * 16));
  });
  EXPECT_EQ(found.fault_count, 0) << (found.faults.empty() ? "" : found.faults.front());
  EXPECT_EQ(found.bank_conflicts, 4 * 7);
}

// A warp's product of two random tiles, in whichever way `multiply` does it, against plain loops.
struct Tiles {
  static constexpr int kDepth = 64;
  std::vector<std::uint16_t> a, b;  // A [16 x 64] and B [64 x 64], in rows as stored
  std::vector<float> got = std::vector<float>(16 * 64);

  Tiles(int a_rows, int a_columns) : a(static_cast<std::size_t>(a_rows * a_columns)), b(64 * 64) {
    substrate::Random random(9);
    for (auto& x : a) x = substrate::to_bf16(static_cast<float>(random.normal())).bits;
    for (auto& x : b) x = substrate::to_bf16(static_cast<float>(random.normal())).bits;
  }
  static float value(std::uint16_t bits) { return substrate::to_float(substrate::BFloat16{bits}); }
  void keep(const float (&c)[1][8][4]) {
    for (int j = 0; j < 8; ++j)
      for (int i = 0; i < 4; ++i)
        got[static_cast<std::size_t>(accumulator_row(thread_index(), i) * 64 + j * 8 +
                                     accumulator_column(thread_index(), i))] = c[0][j][i];
  }
  template <class A, class B>
  void expect(const A& left, const B& right) const {
    for (int row = 0; row < 16; ++row) {
      for (int column = 0; column < 64; ++column) {
        double sum = 0;
        for (int k = 0; k < kDepth; ++k)
          sum += static_cast<double>(left(row, k)) * static_cast<double>(right(k, column));
        ASSERT_NEAR(got[static_cast<std::size_t>(row * 64 + column)], sum, 1e-4) << row << "," << column;
      }
    }
  }
  // Copies both tiles, then calls multiply(c, address of A, address of B, lane).
  template <int kRowsOfA, class Multiply>
  void run(const Multiply& multiply) {
    std::vector<Region> memory = {{a.data(), a.size() * 2, false}, {b.data(), b.size() * 2, false}};
    const Findings found = emulator::run({1, 1, 1, 32, (kRowsOfA + 64) * 128, 3}, memory, [&] {
      const std::uint32_t a_tile = shared_base();
      const std::uint32_t b_tile = a_tile + kRowsOfA * 128;
      copy_tile<kRowsOfA, 64, 32>(a_tile, a.data(), 64, kRowsOfA, thread_index());
      copy_tile<64, 64, 32>(b_tile, b.data(), 64, 64, thread_index());
      copy_commit();
      copy_wait<0>();
      barrier();
      float c[1][8][4];
      clear(c);
      multiply(c, a_tile, b_tile, thread_index());
      keep(c);
    });
    EXPECT_EQ(found.fault_count, 0) << (found.faults.empty() ? "" : found.faults.front());
    EXPECT_EQ(found.bank_conflicts, 0);
  }
  float a_at(int row, int column) const { return value(a[static_cast<std::size_t>(row * 64 + column)]); }
  float b_at(int row, int column) const { return value(b[static_cast<std::size_t>(row * 64 + column)]); }
};

TEST(CudaTiles, RowsTimesRowsIsAProductWithTheTranspose) {
  Tiles tiles(16, 64);
  tiles.run<16>(
      [](auto& c, std::uint32_t a, std::uint32_t b, int lane) { multiply_rows<Bf16, 64>(c, a, 0, b, 0, lane); });
  tiles.expect([&](int i, int k) { return tiles.a_at(i, k); }, [&](int k, int j) { return tiles.b_at(j, k); });
}

TEST(CudaTiles, StoredTimesStoredIsAProduct) {
  Tiles tiles(16, 64);
  tiles.run<16>(
      [](auto& c, std::uint32_t a, std::uint32_t b, int lane) { multiply_stored<Bf16, 64, 64>(c, a, 0, b, 0, lane); });
  tiles.expect([&](int i, int k) { return tiles.a_at(i, k); }, [&](int k, int j) { return tiles.b_at(k, j); });
}

TEST(CudaTiles, TurnedTimesStoredIsAProductOfTheTranspose) {
  for (const int first : {0, 16, 48}) {
    Tiles tiles(64, 64);
    tiles.run<64>([=](auto& c, std::uint32_t a, std::uint32_t b, int lane) {
      multiply_turned<Bf16, 64, 64>(c, a, first, b, 0, lane);
    });
    tiles.expect([&](int i, int k) { return tiles.a_at(k, first + i); },
                 [&](int k, int j) { return tiles.b_at(k, j); });
  }
}

TEST(CudaTiles, AnAccumulatorIsTheLeftSideOfTheNextProduct) {
  Tiles tiles(16, 64);
  tiles.run<16>([&](auto& c, std::uint32_t, std::uint32_t b, int lane) {
    float p[1][8][4];
    for (int j = 0; j < 8; ++j)
      for (int i = 0; i < 4; ++i)
        p[0][j][i] = tiles.a_at(accumulator_row(lane, i), j * 8 + accumulator_column(lane, i));
    std::uint32_t left[1][4][4];
    round_to_left<Bf16>(left, p);
    multiply_registers<Bf16, 64>(c, left, b, 0, lane);
  });
  tiles.expect([&](int i, int k) { return tiles.a_at(i, k); }, [&](int k, int j) { return tiles.b_at(k, j); });
}

TEST(Float16, EveryValueSurvivesTheWayThroughFloat) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const substrate::Float16 half{static_cast<std::uint16_t>(bits)};
    const float value = substrate::to_float(half);
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(substrate::to_float(substrate::to_f16(value))));
    } else {
      EXPECT_EQ(substrate::to_f16(value), half) << bits;
    }
  }
}

TEST(Float16, RoundsToNearestAndTiesToEven) {
  const auto rounded = [](float x) { return substrate::to_float(substrate::to_f16(x)); };
  EXPECT_EQ(rounded(1.0F + 0x1p-11F), 1.0F);
  EXPECT_EQ(rounded(1.0F + 0x3p-11F), 1.0F + 0x1p-9F);
  EXPECT_EQ(rounded(1.0F + 0x1.02p-11F), 1.0F + 0x1p-10F);
  EXPECT_EQ(rounded(65519.0F), 65504.0F);
  EXPECT_EQ(rounded(65520.0F), INFINITY);
  EXPECT_EQ(rounded(0x1p-25F), 0.0F);
  EXPECT_EQ(rounded(0x1.02p-25F), 0x1p-24F);
  EXPECT_EQ(rounded(-0x3p-25F), -0x1p-23F);
}

}  // namespace
}  // namespace assay::attention::cuda
