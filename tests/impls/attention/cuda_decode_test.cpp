// Split-KV and paged decode, run by the emulator from the kernels' own source: the attention of float64 whatever the
// splits and the pages are, every output written once, no race, no bank conflict.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "cuda_for_tests.h"
#include "impls/substrate/random.h"

namespace assay::attention::cuda {
namespace {

struct Decoding {
  Problem p;
  Storage storage;
  DecodeProblem problem;
  std::vector<float> partial_o, partial_lse;

  Decoding(const Problem& of, int splits) : p(of), storage(of) {
    draw_inputs(p, InputLaw::normal, 21, storage.tensors());
    const Tensors& t = storage.tensors();
    problem.q = matrix(t.q);
    problem.k = matrix(t.k);
    problem.v = matrix(t.v);
    problem.o = matrix(t.o);
    problem.lse = t.lse;
    problem.mask = mask_of(p);
    problem.batch = p.batch;
    problem.heads = p.heads;
    problem.kv_heads = p.kv_heads;
    problem.scale = p.scale;
    problem.splits = splits;
    const auto rows = static_cast<std::size_t>(problem.rows()) * static_cast<std::size_t>(splits);
    partial_o.resize(rows * static_cast<std::size_t>(p.head_dim));
    partial_lse.resize(rows);
    problem.partial_o = partial_o.data();
    problem.partial_lse = partial_lse.data();
  }

  harness::Check check(std::vector<emulator::Region> memory, const std::string& what, std::uint64_t order = 0) {
    std::ranges::fill(storage.output(), std::byte{0xff});
    std::ranges::fill(storage.lse(), std::byte{0xff});
    if (problem.splits > 1) {
      memory.push_back({partial_o.data(), partial_o.size() * sizeof(float), true});
      memory.push_back({partial_lse.data(), partial_lse.size() * sizeof(float), true});
    }
    const emulator::Findings found =
        emulator::flash_decoding(problem, p.head_dim, element_type(p.dtype), memory, order);
    EXPECT_EQ(found.fault_count, 0) << what << ": " << first_fault(found);
    EXPECT_EQ(found.bank_conflicts, 0) << what << " in " << found.wavefronts << " passes";
    expect_each_byte_written_once(memory, what);
    return Reference(p, storage.tensors(), 1).compare(storage.tensors());
  }
};

TEST(CudaDecode, AgreesWithFloat64ForEveryNumberOfSplits) {
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
          Decoding decoding(p, splits);
          const std::string what =
              fmt::format("{} d={} splits={} N={}", substrate::to_string(dtype), head_dim, splits, queries);
          const harness::Check check = decoding.check(regions(p, decoding.storage), what);
          EXPECT_LE(check.error, 1) << what << ": " << check.detail;
        }
      }
    }
  }
}

TEST(CudaDecode, ShortCachesAndMoreSplitsThanKeys) {
  for (const int keys : {1, 15, 64, 65}) {
    const Problem p = aligned({.queries = 1, .keys = keys, .heads = 3, .kv_heads = 3, .head_dim = 64});
    Decoding decoding(p, 4);
    const std::string what = fmt::format("M={}", keys);
    EXPECT_LE(decoding.check(regions(p, decoding.storage), what).error, 1) << what;
  }
}

TEST(CudaDecode, PagesInAnyOrderGiveTheBitsOfContiguousKeys) {
  const Problem p = aligned({.batch = 2, .queries = 1, .keys = 150, .heads = 8, .kv_heads = 2, .head_dim = 128});
  Decoding decoding(p, 2);
  EXPECT_LE(decoding.check(regions(p, decoding.storage), "contiguous").error, 1);
  const auto output = decoding.storage.output();
  const std::vector<std::byte> contiguous(output.begin(), output.end());
  const Matrix k = decoding.problem.k;
  const Matrix v = decoding.problem.v;

  for (const int shift : {0, 2, 4, 6}) {
    const int size = 1 << shift;
    const int pages = parts(p.keys, size);
    std::vector<int> table(static_cast<std::size_t>(p.batch) * pages);
    std::iota(table.begin(), table.end(), 0);
    substrate::Random random(5);
    for (std::size_t i = table.size(); i > 1; --i) std::swap(table[i - 1], table[random.below(i)]);
    const std::size_t page_elements = static_cast<std::size_t>(p.kv_heads) * size * p.head_dim;
    substrate::AlignedBuffer<std::uint16_t> pool_k(page_elements * table.size());
    substrate::AlignedBuffer<std::uint16_t> pool_v(page_elements * table.size());
    std::ranges::fill(pool_k.span(), 0xffff);  // what no key lies in must never count
    std::ranges::fill(pool_v.span(), 0xffff);
    const auto strides = [&](std::uint16_t* data) {
      return Matrix{data, static_cast<std::int64_t>(page_elements), size * p.head_dim, p.head_dim};
    };
    decoding.problem.k = strides(pool_k.data());
    decoding.problem.v = strides(pool_v.data());
    decoding.problem.page_table = table.data();
    decoding.problem.pages_a_sequence = pages;
    decoding.problem.page_shift = shift;
    for (int b = 0; b < p.batch; ++b) {
      for (int kv = 0; kv < p.kv_heads; ++kv) {
        for (int key = 0; key < p.keys; ++key) {
          const int page = table[static_cast<std::size_t>(b * pages + key / size)];
          std::copy_n(k.at(b, kv, key), p.head_dim, decoding.problem.k.at(page, kv, key % size));
          std::copy_n(v.at(b, kv, key), p.head_dim, decoding.problem.v.at(page, kv, key % size));
        }
      }
    }
    std::vector<emulator::Region> memory = regions(p, decoding.storage);
    memory[1] = {pool_k.data(), pool_k.bytes(), false};
    memory[2] = {pool_v.data(), pool_v.bytes(), false};
    memory.push_back({table.data(), table.size() * sizeof(int), false});
    const std::string what = fmt::format("pages of {}", size);
    EXPECT_LE(decoding.check(memory, what).error, 1) << what;
    EXPECT_TRUE(std::ranges::equal(output, contiguous)) << what;
  }
}

TEST(CudaDecode, SequencesOfDifferentLengthsIgnoreWhatLiesBeyond) {
  const Problem p = aligned({.batch = 3, .queries = 2, .keys = 200, .heads = 4, .kv_heads = 1, .head_dim = 64});
  Decoding decoding(p, 3);
  const std::vector<int> lengths = {200, 17, 64};
  decoding.problem.lengths = lengths.data();
  std::vector<emulator::Region> memory = regions(p, decoding.storage);
  memory.push_back({lengths.data(), lengths.size() * sizeof(int), false});
  (void)decoding.check(memory, "lengths");
  for (int b = 0; b < p.batch; ++b) {
    Problem one = p;
    one.keys = lengths[static_cast<std::size_t>(b)];
    one = aligned(one);
    for (int h = 0; h < p.heads; ++h) {
      for (int row = 0; row < p.queries; ++row) {
        const ExactRow exact = exact_row(one, decoding.storage.tensors(), b, h, row);
        EXPECT_NEAR(decoding.storage.tensors().lse_at(p, b, h, row), exact.lse, 1e-5) << b << " " << h << " " << row;
        for (int c = 0; c < p.head_dim; ++c) {
          EXPECT_NEAR(decoding.storage.tensors().o.load(b, h, row, c), exact.o[static_cast<std::size_t>(c)], 0.02);
        }
      }
    }
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
