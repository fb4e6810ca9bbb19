// The sm_90a kernel's own source, run by the emulator, gives the attention that float64 gives; its descriptors,
// barriers and copies are found right; wrong ones are found.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <set>

#include "cuda_for_tests.h"
#include "cuda_sabotage_for_tests.h"

namespace assay::attention::cuda {
namespace {

// Of the regions of the problem.
emulator::Findings run_on(const Problem& p, Storage& storage, int multiprocessors, std::uint64_t order,
                          std::vector<emulator::Region>& memory) {
  int taken = -1;  // the launch clears it
  memory.push_back({&taken, sizeof taken, true});
  const emulator::Findings found =
      emulator::flash_attention_3_forward({forward_problem(p, storage.tensors()), multiprocessors, &taken}, p.head_dim,
                                          element_type(p.dtype), memory, order);
  memory.pop_back();
  return found;
}

emulator::Findings run(const Problem& p, Storage& storage, int multiprocessors, std::uint64_t order,
                       std::vector<emulator::Region>& memory) {
  std::ranges::fill(storage.output(), std::byte{0xff});
  std::ranges::fill(storage.lse(), std::byte{0xff});
  memory = regions(p, storage);
  return run_on(p, storage, multiprocessors, order, memory);
}

TEST(CudaFlashAttention3, AgreesWithFloat64AndNeverRaces) {
  expect_attention_of_float64([](const Problem& p, Storage& storage, std::vector<emulator::Region>& memory) {
    return run_on(p, storage, 3, 0, memory);
  });
}

// 2 sequences, 4 heads over 2, three query tiles, more than one round for each block.
Problem rounds_problem() {
  return aligned({.batch = 2,
                  .queries = 300,
                  .keys = 300,
                  .heads = 4,
                  .kv_heads = 2,
                  .head_dim = 64,
                  .dtype = DType::bf16,
                  .causal = true});
}

TEST(CudaFlashAttention3, GivesTheSameBitsInAnyOrderAndOnAnyNumberOfBlocks) {
  const Problem p = rounds_problem();
  Storage storage(p);
  draw_inputs(p, InputLaw::outlier, 12, storage.tensors());
  std::vector<std::byte> first;
  for (const auto& [multiprocessors, order] : {std::pair(5, 0), {5, 1}, {24, 2}, {1, 3}, {7, 4}}) {
    std::vector<emulator::Region> memory;
    const emulator::Findings found = run(p, storage, multiprocessors, static_cast<std::uint64_t>(order), memory);
    EXPECT_EQ(found.fault_count, 0) << order << ": " << first_fault(found);
    expect_each_byte_written_once(memory, std::to_string(order));
    if (first.empty()) {
      first.assign(storage.output().begin(), storage.output().end());
      const harness::Check check = Reference(p, storage.tensors(), 1).compare(storage.tensors());
      EXPECT_LE(check.error, 1) << check.detail;
    }
    EXPECT_TRUE(std::ranges::equal(storage.output(), first)) << order;
  }
}

TEST(CudaFlashAttention3, CausalBlocksAboveTheDiagonalAreNotComputed) {
  const auto products = [](bool causal) {
    const Problem p = aligned({.queries = 256, .keys = 256, .head_dim = 64, .causal = causal});
    Storage storage(p);
    draw_inputs(p, InputLaw::normal, 13, storage.tensors());
    std::vector<emulator::Region> memory;
    return run(p, storage, 1, 0, memory).matrix_products;
  };
  // 2 tiles of 128 queries over blocks of 128 keys: 2 + 2 of them, or 1 + 2.
  EXPECT_EQ(products(false), 4 * 2 * 128 * 128 * 64 / (16 * 8 * 16));
  EXPECT_EQ(products(true), 3 * 2 * 128 * 128 * 64 / (16 * 8 * 16));
}

TEST(CudaFlashAttention3, RaggedSequencesAreEachTheirOwn) {
  for (const int head_dim : {64, 256}) {
    for (const std::uint64_t order : {0, 6}) {
      expect_ragged_sequences_are_each_their_own(head_dim, [=](const ForwardProblem& problem,
                                                               std::vector<emulator::Region>& memory) {
        int taken = -1;
        memory.push_back({&taken, sizeof taken, true});
        return emulator::flash_attention_3_forward({problem, 2, &taken}, head_dim, ElementType::bf16, memory, order);
      });
    }
  }
}

TEST(CudaFlashAttention3, RowsWithoutKeysAreZeroWithMinusInfinity) {
  const Problem p = aligned({.queries = 150, .keys = 10, .head_dim = 64});  // bottom-right: 140 rows see nothing
  Storage storage(p);
  draw_inputs(p, InputLaw::normal, 15, storage.tensors());
  std::vector<emulator::Region> memory;
  const emulator::Findings found = run(p, storage, 4, 0, memory);
  EXPECT_EQ(found.fault_count, 0) << first_fault(found);
  for (int row = 0; row < 140; ++row) {
    ASSERT_EQ(storage.tensors().lse_at(p, 0, 0, row), -std::numeric_limits<float>::infinity()) << row;
    for (int c = 0; c < 64; ++c) ASSERT_EQ(storage.tensors().o.load(0, 0, row, c), 0.0F) << row;
  }
}

std::string found_of(const emulator::Sabotage& wrong, int head_dim, std::uint64_t order) {
  Problem p = rounds_problem();
  p.head_dim = head_dim;
  p.batch = 1;
  Storage storage(p);
  draw_inputs(p, InputLaw::normal, 16, storage.tensors());
  std::vector<emulator::Region> memory;
  return found_with(
      wrong, [&] { return run(p, storage, 5, order, memory); },
      [&] { return Reference(p, storage.tensors(), 1).compare(storage.tensors()); });
}

TEST(CudaFlashAttention3, EachInstructionThatOrdersIsMissedWhenItIsLeftOut) {
  expect_each_is_missed(
      {
          {.omit = "wait_phase", .from = 0, .end = 1},  // of the loader, for slots that are free
          {.omit = "named_arrive"},
          {.omit = "wait_for_stores"},
      },
      found_of);
}

TEST(CudaFlashAttention3, WrongPhasesDescriptorsAndSizesAreFound) { expect_wrong_descriptions_are_found(found_of); }

TEST(CudaFlashAttention3, AGroupThatIsNotGivenItsTurnWaitsForEver) {
  // Turns order the tensor cores' work and not memory: without them the result would be the same. That they are taken
  // shows in the group that is not let in.
  EXPECT_NE(found_of({.omit = "named_arrive", .from = 128, .end = 256}, 64, 0).find("wait for ever"),
            std::string::npos);
}

}  // namespace
}  // namespace assay::attention::cuda
