// Masks, tiles, swizzles and budgets of the CUDA kernels, over all their values.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "impls/attention/cuda/backward.h"
#include "impls/attention/cuda/comparisons.h"
#include "impls/attention/cuda/decode.h"
#include "impls/attention/cuda/flash_attention_3.h"
#include "impls/attention/cuda/flash_attention_3_backward.h"
#include "impls/attention/cuda/forward_kernel.h"
#include "impls/attention/cuda/hopper_decode.h"

namespace assay::attention::cuda {
namespace {

template <int kColumns>
void each_chunk_has_its_own_place() {
  std::set<std::uint32_t> places;
  for (int row = 0; row < 128; ++row) {
    for (int chunk = 0; chunk < kColumns / 8; ++chunk) {
      const std::uint32_t at = swizzled<kColumns>(row, chunk);
      EXPECT_EQ(at % 16, 0U);
      EXPECT_LT(at, 128U * kColumns * 2);
      EXPECT_EQ(at / (kColumns * 2), static_cast<std::uint32_t>(row)) << "a row stays in its row";
      EXPECT_TRUE(places.insert(at).second);
    }
  }
}

TEST(CudaGeometry, TheSwizzleIsOneToOne) {
  each_chunk_has_its_own_place<64>();
  each_chunk_has_its_own_place<128>();
  each_chunk_has_its_own_place<256>();
}

template <int kColumns>
void pieces_are_sums() {
  constexpr std::uint32_t kTile = 4096;
  for (int lane = 0; lane < kWarp; ++lane) {
    for (int row = 0; row < 64; row += 16) {
      const std::uint32_t by_rows = kTile + origin_by_rows<kColumns>(row, lane);
      const std::uint32_t by_columns = kTile + origin_by_columns<kColumns>(row, lane);
      for (int rows = 0; rows <= 48; rows += 8) {
        for (int chunks = 0; chunks < kColumns / 8; chunks += 2) {
          ASSERT_EQ(piece<kColumns>(by_rows, rows, chunks),
                    kTile + swizzled<kColumns>(row + rows + by_rows_row(lane), chunks + by_rows_chunk(lane)));
          ASSERT_EQ(piece<kColumns>(by_columns, rows, chunks),
                    kTile + swizzled<kColumns>(row + rows + by_columns_row(lane), chunks + by_columns_chunk(lane)));
        }
      }
    }
  }
}

TEST(CudaGeometry, APieceFurtherOnIsWhereTheSwizzleSaysItIs) {
  pieces_are_sums<64>();
  pieces_are_sums<128>();
  pieces_are_sums<256>();
}

TEST(CudaGeometry, MasksAgreeWithTheirDefinition) {
  for (const int queries : {1, 5, 16, 33}) {
    for (const int keys : {1, 7, 16, 40}) {
      for (const bool causal : {false, true}) {
        for (const int diagonal : {-9, 0, keys - queries, 12}) {
          const Mask mask{queries, keys, causal, diagonal};
          const auto sees = [&](int i, int j) { return j < keys && (!causal || j <= i + diagonal); };
          for (int i = 0; i < queries; ++i)
            for (int j = 0; j < keys + 9; ++j) ASSERT_EQ(j < mask.visible(i), sees(i, j)) << i << " " << j;
          for (int first = 0; first < queries + 8; first += 8) {
            int needed = 0;  // blocks of 8 keys that some row of the tile sees
            for (int i = first; i < smaller_of(first + 8, queries); ++i)
              for (int j = 0; j < keys; ++j)
                if (sees(i, j)) needed = larger_of(needed, j / 8 + 1);
            ASSERT_EQ(mask.key_blocks(first, 8, 8), needed);
            for (int key = 0; key < needed * 8; key += 8) {
              bool cut = false;
              for (int i = first; i < smaller_of(first + 8, queries); ++i)
                for (int j = key; j < key + 8; ++j) cut = cut || !sees(i, j);
              if (cut) ASSERT_TRUE(mask.cuts(first, key, 8)) << "a partial block must be masked";
              if (!cut && first < queries) ASSERT_FALSE(mask.cuts(first, key, 8)) << "a whole block is not";
            }
          }
          for (int key = 0; key < keys; ++key)
            for (int i = 0; i < mask.first_row_that_sees(key) && i < queries; ++i) ASSERT_FALSE(sees(i, key));
        }
      }
    }
  }
}

TEST(CudaGeometry, EveryQueryTileIsSomeBlocksAndLongestComeFirst) {
  for (const int tiles : {1, 2, 17}) {
    std::set<int> seen;
    for (int x = 0; x < tiles; ++x) {
      seen.insert(query_tile_of(x, tiles));
      if (x > 0) EXPECT_LT(query_tile_of(x, tiles), query_tile_of(x - 1, tiles));
    }
    EXPECT_EQ(static_cast<int>(seen.size()), tiles);
    EXPECT_EQ(*seen.begin(), 0);
    EXPECT_EQ(*seen.rbegin(), tiles - 1);
  }
}

// CUDA C++ Programming Guide, technical specifications: sm_80 has 164 KiB of shared memory a multiprocessor, of which a
// block may have 163 and each block costs 1 KiB more; sm_90 has 228 and 227.
constexpr std::uint32_t kKiB = 1024;

TEST(CudaGeometry, SharedMemoryFitsTheSmallestDeviceTheKernelsAreFor) {
  const auto fits = [](std::uint32_t bytes, std::uint32_t blocks) {
    EXPECT_LE(bytes, 163 * kKiB);
    EXPECT_LE(blocks * (bytes + kKiB), 164 * kKiB) << blocks << " blocks";
    EXPECT_EQ(bytes % 128, 0U);
  };
  fits(ForwardTile<64>::kSharedBytes, 2);
  fits(ForwardTile<128>::kSharedBytes, 2);
  fits(ForwardTile<256>::kSharedBytes, 1);
  fits(DecodeTile<64>::kSharedBytes, 3);
  fits(DecodeTile<128>::kSharedBytes, 1);
  fits(DecodeTile<256>::kSharedBytes, 1);
  fits(BackwardTile<64>::kSharedBytes, 1);
  fits(BackwardTile<128>::kSharedBytes, 1);
  fits(BackwardTile<256>::kSharedBytes, 1);
  fits(PlainTile<256>::kScoresSharedBytes, 2);
  fits(PlainTile<256>::kOutputSharedBytes, 4);
  fits(PlainTile<256>::kFlash1SharedBytes, 1);
  EXPECT_LE(2 * (DecodeTile<128>::kSharedBytes + kKiB), 228 * kKiB) << "two blocks on sm_90";
}

TEST(CudaGeometry, TilesWithinASlotDoNotOverlap) {
  EXPECT_EQ(ForwardTile<128>::kSlotBytes, 32U * 128 * 2);
  EXPECT_EQ(BackwardTile<128>::kStageBytes % 128, 0U) << "tiles start on whole rows of banks";
  EXPECT_EQ(BackwardTile<64>::kStageBytes % 128, 0U);
  EXPECT_EQ(DecodeTile<64>::kSlotBytes % 128, 0U);
}

// sm_90a.

template <int kHeadDim>
void hopper_tiles_fit() {
  using Tile = HopperTile<kHeadDim>;
  EXPECT_LE(Tile::kSharedBytes, 227 * kKiB) << kHeadDim;
  // What the swizzle's pattern starts at, and what starts at it.
  for (const std::uint32_t at : {Tile::kQueryBytes, Tile::kRingAt, Tile::kSlotBytes, Tile::kOutputAt,
                                 Tile::kKeyPanelBytes, Tile::kQueryPanelBytes})
    EXPECT_EQ(at % kPatternBytes, 0U) << kHeadDim;
  EXPECT_EQ(Tile::kBarriersAt % 8, 0U);
  EXPECT_LE(Tile::kKeyPanelBytes >> 4, 0x3fffU) << "the leading offset's field";
  EXPECT_EQ(Tile::kSlots & (Tile::kSlots - 1), 0);
  // Registers: what the launch gives is what is shared out.
  EXPECT_EQ(Tile::kLaunchRegisters, 168);
  EXPECT_LE(128 * Tile::kLoaderRegisters + 256 * Tile::kComputeRegisters, Tile::kThreads * Tile::kLaunchRegisters);
}

TEST(CudaHopperGeometry, TilesAndRegistersFitAMultiprocessor) {
  hopper_tiles_fit<64>();
  hopper_tiles_fit<128>();
  hopper_tiles_fit<256>();
}

template <int kHeadDim>
void hopper_backward_tiles_fit() {
  using Tile = HopperBackwardTile<kHeadDim>;
  EXPECT_LE(Tile::kSharedBytes, 227 * kKiB) << kHeadDim;
  for (const std::uint32_t at : {Tile::kValuesAt, Tile::kRingAt, Tile::kSlotBytes, Tile::kScoresAt, Tile::kScoreBytes,
                                 Tile::kKeyPanelBytes, Tile::kQueryPanelBytes})
    EXPECT_EQ(at % kPatternBytes, 0U) << kHeadDim;
  // Lines of the copy engine: 16 bytes.
  for (const std::uint32_t at : {Tile::kPartsAt, Tile::kPartBytes, Tile::kStatisticsAt, Tile::kStatisticsBytes})
    EXPECT_EQ(at % 16, 0U) << kHeadDim;
  EXPECT_EQ(Tile::kBarriersAt % 8, 0U);
  EXPECT_LE(Tile::kRows, 256) << "rows of a box";
  EXPECT_LE(128 * Tile::kLoaderRegisters + 256 * Tile::kComputeRegisters, Tile::kThreads * Tile::kLaunchRegisters);
  // Every element of a part has a place of its own, and they fill it.
  std::set<std::uint32_t> places;
  for (int j = 0; j < Tile::kPartColumns / 8; ++j)
    for (int thread = 0; thread < 128; ++thread) places.insert(part_place(j, thread));
  EXPECT_EQ(places.size() * 16, Tile::kPartBytes);
  EXPECT_EQ(*places.rbegin() + 16, Tile::kPartBytes);
}

TEST(CudaHopperGeometry, BackwardTilesFitAMultiprocessor) {
  hopper_backward_tiles_fit<64>();
  hopper_backward_tiles_fit<128>();
  hopper_backward_tiles_fit<256>();
}

template <int kHeadDim>
void hopper_decode_tiles_fit() {
  using Tile = HopperDecodeTile<kHeadDim>;
  EXPECT_LE(Tile::kSharedBytes, 227 * kKiB) << kHeadDim;
  for (const std::uint32_t at : {Tile::kRingAt, Tile::kSlotBytes, Tile::kKeyPanelBytes, Tile::kQueryPanelBytes})
    EXPECT_EQ(at % kPatternBytes, 0U) << kHeadDim;
  EXPECT_EQ(Tile::kBarriersAt % 8, 0U);
  EXPECT_LE(Tile::kKeyPanelBytes >> 4, 0x3fffU) << "the leading offset's field";
  EXPECT_LE(Tile::kKeys, 256) << "rows of a box";
  EXPECT_EQ(Tile::kKeys & (Tile::kKeys - 1), 0) << "pages of fewer keys divide a tile";
  EXPECT_LE(128 * Tile::kLoaderRegisters + 256 * Tile::kComputeRegisters, Tile::kThreads * Tile::kLaunchRegisters);
  // Little's law for an H100 (3.35 TB/s, 132 multiprocessors, 0.7 us): what a multiprocessor has on its way.
  EXPECT_NEAR(kBytesOnTheirWay, 3.35e12 * 0.7e-6 / 132, 100);
}

TEST(CudaHopperGeometry, DecodeTilesFitAMultiprocessorAndKeepMemoryBusy) {
  hopper_decode_tiles_fit<64>();
  hopper_decode_tiles_fit<128>();
  hopper_decode_tiles_fit<256>();
}

TEST(CudaHopperGeometry, ATensorIsDescribedByPanelsRowsHeadsAndSequences) {
  alignas(16) static std::uint16_t data[8];
  const TiledTensor t = tiled({data, 90000, 3000, 256}, 2, 5, 11, 128, 64);
  EXPECT_EQ(t.address, data);
  EXPECT_EQ((std::vector<std::uint64_t>(t.sizes, t.sizes + 5)), (std::vector<std::uint64_t>{64, 11, 2, 5, 2}));
  EXPECT_EQ((std::vector<std::uint64_t>(t.strides, t.strides + 4)),
            (std::vector<std::uint64_t>{512, 128, 6000, 180000}));
  EXPECT_EQ((std::vector<std::uint32_t>(t.box, t.box + 5)), (std::vector<std::uint32_t>{64, 64, 2, 1, 1}));
  EXPECT_EQ(t.box_bytes(), 64U * 128 * 2);
}

TEST(CudaHopperGeometry, AnOperandsFieldsAreWhereThePtxManualHasThem) {
  const std::uint64_t rows = operand_by_rows(0x12340);
  EXPECT_EQ(rows & 0x3fff, 0x1234U);
  EXPECT_EQ(rows >> 32 & 0x3fff, 1024U >> 4);
  EXPECT_EQ(rows >> 49 & 7, 0U);
  EXPECT_EQ(rows >> 62, 1U);
  const std::uint64_t columns = operand_by_columns(0x3fff0, 16384);
  EXPECT_EQ(columns & 0x3fff, 0x3fffU);
  EXPECT_EQ(columns >> 16 & 0x3fff, 16384U >> 4);
  EXPECT_EQ(columns >> 32 & 0x3fff, 1024U >> 4);
  EXPECT_EQ(columns >> 62, 1U);
}

TEST(CudaHopperGeometry, EveryTileOfEveryHeadComesOnceWhateverTheShape) {
  for (const int tiles : {1, 2, 7, 128}) {
    for (const int heads : {1, 3, 16, 40}) {
      for (const int section : {1, 2, 5, heads}) {
        if (section > heads) continue;
        const Schedule schedule{tiles, heads, section, 1};
        std::set<std::pair<int, int>> seen;
        int before = tiles;
        for (int index = 0; index < schedule.items(); ++index) {
          const Schedule::Item item = schedule.at(index);
          ASSERT_TRUE(item.tile >= 0 && item.tile < tiles && item.head >= 0 && item.head < heads);
          ASSERT_TRUE(seen.insert({item.tile, item.head}).second) << "twice";
          if (index % (section * tiles) != 0) ASSERT_LE(item.tile, before) << "a longer one after a shorter one";
          ASSERT_EQ(item.head / section, index / (section * tiles)) << "one section after the other";
          before = item.tile;
        }
        ASSERT_EQ(static_cast<int>(seen.size()), tiles * heads);
      }
    }
  }
}

TEST(CudaHopperGeometry, BlocksAreBusyAboutEquallyLong) {
  // 16 heads of 16k queries, causal: a tile's keys grow with its number. 132 blocks, each takes the next item when it
  // has done its own.
  for (const int section : {1, 2, 3, 16}) {
    const Schedule schedule{128, 16, section, 132};
    std::multiset<std::int64_t> done_at;
    for (int block = 0; block < schedule.blocks; ++block) done_at.insert(0);
    std::int64_t all = 0;
    for (int index = 0; index < schedule.items(); ++index) {
      const std::int64_t keys = schedule.at(index).tile + 1;
      const std::int64_t start = *done_at.begin();
      done_at.erase(done_at.begin());
      done_at.insert(start + keys);
      all += keys;
    }
    EXPECT_LT(static_cast<double>(*done_at.rbegin()) * schedule.blocks, 1.05 * static_cast<double>(all)) << section;
  }
}

}  // namespace
}  // namespace assay::attention::cuda
