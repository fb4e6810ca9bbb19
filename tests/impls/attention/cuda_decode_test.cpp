// Split-KV and paged decode, by the instructions of sm_80 and by those of sm_90a, run by the emulator from the kernels'
// own source: the attention of float64 whatever the splits and the pages are, every output written once, no race, no
// bank conflict.
#include "cuda_decode_for_tests.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>

namespace assay::attention::cuda {
namespace {

class DecodeByEitherPath : public testing::TestWithParam<EmulatedDecode> {};

INSTANTIATE_TEST_SUITE_P(Cuda, DecodeByEitherPath, testing::Values(emulator::flash_decoding, emulator::hopper_decoding),
                         [](const auto& path) { return path.index == 0 ? "sm_80" : "sm_90a"; });

TEST_P(DecodeByEitherPath, AgreesWithFloat64ForEveryNumberOfSplits) {
  for (const DType dtype : {DType::bf16, DType::f16}) {
    for (const int head_dim : {64, 128, 256}) {
      for (const int splits : {1, 3, 7}) {
        for (const int queries : {1, 5}) {
          const Problem p = aligned({.batch = 2,
                                     .queries = queries,
                                     .keys = 337,
                                     .heads = 8,
                                     .kv_heads = 2,
                                     .head_dim = head_dim,
                                     .dtype = dtype,
                                     .causal = true});
          Decoding decoding(p, splits, GetParam());
          const std::string what =
              fmt::format("{} d={} splits={} N={}", substrate::to_string(dtype), head_dim, splits, queries);
          const harness::Check check = decoding.check(decoding.memory(), what);
          EXPECT_LE(check.error, 1) << what << ": " << check.detail;
        }
      }
    }
  }
}

TEST_P(DecodeByEitherPath, GroupsOfAnySizeArePackedIntoRows) {
  struct Shape {
    int heads, kv_heads, queries;
  };
  // 1, 3, 16, 17, 64 and 96 rows: within a warp's 16, of several warps, of several blocks.
  for (const Shape shape : {Shape{2, 2, 1}, {3, 1, 1}, {16, 1, 1}, {17, 1, 1}, {8, 1, 8}, {16, 1, 6}}) {
    for (const bool causal : {false, true}) {
      const Problem p = aligned({.queries = shape.queries,
                                 .keys = 201,
                                 .heads = shape.heads,
                                 .kv_heads = shape.kv_heads,
                                 .head_dim = 64,
                                 .causal = causal});
      Decoding decoding(p, 2, GetParam());
      const std::string what = fmt::format("G={} N={} causal={}", shape.heads / shape.kv_heads, shape.queries, causal);
      const harness::Check check = decoding.check(decoding.memory(), what);
      EXPECT_LE(check.error, 1) << what << ": " << check.detail;
    }
  }
}

TEST_P(DecodeByEitherPath, ShortCachesAndMoreSplitsThanKeys) {
  for (const int keys : {1, 15, 64, 65}) {
    const Problem p = aligned({.queries = 1, .keys = keys, .heads = 3, .kv_heads = 3, .head_dim = 64});
    Decoding decoding(p, 4, GetParam());
    const std::string what = fmt::format("M={}", keys);
    EXPECT_LE(decoding.check(decoding.memory(), what).error, 1) << what;
  }
}

TEST_P(DecodeByEitherPath, GivesTheSameBitsInAnyOrder) {
  const Problem p = aligned({.queries = 2, .keys = 1100, .heads = 8, .kv_heads = 1, .head_dim = 128});
  Decoding decoding(p, 1, GetParam());
  std::vector<std::byte> first;
  for (const std::uint64_t order : {0, 1, 2, 3}) {
    EXPECT_LE(decoding.check(decoding.memory(), std::to_string(order), order).error, 1);
    const auto output = decoding.storage.output();
    if (first.empty()) first.assign(output.begin(), output.end());
    EXPECT_TRUE(std::ranges::equal(output, first)) << order;
  }
}

TEST_P(DecodeByEitherPath, PagesInAnyOrderGiveTheBitsOfContiguousKeys) {
  for (const int head_dim : {64, 128, 256}) {
    const Problem p = aligned({.batch = 2, .queries = 1, .keys = 150, .heads = 8, .kv_heads = 2, .head_dim = head_dim});
    Decoding decoding(p, 2, GetParam());
    EXPECT_LE(decoding.check(decoding.memory(), "contiguous").error, 1);
    const auto output = decoding.storage.output();
    const std::vector<std::byte> contiguous(output.begin(), output.end());
    for (const int shift : {0, 2, 4, 6, 8}) {
      if (head_dim == 256 && shift % 4 != 0) continue;  // the slowest
      Pages pages(decoding, shift, {150, 150});
      const std::string what = fmt::format("d={}, pages of {}", head_dim, 1 << shift);
      EXPECT_LE(decoding.check(pages.memory(decoding), what).error, 1) << what;
      EXPECT_TRUE(std::ranges::equal(output, contiguous)) << what;
    }
  }
}

TEST_P(DecodeByEitherPath, SequencesOfDifferentLengthsIgnoreWhatLiesBeyond) {
  const Problem p = aligned({.batch = 3, .queries = 2, .keys = 200, .heads = 4, .kv_heads = 1, .head_dim = 64});
  const std::vector<int> lengths = {200, 17, 64};
  for (const int shift : {-1, 0, 4, 7}) {  // contiguous, and pages
    Decoding decoding(p, 3, GetParam());
    decoding.problem.lengths = lengths.data();
    std::vector<emulator::Region> memory;
    std::unique_ptr<Pages> pages;
    const std::string what = shift < 0 ? "contiguous" : fmt::format("pages of {}", 1 << shift);
    if (shift < 0) {
      for (int b = 0; b < p.batch; ++b)
        for (int key = lengths[static_cast<std::size_t>(b)]; key < p.keys; ++key)
          for (const Matrix& of : {decoding.problem.k, decoding.problem.v})
            std::fill_n(of.at(b, 0, key), p.head_dim, std::uint16_t{0xffff});  // NaN
      memory = decoding.memory();
    } else {
      pages = std::make_unique<Pages>(decoding, shift, lengths);
      memory = pages->memory(decoding);
    }
    memory.push_back({lengths.data(), lengths.size() * sizeof(int), false});
    const emulator::Findings found = decoding.find(memory);
    EXPECT_EQ(found.fault_count, 0) << what << ": " << first_fault(found);
    expect_each_byte_written_once(memory, what);
    for (int b = 0; b < p.batch; ++b)
      decoding.expect_sequence(b, lengths[static_cast<std::size_t>(b)], fmt::format("{}, sequence {}", what, b));
  }
}

TEST(CudaDecode, SplitRangesCoverAllRoundsOnce) {
  for (int rounds = 0; rounds <= 70; ++rounds) {
    for (int splits = 1; splits <= 40; ++splits) {
      int next = 0;
      for (int s = 0; s < splits; ++s) {
        const RoundRange range = split_range(rounds, splits, s);
        ASSERT_EQ(range.first, next);
        ASSERT_LE(range.end - range.first, parts(rounds, splits));
        next = range.end;
      }
      ASSERT_EQ(next, rounds);
    }
  }
}

TEST(CudaDecode, SplitsFillTheDeviceAndNoMore) {
  EXPECT_EQ(choose_splits(108, 1000, 108), 1);
  EXPECT_EQ(choose_splits(87, 1000, 108), 1) << "87 blocks are 0.8 of 108";
  EXPECT_EQ(choose_splits(8, 1, 108), 1) << "nothing to split";
  // 8 blocks on 108: 13 splits are 104 blocks in one wave, 0.963; 12 are 96, 0.889 >= 0.85 * the best.
  EXPECT_EQ(choose_splits(8, 10000, 108), 12);
  for (const int blocks : {1, 7, 33, 80}) {
    const int splits = choose_splits(blocks, 512, 132);
    EXPECT_GE(splits, 1);
    EXPECT_LE(splits, 128);
  }
}

}  // namespace
}  // namespace assay::attention::cuda
