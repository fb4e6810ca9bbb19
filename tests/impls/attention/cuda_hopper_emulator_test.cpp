// The emulator's part for sm_90a does what the PTX manual says of copies, phases and products, and finds what it says
// it finds.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "impls/attention/cuda/emulator/hopper.h"
#include "impls/attention/cuda/hopper.h"
#include "impls/substrate/dtype.h"
#include "impls/substrate/random.h"

namespace assay::attention::cuda {
namespace {

using emulator::Findings;
using emulator::Region;

std::string faults_of(const Findings& found) {
  std::string out;
  for (const std::string& fault : found.faults) out += fault + "\n";
  return out;
}

Findings run_block(int threads, std::size_t shared_bytes, std::vector<Region> memory,
                   const std::function<void()>& kernel, std::uint64_t order = 0) {
  return emulator::run({1, 1, 1, threads, shared_bytes, order}, memory, kernel);
}
Findings run_block(int threads, std::size_t shared_bytes, const std::function<void()>& kernel) {
  return run_block(threads, shared_bytes, {}, kernel);
}

// Elements of [batch, heads, rows, columns], random, 16-byte aligned.
struct Tensor {
  int batch, heads, rows, columns;
  std::vector<Words4> words;

  Tensor(int b, int h, int r, int c, std::uint64_t seed)
      : batch(b), heads(h), rows(r), columns(c), words(static_cast<std::size_t>(b * h * r * c / 8)) {
    substrate::Random random(seed);
    for (Words4& four : words)
      for (std::uint32_t& word : four.word)
        word = pack<Bf16>(static_cast<float>(random.normal()), static_cast<float>(random.normal()));
  }
  Matrix matrix() {
    const std::int64_t head = static_cast<std::int64_t>(rows) * columns;
    return {words.data(), head * heads, head, columns};
  }
  float at(int row, int column) { return unpack<Bf16>(*(matrix().at(0, 0, row) + column)); }
  TensorMap map(int box_rows) { return emulator::encode_tiled(tiled(matrix(), batch, heads, rows, columns, box_rows)); }
  Region region(bool writable = false) { return {words.data(), words.size() * 16, writable}; }
};

constexpr std::uint32_t kBarrier = 64 << 10;  // from the base: one phase barrier behind 64 KiB of tiles
constexpr std::size_t kShared = kBarrier + 64;

// Starts a phase barrier for one arrival, then meets the other threads.
std::uint32_t ready_barrier() {
  const std::uint32_t at = shared_base() + kBarrier;
  if (thread_index() == 0) {
    start_phase_barrier(at, 1);
    publish_phase_barriers();
  }
  barrier();
  return at;
}

TEST(CudaHopperEmulator, ABoxLandsSwizzledByPanelsAndZerosStandForRowsBeyondTheTensor) {
  Tensor tensor(2, 3, 20, 128, 1);
  const TensorMap map = tensor.map(16);
  const Findings found = run_block(32, kShared, {tensor.region()}, [&] {
    const std::uint32_t at = ready_barrier();
    if (thread_index() == 0) {
      arrive_expecting(at, 16 * 128 * 2);
      load_box(shared_base(), map, 8, 2, 1, at);
    }
    wait_phase(at, 0);
    for (int row = 0; row < 16; ++row) {
      for (int chunk = 0; chunk < 16; ++chunk) {
        const Words4 got =
            load_shared_words(shared_base() + static_cast<std::uint32_t>(chunk / 8 * 16) * kPanelRowBytes +
                              swizzled<kPanelColumns>(row, chunk % 8));
        Words4 expected{};
        if (row + 8 < 20) std::memcpy(expected.word, tensor.matrix().at(1, 2, row + 8) + chunk * 8, 16);
        for (int i = 0; i < 4; ++i) EXPECT_EQ(got.word[i], expected.word[i]) << row << " " << chunk;
      }
    }
  });
  EXPECT_EQ(found.fault_count, 0) << faults_of(found);
  EXPECT_EQ(found.copied_bytes, 12 * 128 * 2);
}

TEST(CudaHopperEmulator, ABoxOfAnyPanelIsSwizzledByTheAddressesItLandsAt) {
  Tensor tensor(1, 1, 20, 128, 1);
  TiledTensor panels = tiled(tensor.matrix(), 1, 1, 20, 128, 4);
  panels.box[2] = 1;
  const TensorMap map = emulator::encode_tiled(panels);
  constexpr int kFirst = 3;  // row of the pattern
  const Findings found = run_block(32, kShared, {tensor.region()}, [&] {
    const std::uint32_t at = ready_barrier();
    if (thread_index() == 0) {
      arrive_expecting(at, 4 * kPanelRowBytes);
      load_box(shared_base() + kFirst * kPanelRowBytes, map, 9, 0, 0, at, 1);
    }
    wait_phase(at, 0);
    for (int row = 0; row < 4; ++row) {
      for (int chunk = 0; chunk < 8; ++chunk) {
        const Words4 got = load_shared_words(shared_base() + swizzled<kPanelColumns>(kFirst + row, chunk));
        EXPECT_EQ(std::memcmp(got.word, tensor.matrix().at(0, 0, 9 + row) + 64 + chunk * 8, 16), 0) << row << chunk;
      }
    }
  });
  EXPECT_EQ(found.fault_count, 0) << faults_of(found);
  EXPECT_GT(run_block(32, kShared, {tensor.region()},
                      [&] {
                        const std::uint32_t at = ready_barrier();
                        if (thread_index() == 0) load_box(shared_base() + 64, map, 0, 0, 0, at);
                      })
                .fault_count,
            0)
      << "off the 128 bytes";
}

TEST(CudaHopperEmulator, AStoredBoxLeavesOutRowsBeyondTheTensor) {
  Tensor from(1, 1, 32, 64, 2);
  Tensor to(1, 1, 20, 64, 3);
  const TensorMap from_map = from.map(16);
  const TensorMap to_map = to.map(16);
  const Findings found = run_block(32, kShared, {from.region(), to.region(true)}, [&] {
    const std::uint32_t at = ready_barrier();
    if (thread_index() == 0) {
      arrive_expecting(at, 16 * 64 * 2);
      load_box(shared_base(), from_map, 16, 0, 0, at);
      wait_phase(at, 0);
      store_box(to_map, shared_base(), 16, 0, 0);
      wait_for_stores();
    }
  });
  EXPECT_EQ(found.fault_count, 0) << faults_of(found);
  for (int row = 0; row < 20; ++row)
    for (int c = 0; c < 64; ++c)
      if (row >= 16) EXPECT_EQ(to.at(row, c), from.at(row, c));
}

TEST(CudaHopperEmulator, WhatTheDriverRefusesIsRefused) {
  Tensor tensor(1, 1, 16, 64, 1);
  const TiledTensor good = tiled(tensor.matrix(), 1, 1, 16, 64, 16);
  EXPECT_NO_THROW(emulator::encode_tiled(good));
  const auto refused = [&](const auto& change) {
    TiledTensor bad = good;
    change(bad);
    EXPECT_THROW(emulator::encode_tiled(bad), std::invalid_argument);
  };
  refused([](TiledTensor& t) { t.address = static_cast<const std::byte*>(t.address) + 8; });
  refused([](TiledTensor& t) { t.strides[0] = 100; });
  refused([](TiledTensor& t) { t.strides[3] = 1ULL << 40; });
  refused([](TiledTensor& t) { t.sizes[1] = 0; });
  refused([](TiledTensor& t) { t.box[1] = 257; });
  refused([](TiledTensor& t) { t.box[0] = 128; });  // wider than the swizzle
}

TEST(CudaHopperEmulator, PhasesPassByArrivalsAndBytes) {
  const Findings found = run_block(64, kShared, [] {
    const std::uint32_t at = shared_base() + kBarrier;
    if (thread_index() == 0) {
      start_phase_barrier(at, 2);
      publish_phase_barriers();
      wait_phase(at, 1);  // passed before the first phase: a fresh slot is free
    }
    barrier();
    const std::uint32_t mine = shared_base() + static_cast<std::uint32_t>(thread_index()) * 4;
    if (thread_index() % 32 == 0) {
      store_shared(mine, 7.0F);
      arrive(at);
    }
    wait_phase(at, 0);
    EXPECT_EQ(load_shared_float(shared_base()), 7.0F);
    EXPECT_EQ(load_shared_float(shared_base() + 128), 7.0F);
  });
  EXPECT_EQ(found.fault_count, 0) << faults_of(found);
}

void expect_fault(const Findings& found, const std::string& part) {
  EXPECT_NE(faults_of(found).find(part), std::string::npos) << "not found: " << part << "; found: " << faults_of(found);
}

TEST(CudaHopperEmulator, FindsMisusedPhaseBarriers) {
  expect_fault(run_block(32, kShared,
                         [] {
                           const std::uint32_t at = shared_base() + kBarrier;
                           if (thread_index() == 0) start_phase_barrier(at, 1);
                           if (thread_index() == 1) arrive(at);
                         }),
               "no barrier between its start");
  expect_fault(run_block(32, kShared, [] { arrive(shared_base()); }), "no phase barrier was started");
  Tensor tensor(1, 1, 16, 64, 1);
  const TensorMap map = tensor.map(16);
  expect_fault(run_block(32, kShared, {tensor.region()},
                         [&] {
                           const std::uint32_t at = shared_base() + kBarrier;
                           if (thread_index() != 0) return;
                           start_phase_barrier(at, 1);
                           arrive_expecting(at, 16 * 128);
                           load_box(shared_base(), map, 0, 0, 0, at);
                           wait_phase(at, 0);
                         }),
               "not published");
}

TEST(CudaHopperEmulator, FindsTilesReadBeforeTheirPhaseWhetherTheyHaveLandedOrNot) {
  Tensor tensor(1, 1, 16, 64, 1);
  const TensorMap map = tensor.map(16);
  for (const bool landed : {false, true}) {
    const Findings found = run_block(64, kShared, {tensor.region()}, [&] {
      const std::uint32_t at = ready_barrier();
      if (thread_index() == 0) {
        arrive_expecting(at, 16 * 128);
        load_box(shared_base(), map, 0, 0, 0, at);
        if (landed) wait_phase(at, 0);
      }
      if (thread_index() == 32) {
        // Another thread, which has waited for nothing. It runs after thread 0 has waited, or before.
        for (int i = 0; i < (landed ? 4 : 0); ++i) wait_phase(at, 1);
        (void)load_shared_float(shared_base());
      }
      if (thread_index() == 0 && !landed) wait_phase(at, 0);
    });
    EXPECT_GT(found.fault_count, 0) << landed;
  }
}

// A and B brought by copies, then `multiply(at)` by one warpgroup; C as it leaves it, [64 x 8 kTiles].
template <int kTiles>
struct OneProduct {
  Tensor a, b;
  std::vector<float> got = std::vector<float>(64UL * kTiles * 8);
  Findings found;

  OneProduct(int a_columns, int b_rows, int b_columns) : a(1, 1, 64, a_columns, 4), b(1, 1, b_rows, b_columns, 5) {}

  std::uint32_t b_at() const { return static_cast<std::uint32_t>(64 * a.columns * 2); }

  template <class Multiply>
  void run(const Multiply& multiply, std::uint64_t order = 0) {
    const TensorMap a_map = a.map(64);
    const TensorMap b_map = b.map(b.rows);
    found = run_block(
        128, kShared, {a.region(), b.region()},
        [&] {
          const std::uint32_t at = ready_barrier();
          if (thread_index() == 0) {
            arrive_expecting(at, static_cast<std::uint32_t>(64 * a.columns * 2 + b.rows * b.columns * 2));
            load_box(shared_base(), a_map, 0, 0, 0, at);
            load_box(shared_base() + b_at(), b_map, 0, 0, 0, at);
          }
          wait_phase(at, 0);
          float c[1][kTiles][4];
          for (auto& tile : c[0])
            for (float& x : tile) x = 1.0F;
          multiply(c, shared_base(), shared_base() + b_at());
          for (int j = 0; j < kTiles; ++j)
            for (int i = 0; i < 4; ++i)
              got[static_cast<std::size_t>((thread_index() / 32 * 16 + accumulator_row(thread_index() % 32, i)) *
                                               kTiles * 8 +
                                           j * 8 + accumulator_column(thread_index() % 32, i))] = c[0][j][i];
        },
        order);
  }
  // The largest difference from `expected(row, column)`.
  template <class Expected>
  double error(const Expected& expected) {
    double worst = 0;
    for (int row = 0; row < 64; ++row)
      for (int column = 0; column < kTiles * 8; ++column) {
        const double difference = std::abs(
            static_cast<double>(got[static_cast<std::size_t>(row * kTiles * 8 + column)]) - expected(row, column));
        worst = difference <= worst ? worst : difference;
        if (std::isnan(difference)) worst = INFINITY;
      }
    return worst;
  }
};

// All of C = A B^T, 128 columns of depth in two panels.
template <int kTiles>
void multiply_panels(float (&c)[1][kTiles][4], std::uint32_t a, std::uint32_t b, std::uint64_t wrong = 0) {
  product_fence(c);
  for (int k = 0; k < 8; ++k) {
    const auto panel = static_cast<std::uint32_t>(k / 4);
    const auto step = static_cast<std::uint32_t>(k % 4 * 32);
    const std::uint64_t left = operand_by_rows(a + panel * 64 * 128 + step);
    const std::uint64_t right = operand_by_rows(b + panel * kTiles * 8 * 128 + step) + wrong;
    if (k == 0)
      multiply_shared<Bf16, false>(c, left, right);
    else
      multiply_shared<Bf16, true>(c, left, right);
  }
  product_commit();
  product_wait<0>(c);
}

TEST(CudaHopperEmulator, DescribedTimesDescribedIsAProductWithTheTranspose) {
  const auto check = []<int kTiles>() {
    OneProduct<kTiles> product(128, kTiles * 8, 128);
    product.run([](auto& c, std::uint32_t a, std::uint32_t b) { multiply_panels(c, a, b); }, 7);
    EXPECT_EQ(product.found.fault_count, 0) << faults_of(product.found);
    EXPECT_LT(product.error([&](int i, int j) {
      double sum = 0;
      for (int k = 0; k < 128; ++k)
        sum += static_cast<double>(product.a.at(i, k)) * static_cast<double>(product.b.at(j, k));
      return sum;
    }),
              1e-3);
    EXPECT_EQ(product.found.matrix_products, 4 * kTiles * 8);
  };
  check.operator()<16>();
  check.operator()<10>();
}

// C = 1 + P B with P = rows of A in registers, B's depth in its 32 rows.
template <int kTiles>
void multiply_from_registers(OneProduct<kTiles>& product, float (&c)[1][kTiles][4], std::uint32_t b,
                             std::uint32_t leading) {
  std::uint32_t p[2][4];
  const int lane = thread_index() % 32;
  const int row = thread_index() / 32 * 16 + lane / 4;
  for (int k = 0; k < 2; ++k) {
    for (int i = 0; i < 4; ++i) {
      const int column = k * 16 + lane % 4 * 2 + i / 2 * 8;
      p[k][i] = pack<Bf16>(product.a.at(row + i % 2 * 8, column), product.a.at(row + i % 2 * 8, column + 1));
    }
  }
  product_fence(c, p);
  for (int k = 0; k < 2; ++k)
    multiply_left<Bf16, true>(c[0], p[k], operand_by_columns(b + static_cast<std::uint32_t>(k) * 16 * 128, leading));
  product_commit();
  product_wait<0>(c, p);
}

TEST(CudaHopperEmulator, RegistersTimesDescribedIsAProduct) {
  const auto check = []<int kTiles>() {
    OneProduct<kTiles> product(64, 32, kTiles * 8);
    product.run([&](auto& c, std::uint32_t, std::uint32_t b) { multiply_from_registers(product, c, b, 32 * 128); }, 5);
    EXPECT_EQ(product.found.fault_count, 0) << faults_of(product.found);
    EXPECT_LT(product.error([&](int i, int j) {
      double sum = 1;
      for (int k = 0; k < 32; ++k)
        sum += static_cast<double>(product.a.at(i, k)) * static_cast<double>(product.b.at(k, j));
      return sum;
    }),
              1e-3);
  };
  check.operator()<16>();
  check.operator()<8>();
}

TEST(CudaHopperEmulator, TurnedTimesDescribedIsAProductOfTheTranspose) {
  // A of 64 rows of depth and 64 columns, B of the same depth in its rows: two panels of it at 128 columns.
  const auto check = []<int kTiles>() {
    OneProduct<kTiles> product(64, 64, kTiles * 8);
    product.run(
        [&](auto& c, std::uint32_t a, std::uint32_t b) {
          product_fence(c);
          for (std::uint32_t k = 0; k < 4; ++k)
            multiply_turned<Bf16, true>(c, operand_by_columns(a + k * 16 * 128, 64 * 128),
                                        operand_by_columns(b + k * 16 * 128, 64 * 128));
          product_commit();
          product_wait<0>(c);
        },
        5);
    EXPECT_EQ(product.found.fault_count, 0) << faults_of(product.found);
    EXPECT_LT(product.error([&](int i, int j) {
      double sum = 1;
      for (int k = 0; k < 64; ++k)
        sum += static_cast<double>(product.a.at(k, i)) * static_cast<double>(product.b.at(k, j));
      return sum;
    }),
              1e-3);
  };
  check.operator()<16>();
  check.operator()<8>();
}

TEST(CudaHopperEmulator, LinesAreBroughtAsTheyAreAndAddedAsF32) {
  alignas(16) float from[64];
  alignas(16) float to[64];
  for (int i = 0; i < 64; ++i) {
    from[i] = static_cast<float>(i);
    to[i] = 100;
  }
  for (const std::uint64_t order : {0, 1, 2}) {
    const Findings found = run_block(
        32, kShared, {{from, sizeof from, false}, {to, sizeof to, true}},
        [&] {
          const std::uint32_t at = ready_barrier();
          if (thread_index() != 0) return;
          arrive_expecting(at, 256);
          load_line(shared_base(), from, 256, at);
          wait_phase(at, 0);
          add_line(to, shared_base(), 128);
          wait_for_stores();
        },
        order);
    EXPECT_EQ(found.fault_count, 0) << faults_of(found);
  }
  for (int i = 0; i < 64; ++i) EXPECT_EQ(to[i], i < 32 ? 100 + 3 * from[i] : 100) << i;
  EXPECT_GT(run_block(32, kShared, {{to, sizeof to, true}},
                      [&] {
                        if (thread_index() != 0) return;
                        store_shared(shared_base(), 1.0F);
                        add_line(to + 1, shared_base(), 16);
                      })
                .fault_count,
            0)
      << "off the 16 bytes";
  EXPECT_GT(run_block(32, kShared, {{to, sizeof to, true}},
                      [&] {
                        if (thread_index() != 0) return;
                        for (std::uint32_t i = 0; i < 4; ++i) store_shared(shared_base() + 4 * i, 1.0F);
                        add_line(to, shared_base(), 16);
                        wait_for_stores();
                      })
                .fault_count,
            0)
      << "stored without a fence";
}

TEST(CudaHopperEmulator, AWrongDescriptorIsRefusedOrGivesAnotherResult) {
  const auto multiply_with = [](std::uint64_t wrong) {
    OneProduct<16> product(128, 128, 128);
    product.run([=](auto& c, std::uint32_t a, std::uint32_t b) { multiply_panels(c, a, b, wrong); });
    const double error = product.error([&](int i, int j) {
      double sum = 0;
      for (int k = 0; k < 128; ++k)
        sum += static_cast<double>(product.a.at(i, k)) * static_cast<double>(product.b.at(j, k));
      return sum;
    });
    return std::pair(faults_of(product.found), error);
  };
  EXPECT_LT(multiply_with(0).second, 1e-3);
  EXPECT_LT(multiply_with(1ULL << 16).second, 1e-3) << "a swizzled operand by rows has no leading offset";
  EXPECT_GT(multiply_with(8ULL << 32).second, 0.1) << "the stride";
  EXPECT_GT(multiply_with(2).second, 0.1) << "the start, by 32 bytes";
  EXPECT_NE(multiply_with(8).first.find("first row of its 1024-byte pattern"), std::string::npos) << "by a row";
  EXPECT_NE(multiply_with(1ULL << 49).first.find("base offset"), std::string::npos);
  EXPECT_NE(multiply_with(1ULL << 62).first.find("swizzle other than"), std::string::npos) << "64 bytes";
  EXPECT_NE(multiply_with(1ULL << 14).first.find("reserved"), std::string::npos);
  EXPECT_NE(multiply_with(0x3fffULL - 0x800).first, "") << "outside of shared memory";

  OneProduct<16> product(64, 32, 128);
  product.run([&](auto& c, std::uint32_t, std::uint32_t b) { multiply_from_registers(product, c, b, 16 * 128); });
  EXPECT_GT(product.error([&](int i, int j) {
    double sum = 1;
    for (int k = 0; k < 32; ++k)
      sum += static_cast<double>(product.a.at(i, k)) * static_cast<double>(product.b.at(k, j));
    return sum;
  }),
            0.1)
      << "the leading offset of an operand by columns";
}

TEST(CudaHopperEmulator, FindsAccumulatorsAndLeftSidesUsedTooEarly) {
  const auto with = [](const auto& body) {
    OneProduct<16> product(64, 128, 64);
    product.run(body);
    return product.found;
  };
  const auto one = [](auto& c, std::uint32_t a, std::uint32_t b) {
    multiply_shared<Bf16, false>(c, operand_by_rows(a), operand_by_rows(b));
  };
  expect_fault(with([&](auto& c, std::uint32_t a, std::uint32_t b) {
                 product_fence(c);
                 one(c, a, b);
                 product_commit();
                 (void)larger(c[0][3][1], 0.0F);
                 product_wait<0>(c);
               }),
               "reads an accumulator while its product is in flight");
  expect_fault(with([&](auto& c, std::uint32_t a, std::uint32_t b) {
                 product_fence(c);
                 one(c, a, b);
                 product_commit();
                 c[0][3][1] = 0.0F;
                 product_wait<0>(c);
               }),
               "an accumulator was written");
  expect_fault(with([&](auto& c, std::uint32_t a, std::uint32_t b) {
                 product_fence(c);
                 one(c, a, b);
                 product_commit();
                 product_wait<1>(c);
                 product_wait<0>(c);
               }),
               "before the product that has them is waited for");
  expect_fault(with([&](auto& c, std::uint32_t a, std::uint32_t b) {
                 one(c, a, b);
                 product_commit();
                 product_wait<0>(c);
               }),
               "touched since the last wgmma.fence");
  expect_fault(with([&](auto& c, std::uint32_t a, std::uint32_t b) {
                 product_fence(c);
                 c[0][0][0] = 2.0F;
                 one(c, a, b);
                 product_commit();
                 product_wait<0>(c);
               }),
               "touched since the last wgmma.fence");
  expect_fault(with([&](auto& c, std::uint32_t a, std::uint32_t b) {
                 product_fence(c);
                 one(c, a, b);
                 product_wait<0>(c);
               }),
               "before the product that has them is waited for");  // never committed
  expect_fault(with([&](auto& c, std::uint32_t, std::uint32_t b) {
                 std::uint32_t p[4] = {};
                 product_fence(c, p);
                 multiply_left<Bf16, true>(c[0], p, operand_by_columns(b, 0));
                 product_commit();
                 p[2] = 1;
                 product_wait<0>(c, p);
               }),
               "a left side in registers changed");
  expect_fault(with([&](auto& c, std::uint32_t a, std::uint32_t b) {
                 product_fence(c);
                 multiply_shared<Bf16, false>(
                     c, operand_by_rows(a),
                     operand_by_rows(b + static_cast<std::uint32_t>(thread_index() / 32 % 2 * 32)));
                 product_commit();
                 product_wait<0>(c);
               }),
               "the warps of a warpgroup ask for different products");
}

TEST(CudaHopperEmulator, FindsSharedMemoryOverwrittenWhileAProductMayReadIt) {
  for (const bool waited : {false, true}) {
    for (const std::uint64_t order : {0, 1, 2}) {
      OneProduct<16> product(64, 128, 64);
      product.run(
          [&](auto& c, std::uint32_t a, std::uint32_t b) {
            product_fence(c);
            multiply_shared<Bf16, false>(c, operand_by_rows(a), operand_by_rows(b));
            product_commit();
            if (waited) product_wait<0>(c);
            named_barrier(1, 128);
            if (thread_index() == 5) store_shared(b, 0.0F);
            product_wait<0>(c);
          },
          order);
      if (waited)
        EXPECT_EQ(product.found.fault_count, 0) << faults_of(product.found);
      else
        expect_fault(product.found, "that others read with no barrier between: a product of warp");
    }
  }
}

TEST(CudaHopperEmulator, FindsStoresThatReachACopyOrAProductWithoutAFence) {
  Tensor to(1, 1, 8, 64, 3);
  const TensorMap map = to.map(8);
  const auto store = [&](bool with_fence, bool with_barrier) {
    return run_block(128, kShared, {to.region(true)}, [&] {
      for (int i = 0; i < 2; ++i)
        store_shared(shared_base() + static_cast<std::uint32_t>(thread_index() * 8 + i * 4), 1.0F);
      if (with_fence) fence_for_copies();
      if (with_barrier) named_barrier(1, 128);
      if (thread_index() == 0) {
        store_box(map, shared_base(), 0, 0, 0);
        wait_for_stores();
      }
    });
  };
  EXPECT_EQ(store(true, true).fault_count, 0) << faults_of(store(true, true));
  expect_fault(store(false, true), "without a fence");
  EXPECT_GT(store(true, false).fault_count, 0);
}

TEST(CudaHopperEmulator, RegistersMustBeGivenBeforeTheyAreTaken) {
  const auto share_out = [](int given) {
    return run_block(384, 0, [=] {
      if (thread_index() < 128) {
        if (given == 24) give_registers<24>();
        if (given == 40) give_registers<40>();
      } else {
        take_registers<240>();
      }
    });
  };
  EXPECT_EQ(share_out(24).fault_count, 0);
  EXPECT_THROW(share_out(40), std::runtime_error) << "40 + 2 * 240 is more than 3 * 168";
  EXPECT_THROW(share_out(168), std::runtime_error);
}

TEST(CudaHopperEmulator, NamedBarriersOrderThoseWhoMeetThereAndNoOthers) {
  const auto exchange = [](int waiting) {
    return run_block(96, 512, [=] {
      const int warp = thread_index() / 32;
      if (warp == 0) {
        store_shared(shared_base() + static_cast<std::uint32_t>(thread_index() * 4), 1.0F);
        named_arrive(1, 64);
      }
      if (warp == 1) named_barrier(1, 64);
      if (warp == waiting) (void)load_shared_float(shared_base());
    });
  };
  EXPECT_EQ(exchange(1).fault_count, 0);
  expect_fault(exchange(2), "no barrier between");
  EXPECT_THROW(run_block(64, 0, [] { named_barrier(1, 128); }), std::runtime_error);
  expect_fault(run_block(64, 0, [] { named_arrive(2, 128); }), "some threads arrived at barrier 2");
}

}  // namespace
}  // namespace assay::attention::cuda
