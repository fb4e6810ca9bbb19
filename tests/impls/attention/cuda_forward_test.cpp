// The forward kernel's own source, run by the emulator, gives the attention that float64 gives; it touches nothing it
// should not, races nowhere and has no bank conflict.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "cuda_for_tests.h"

namespace assay::attention::cuda {
namespace {

struct Shape {
  int queries, keys;
};

TEST(CudaForward, AgreesWithFloat64AndNeverRaces) {
  for (const DType dtype : {DType::bf16, DType::f16}) {
    for (const int head_dim : {64, 128, 256}) {
      for (const Shape shape : {Shape{1, 1}, {130, 130}, {70, 200}, {150, 40}}) {
        for (const bool causal : {false, true}) {
          if (head_dim == 256 && (dtype == DType::f16) != causal) continue;  // half of the slowest
          const Problem p = aligned({.batch = 1,
                                     .queries = shape.queries,
                                     .keys = shape.keys,
                                     .heads = 2,
                                     .kv_heads = 1,
                                     .head_dim = head_dim,
                                     .dtype = dtype,
                                     .causal = causal});
          Storage storage(p);
          draw_inputs(p, InputLaw::normal, 11, storage.tensors());
          std::ranges::fill(storage.output(), std::byte{0xff});
          std::ranges::fill(storage.lse(), std::byte{0xff});
          std::vector<emulator::Region> memory = regions(p, storage);
          const emulator::Findings found = emulator::flash_attention_2_forward(
              forward_problem(p, storage.tensors()), head_dim, element_type(dtype), memory, 0);
          const std::string what = fmt::format("{} d={} N={} M={} causal={}", substrate::to_string(dtype), head_dim,
                                               shape.queries, shape.keys, causal);
          const harness::Check check = Reference(p, storage.tensors(), 1).compare(storage.tensors());
          EXPECT_LE(check.error, 1) << what << ": " << check.detail;
          EXPECT_EQ(found.fault_count, 0) << what << ": " << first_fault(found);
          EXPECT_EQ(found.bank_conflicts, 0) << what << " in " << found.wavefronts << " passes";
          expect_each_byte_written_once(memory, what);
        }
      }
    }
  }
}

TEST(CudaForward, TheOrderInWhichThreadsRunChangesNoBit) {
  const Problem p = aligned({.batch = 2, .queries = 140, .keys = 140, .heads = 4, .kv_heads = 2, .head_dim = 64});
  Storage storage(p);
  draw_inputs(p, InputLaw::normal, 12, storage.tensors());
  std::vector<std::byte> first;
  for (const std::uint64_t order : {0U, 1U, 2U}) {
    std::ranges::fill(storage.output(), std::byte{0xff});
    std::vector<emulator::Region> memory = regions(p, storage);
    const emulator::Findings found = emulator::flash_attention_2_forward(forward_problem(p, storage.tensors()), 64,
                                                                         ElementType::bf16, memory, order);
    EXPECT_EQ(found.fault_count, 0) << first_fault(found);
    if (order == 0) first.assign(storage.output().begin(), storage.output().end());
    EXPECT_TRUE(std::ranges::equal(storage.output(), first)) << order;
  }
}

TEST(CudaForward, CausalBlocksAboveTheDiagonalAreNotComputed) {
  const auto products = [](bool causal) {
    const Problem p = aligned({.queries = 256, .keys = 256, .head_dim = 64, .causal = causal});
    Storage storage(p);
    draw_inputs(p, InputLaw::normal, 13, storage.tensors());
    std::vector<emulator::Region> memory = regions(p, storage);
    return emulator::flash_attention_2_forward(forward_problem(p, storage.tensors()), 64, ElementType::bf16, memory, 0)
        .matrix_products;
  };
  // 2 tiles of 128 queries over blocks of 64 keys: 4 + 4 of them, or 2 + 4; a block is 2 * 128 * 64 * 64 multiply-adds.
  EXPECT_EQ(products(false), 8 * 2 * 128 * 64 * 64 / (16 * 8 * 16));
  EXPECT_EQ(products(true), 6 * 2 * 128 * 64 * 64 / (16 * 8 * 16));
}

TEST(CudaForward, RaggedSequencesAreEachTheirOwn) {
  const std::vector<int> query_starts = {0, 5, 5, 145};  // 5, 0 and 140 queries
  const std::vector<int> key_starts = {0, 70, 80, 220};  // 70, 10 and 140 keys
  constexpr int kHeads = 2;
  constexpr int kLongest = 140;
  // One packed sequence of all rows holds the data.
  const Problem packed = aligned({.queries = 145, .keys = 220, .heads = kHeads, .kv_heads = 1, .head_dim = 64});
  Storage storage(packed);
  const Tensors& t = storage.tensors();
  draw_inputs(packed, InputLaw::normal, 14, t);
  std::vector<float> lse(3 * kHeads * kLongest, 1e30F);
  ForwardProblem problem = forward_problem(packed, t);
  problem.lse = lse.data();
  problem.batch = 3;
  problem.q.batch = problem.k.batch = problem.v.batch = problem.o.batch = 0;
  problem.mask = {kLongest, 140, true, 0};
  problem.ragged = {query_starts.data(), key_starts.data()};
  std::vector<emulator::Region> memory = regions(packed, storage);
  memory[4] = {lse.data(), lse.size() * sizeof(float), true};
  memory.push_back({query_starts.data(), query_starts.size() * sizeof(int), false});
  memory.push_back({key_starts.data(), key_starts.size() * sizeof(int), false});
  const emulator::Findings found = emulator::flash_attention_2_forward(problem, 64, ElementType::bf16, memory, 0);
  EXPECT_EQ(found.fault_count, 0) << first_fault(found);
  EXPECT_EQ(std::ranges::count(memory[3].writes, 1), static_cast<std::ptrdiff_t>(memory[3].bytes))
      << "O, each row once";
  for (std::size_t b = 0; b < 3; ++b) {
    const int queries = query_starts[b + 1] - query_starts[b];
    const int keys = key_starts[b + 1] - key_starts[b];
    const Problem one = aligned({.queries = queries, .keys = keys, .heads = kHeads, .kv_heads = 1, .head_dim = 64});
    Tensors own = t;
    own.q.data = t.q.at(0, 0, query_starts[b]);
    own.o.data = t.o.at(0, 0, query_starts[b]);
    own.k.data = t.k.at(0, 0, key_starts[b]);
    own.v.data = t.v.at(0, 0, key_starts[b]);
    own.lse = nullptr;
    for (int h = 0; h < kHeads; ++h) {
      for (int row = 0; row < queries; ++row) {
        const ExactRow exact = exact_row(one, own, 0, h, row);
        const NaiveRow naive = naive_row(one, own, 0, h, row);
        double yardstick = 1e-5 + 0x1p-9;
        for (std::size_t c = 0; c < 64; ++c)
          yardstick = std::max(yardstick, 2 * std::abs(static_cast<double>(naive.o[c]) - exact.o[c]));
        for (int c = 0; c < 64; ++c)
          EXPECT_NEAR(own.o.load(0, h, row, c), exact.o[static_cast<std::size_t>(c)], 2 * yardstick)
              << b << " " << h << " " << row;
        EXPECT_NEAR(lse[(b * kHeads + static_cast<std::size_t>(h)) * kLongest + static_cast<std::size_t>(row)],
                    exact.lse, 1e-4);
      }
    }
  }
}

TEST(CudaForward, RowsWithoutKeysAreZeroWithMinusInfinity) {
  const Problem p = aligned({.queries = 150, .keys = 10, .head_dim = 64});  // bottom-right: 140 rows see nothing
  Storage storage(p);
  draw_inputs(p, InputLaw::normal, 15, storage.tensors());
  std::vector<emulator::Region> memory = regions(p, storage);
  const emulator::Findings found =
      emulator::flash_attention_2_forward(forward_problem(p, storage.tensors()), 64, ElementType::bf16, memory, 0);
  EXPECT_EQ(found.fault_count, 0) << first_fault(found);
  for (int row = 0; row < 140; ++row) {
    ASSERT_EQ(storage.tensors().lse_at(p, 0, 0, row), -std::numeric_limits<float>::infinity()) << row;
    for (int c = 0; c < 64; ++c) ASSERT_EQ(storage.tensors().o.load(0, 0, row, c), 0.0F) << row;
  }
}

}  // namespace
}  // namespace assay::attention::cuda
