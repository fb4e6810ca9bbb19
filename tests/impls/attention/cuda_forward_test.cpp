// The forward kernel's own source, run by the emulator, gives the attention that float64 gives; it touches nothing it
// should not, races nowhere and has no bank conflict.
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "cuda_for_tests.h"

namespace assay::attention::cuda {
namespace {

TEST(CudaForward, AgreesWithFloat64AndNeverRaces) {
  expect_attention_of_float64([](const Problem& p, Storage& storage, std::vector<emulator::Region>& memory) {
    return emulator::flash_attention_2_forward(forward_problem(p, storage.tensors()), p.head_dim, element_type(p.dtype),
                                               memory, 0);
  });
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
  expect_ragged_sequences_are_each_their_own(
      64, [](const ForwardProblem& problem, std::vector<emulator::Region>& memory) {
        return emulator::flash_attention_2_forward(problem, 64, ElementType::bf16, memory, 0);
      });
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
