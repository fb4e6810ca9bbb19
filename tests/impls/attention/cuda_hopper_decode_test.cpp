// The sm_90a decode kernel's own source, run by the emulator: what it describes to the copy engine and multiplies is
// found right, and what orders its three roles is missed when it is left out. What it computes is in
// cuda_decode_test.cpp, with the path of sm_80.
#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

#include "cuda_decode_for_tests.h"
#include "cuda_sabotage_for_tests.h"
#include "impls/attention/cuda/emulator/hopper.h"

namespace assay::attention::cuda {
namespace {

// More tiles than the ring has slots, the last of them not full.
Problem rounds_problem(int head_dim) {
  return aligned({.queries = 1, .keys = 1000, .heads = 20, .kv_heads = 1, .head_dim = head_dim, .causal = false});
}

std::string found_of(const emulator::Sabotage& wrong, int head_dim, std::uint64_t order) {
  Decoding decoding(rounds_problem(head_dim), 1, emulator::hopper_decoding);
  const Pages pages(decoding, 4, {1000});
  std::vector<emulator::Region> memory = pages.memory(decoding);
  return found_with(
      wrong, [&] { return decoding.find(memory, order); }, [&] { return decoding.compare(); });
}

TEST(CudaHopperDecode, EachInstructionThatOrdersIsMissedWhenItIsLeftOut) {
  expect_each_is_missed(
      {
          {.omit = "wait_phase", .from = 0, .end = 32},  // of the loader's warp, for slots that are free
          {.omit = "wait_phase", .from = 5, .end = 6},   // of one of its lanes
      },
      found_of);
}

TEST(CudaHopperDecode, WrongPhasesDescriptorsAndSizesAreFound) { expect_wrong_descriptions_are_found(found_of); }

TEST(CudaHopperDecode, MultipliesWholeTilesOfTheKeysThatAreThereAndNoMore) {
  for (const int head_dim : {64, 128, 256}) {
    for (const int keys : {1, 64, 129, 500}) {
      const Problem p = aligned({.queries = 1, .keys = keys, .heads = 8, .kv_heads = 2, .head_dim = head_dim});
      Decoding decoding(p, 1, emulator::hopper_decoding);
      std::vector<emulator::Region> memory = decoding.memory();
      const emulator::Findings found = decoding.find(memory);
      const int multiplied = rounded_up(keys, head_dim == 64 ? 128 : 64);
      EXPECT_EQ(found.matrix_products, 2 * 2 * 64 * multiplied * head_dim / (16 * 8 * 16)) << head_dim << " " << keys;
      EXPECT_EQ(found.copied_bytes, 2 * 2 * keys * head_dim * 2) << head_dim << " " << keys << ": K and V once";
    }
  }
}

TEST(CudaHopperDecode, CopiesPanelsOfATileOrOfAPageWhereThatIsShorter) {
  const Problem p = aligned({.batch = 2, .queries = 1, .keys = 300, .heads = 8, .kv_heads = 4, .head_dim = 128});
  Decoding decoding(p, 1, emulator::hopper_decoding);
  const auto described = [&](const DecodeProblem& problem) {
    static TiledTensor last;
    const HopperDecode given = hopper_decode<128>(problem, [](const TiledTensor& tensor) {
      last = tensor;
      return TensorMap{};
    });
    EXPECT_EQ(1 << given.piece_shift, static_cast<int>(last.box[1]));
    return last;
  };
  const auto expect = [](const TiledTensor& t, const std::vector<std::uint64_t>& sizes,
                         const std::vector<std::uint32_t>& box) {
    EXPECT_EQ((std::vector<std::uint64_t>(t.sizes, t.sizes + 5)), sizes);
    EXPECT_EQ((std::vector<std::uint32_t>(t.box, t.box + 5)), box);
  };
  expect(described(decoding.problem), {64, 300, 2, 4, 2}, {64, 64, 1, 1, 1});
  for (const auto& [shift, keys, pages] : {std::tuple(0, 1, 600), {4, 16, 38}, {6, 64, 10}, {8, 64, 4}}) {
    const Pages in_pages(decoding, shift, {300, 300});
    const TiledTensor t = described(decoding.problem);
    EXPECT_EQ(t.address, in_pages.v.data());
    expect(t, {64, 1ULL << shift, 2, 4, static_cast<std::uint64_t>(pages)}, {64, static_cast<unsigned>(keys), 1, 1, 1});
  }
  decoding.problem.pages = 0;
  EXPECT_THROW(hopper_decode<128>(decoding.problem, emulator::encode_tiled), std::invalid_argument);
}

}  // namespace
}  // namespace assay::attention::cuda
