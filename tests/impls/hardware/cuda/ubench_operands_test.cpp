// The host's half of hardware/hopper-ubench: chains, operands and where their elements lie.
#include "impls/hardware/cuda/ubench_operands.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <set>

#include "harness/registry.h"
#include "impls/hardware/cuda/element_value.h"

namespace assay::hardware::cuda {
namespace {

constexpr MatrixType kTypes[] = {MatrixType::bf16, MatrixType::fp16, MatrixType::tf32, MatrixType::int8,
                                 MatrixType::e4m3};

TEST(HopperUbench, FollowsOneCycleThroughEveryNode) {
  for (const std::uint32_t nodes : {2U, 3U, 64U, 1000U}) {
    const std::vector<std::uint32_t> next = random_cycle(nodes, 7);
    std::uint32_t node = 0;
    for (std::uint32_t i = 0; i + 1 < nodes; ++i) {
      node = next[node];
      EXPECT_NE(node, 0U) << "came back after " << i + 1 << " of " << nodes;
    }
    EXPECT_EQ(next[node], 0U);
  }
  EXPECT_NE(random_cycle(64, 1), random_cycle(64, 2));
}

// Decoded bit by bit as the formats are defined (element_value.h), which the operands do not use.
TEST(HopperUbench, WritesSmallIntegersInEveryFormat) {
  for (int value = -4; value <= 4; ++value) {
    const auto decoded = [&](MatrixType type, Element element) {
      const std::uint32_t bits = bits_of_integer(type, value);
      std::byte bytes[4];
      std::memcpy(bytes, &bits, 4);
      return element_value(element, bytes);
    };
    EXPECT_EQ(decoded(MatrixType::bf16, Element::bf16), value);
    EXPECT_EQ(decoded(MatrixType::fp16, Element::fp16), value);
    EXPECT_EQ(decoded(MatrixType::tf32, Element::fp32), value);
    EXPECT_EQ(decoded(MatrixType::e4m3, Element::e4m3), value);
    EXPECT_EQ(static_cast<std::int8_t>(bits_of_integer(MatrixType::int8, value)), value);
  }
}

TEST(HopperUbench, PutsEveryElementOfAnInstructionInOnePlace) {
  for (const MatrixType type : kTypes) {
    std::set<std::pair<int, int>> a;
    std::set<std::pair<int, int>> b;
    for (int lane = 0; lane < 32; ++lane) {
      for (int e = 0; e < elements_a_word(type); ++e) {
        for (int word = 0; word < 4; ++word) {
          const Place at = place_in_a(type, lane, word, e);
          EXPECT_TRUE(at.row < 16 && at.column < depth_of(type));
          a.insert({at.row, at.column});
        }
        for (int word = 0; word < 2; ++word) {
          const Place at = place_in_b(type, lane, word, e);
          EXPECT_TRUE(at.row < depth_of(type) && at.column < 8);
          b.insert({at.row, at.column});
        }
      }
    }
    EXPECT_EQ(a.size(), 16U * static_cast<unsigned>(depth_of(type)));
    EXPECT_EQ(b.size(), 8U * static_cast<unsigned>(depth_of(type)));
  }
  std::set<std::pair<int, int>> d;
  for (int lane = 0; lane < 32; ++lane)
    for (int i = 0; i < 4; ++i) d.insert({place_in_d(lane, i).row, place_in_d(lane, i).column});
  EXPECT_EQ(d.size(), 128U);
}

TEST(HopperUbench, PutsEveryElementOfAWarpGroupInOnePlace) {
  for (const int n : {64, 128, 256}) {
    std::set<std::pair<int, int>> d;
    for (int thread = 0; thread < 128; ++thread) {
      for (int i = 0; i < n / 2; ++i) {
        const Place at = place_in_group(thread, i);
        EXPECT_TRUE(at.row < 64 && at.column < n);
        d.insert({at.row, at.column});
      }
    }
    EXPECT_EQ(d.size(), 64U * static_cast<unsigned>(n));
    std::set<int> bytes;
    for (int row = 0; row < n; ++row)
      for (int byte = 0; byte < 32; ++byte) bytes.insert(byte_in_tile(n, row, byte));
    EXPECT_EQ(bytes.size(), 32U * static_cast<unsigned>(n));
    EXPECT_EQ(*bytes.rbegin(), 32 * n - 1);
  }
}

// The places of the PTX manual's figures for m16n8k16 (bf16), m16n8k8 (tf32) and m16n8k32 (8 bits), a few of each.
TEST(HopperUbench, AgreesWithThePtxManual) {
  const auto is = [](const Place& at, int row, int column) { return at.row == row && at.column == column; };
  EXPECT_TRUE(is(place_in_a(MatrixType::bf16, 5, 1, 1), 9, 3));    // a3 of lane 5: row 1 + 8, column 2 + 1
  EXPECT_TRUE(is(place_in_a(MatrixType::bf16, 31, 2, 0), 7, 14));  // a4 of lane 31: row 7, column 6 + 8
  EXPECT_TRUE(is(place_in_b(MatrixType::bf16, 6, 1, 1), 13, 1));   // b3 of lane 6: row 4 + 1 + 8, column 1
  EXPECT_TRUE(is(place_in_a(MatrixType::tf32, 7, 3, 0), 9, 7));    // a3 of lane 7: row 1 + 8, column 3 + 4
  EXPECT_TRUE(is(place_in_a(MatrixType::int8, 2, 2, 3), 0, 27));   // a11 of lane 2: row 0, column 8 + 3 + 16
  EXPECT_TRUE(is(place_in_d(9, 3), 10, 3));                        // c3 of lane 9: row 2 + 8, column 2 + 1
}

// What the device would leave, made here from the operands' own bits.
TEST(HopperUbench, AcceptsTheProductAndNothingElse) {
  for (const MatrixType type : kTypes) {
    Operands operands(type, 16, 8, 4, false);
    operands.draw(3);
    const int depth = depth_of(type);
    const auto value = [&](std::uint32_t word, int e) -> double {
      const std::uint32_t bits = word >> (e * bits_of(type) % 32);
      std::byte bytes[4];
      std::memcpy(bytes, &bits, 4);
      if (type == MatrixType::int8) return static_cast<std::int8_t>(bits & 0xffU);
      return element_value(type == MatrixType::bf16   ? Element::bf16
                           : type == MatrixType::fp16 ? Element::fp16
                           : type == MatrixType::tf32 ? Element::fp32
                                                      : Element::e4m3,
                           bytes);
    };
    std::vector<double> a(static_cast<std::size_t>(16 * depth));
    std::vector<std::uint32_t> d;
    for (int lane = 0; lane < 32; ++lane)
      for (int word = 0; word < 4; ++word)
        for (int e = 0; e < elements_a_word(type); ++e) {
          const Place at = place_in_a(type, lane, word, e);
          a[static_cast<std::size_t>(at.row * depth + at.column)] =
              value(operands.a()[static_cast<std::size_t>(lane * 4 + word)], e);
        }
    for (int chain = 0; chain < 4; ++chain) {
      std::vector<double> b(static_cast<std::size_t>(depth * 8));
      for (int lane = 0; lane < 32; ++lane)
        for (int word = 0; word < 2; ++word)
          for (int e = 0; e < elements_a_word(type); ++e) {
            const Place at = place_in_b(type, lane, word, e);
            b[static_cast<std::size_t>(at.row * 8 + at.column)] =
                value(operands.b()[static_cast<std::size_t>((chain * 32 + lane) * 2 + word)], e);
          }
      for (int lane = 0; lane < 32; ++lane)
        for (int i = 0; i < 4; ++i) {
          const Place at = place_in_d(lane, i);
          double sum = 0;
          for (int k = 0; k < depth; ++k)
            sum += a[static_cast<std::size_t>(at.row * depth + k)] * b[static_cast<std::size_t>(k * 8 + at.column)];
          sum *= 10;
          d.push_back(type == MatrixType::int8 ? static_cast<std::uint32_t>(static_cast<std::int32_t>(sum))
                                               : std::bit_cast<std::uint32_t>(static_cast<float>(sum)));
        }
    }
    EXPECT_EQ(operands.compare(d, 10).error, 0) << operands.compare(d, 10).detail;
    EXPECT_GT(operands.compare(d, 5).error, 1);
    const auto wrong = std::find_if(d.begin() + 17, d.end(), [](std::uint32_t word) { return word != 0; });
    ASSERT_NE(wrong, d.end());
    *wrong ^= 0x00800000U;
    EXPECT_GT(operands.compare(d, 10).error, 1);
  }
}

// A sum as the fp8 units keep it: products and the sum before are cut to the bits that count at the larger exponent.
float added_up_by_an_fp8_unit(float sum, const std::vector<int>& products, int rounds) {
  for (int r = 0; r < rounds; ++r) {
    float largest = std::abs(sum);
    for (const int product : products) largest = std::max(largest, std::abs(static_cast<float>(product)));
    if (largest == 0) continue;
    const float unit = std::ldexp(1.0F, std::ilogb(largest) - bits_of_sum(MatrixType::e4m3));
    float all = std::trunc(sum / unit);
    for (const int product : products) all += std::trunc(static_cast<float>(product) / unit);
    sum = all * unit;
  }
  return sum;
}

TEST(HopperUbench, AddsUpNoMoreThanASumHoldsExactly) {
  for (const MatrixType type : kTypes) {
    const double most = static_cast<double>(largest_operand(type)) * largest_operand(type) * depth_of(type);
    EXPECT_LE(most * rounds_of(type), std::ldexp(1.0, bits_of_sum(type))) << static_cast<int>(type);
    EXPECT_EQ(rounds_of(type) % 16, 0) << "wgmma goes by eight, half of the work too";
  }
  const std::vector<int> ones(32, 1);
  EXPECT_EQ(added_up_by_an_fp8_unit(0, ones, rounds_of(MatrixType::e4m3)), 32.0F * rounds_of(MatrixType::e4m3));
  const std::vector<int> nines(32, 9);
  EXPECT_LT(added_up_by_an_fp8_unit(0, nines, 1024), 0.95F * 32 * 9 * 1024)
      << "what numbers as large as the other types' would come to";
}

TEST(HopperUbench, PredictsFusedIntegerOperations) {
  EXPECT_EQ(dpx_result(Dpx::addmax_s32, static_cast<std::uint32_t>(-100), 3, static_cast<std::uint32_t>(-50), 10),
            static_cast<std::uint32_t>(-23))
      << "-100 + 3 is below -50, then nine times 3";
  EXPECT_EQ(dpx_result(Dpx::addmax_s32_relu, static_cast<std::uint32_t>(-100), 3, static_cast<std::uint32_t>(-50), 10),
            27U);
  EXPECT_EQ(dpx_result(Dpx::addmax_s16x2, 0xff9c0005U, 0x00030001U, 0xffce0008U, 10), 0xffe90011U)
      << "-100 as above, and 5: 8 and nine times 1";
  EXPECT_EQ(dpx_result(Dpx::addmax_s16x2_relu, 0xff9c0005U, 0x00030001U, 0xffce0008U, 10), 0x001b0011U);
  for (const Dpx what : {Dpx::addmax_s32, Dpx::addmax_s32_relu, Dpx::addmax_s16x2, Dpx::addmax_s16x2_relu}) {
    const std::vector<std::uint32_t> drawn = dpx_operands(what, 4, 3);
    ASSERT_EQ(drawn.size(), 32U * 6);
    for (std::size_t lane = 0; lane < 32; ++lane) {
      const auto after = [&](int rounds) {
        return dpx_result(what, drawn[lane], drawn[128 + lane], drawn[160 + lane], rounds);
      };
      EXPECT_NE(after(2048), after(1024)) << "half of the work shows";
      if (what == Dpx::addmax_s16x2)
        EXPECT_LT(static_cast<std::int16_t>(after(1024) & 0xffffU), static_cast<std::int16_t>(after(2048) & 0xffffU))
            << "no overflow";
    }
  }
}

TEST(HopperUbench, IsUnverified) {
  const harness::Technique* technique = harness::find_technique("hardware/hopper-ubench");
  ASSERT_NE(technique, nullptr);
  ASSERT_EQ(technique->implementations.size(), 1U);
  EXPECT_FALSE(technique->implementations.front().verified);
}

}  // namespace
}  // namespace assay::hardware::cuda
