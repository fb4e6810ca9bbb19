#pragma once
// Kernels of sm_90a made wrong on their way through the emulator, and what has to come of it.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <exception>
#include <string>
#include <vector>

#include "cuda_for_tests.h"

namespace assay::attention::cuda {

// What is found of a kernel that is made wrong: "" nothing, else a fault, threads that wait for ever, or the error.
template <class Run, class Compare>
std::string found_with(const emulator::Sabotage& wrong, const Run& run, const Compare& compare) {
  emulator::sabotage() = wrong;
  std::string what;
  try {
    what = first_fault(run());
  } catch (const std::exception& error) {
    what = error.what();
  }
  emulator::sabotage() = {};
  if (!what.empty()) return what;
  const harness::Check check = compare();
  return check.error <= 1 ? "" : fmt::format("error {}", check.error);
}

// `found_of(sabotage, head_dim, order)` is something where one of what every such kernel has is left out, or one of
// `also`; and nothing where nothing is. Threads from 128 on compute, in two groups.
template <class Found>
void expect_each_is_missed(const std::vector<emulator::Sabotage>& also, const Found& found_of) {
  std::vector<emulator::Sabotage> missing = {
      {.omit = "publish_phase_barriers"},
      {.omit = "wait_phase", .from = 128, .end = 384},  // for tiles that have landed
      {.omit = "wait_phase", .from = 256, .end = 384},  // of one group alone
      {.omit = "arrive", .from = 128, .end = 160},
      {.omit = "product_fence"},
      {.omit = "product_commit"},
      {.omit = "product_wait"},
      {.omit = "fence_for_copies"},
      {.omit = "named_barrier"},
      {.omit = "give_registers"},
  };
  missing.insert(missing.end(), also.begin(), also.end());
  for (const emulator::Sabotage& one : missing)
    for (const std::uint64_t order : {0, 9})
      EXPECT_NE(found_of(one, 64, order), "") << one.omit << " of threads from " << one.from << ", order " << order;
  EXPECT_EQ(found_of({}, 64, 9), "") << "nothing left out, nothing found";
}

template <class Found>
void expect_wrong_descriptions_are_found(const Found& found_of) {
  for (const int head_dim : {64, 128}) {
    EXPECT_NE(found_of({.parity = 0}, head_dim, 0), "") << "the phase bit never flips";
    EXPECT_NE(found_of({.operand = 8ULL << 32}, head_dim, 0), "") << "stride";
    EXPECT_NE(found_of({.operand = 8}, head_dim, 0), "") << "start, by a row";
    EXPECT_NE(found_of({.operand = 1ULL << 62}, head_dim, 0), "") << "swizzle";
    EXPECT_NE(found_of({.fewer_bytes = 128}, head_dim, 0), "") << "bytes expected";
    EXPECT_NE(found_of({.copy_address = 1024}, head_dim, 0), "") << "where copies go";
    EXPECT_NE(found_of({.copy_address = 128}, head_dim, 0), "") << "a row further";
    EXPECT_NE(found_of({.copy_address = 16}, head_dim, 0), "") << "off the pattern";
  }
  EXPECT_NE(found_of({.operand = 64ULL << 16}, 128, 0), "") << "leading offset, where there are two panels";
}

}  // namespace assay::attention::cuda
