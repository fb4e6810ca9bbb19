#pragma once
// The AMX matrix products, written over a policy of tile instructions: the hardware's, or a software model of them.
// Included by exactly the sources that instantiate it, each with a policy type of its own anonymous namespace.
//
// Tiles 0-3 hold 32 x 32 of C, 4-5 two tiles of A (16 rows x 32 depths, as stored), 6-7 two of B (16 pairs of depths x
// 16 queries). Four loads feed four TDPBF16PS of 16 cycles each: one load of 1 KiB an instruction.
#include <cstdint>

namespace assay::substrate {

template <class Tiles>
struct AmxProduct {
  static constexpr int kQueries = 32;
  static constexpr int kRows = 32;
  static constexpr int kDepth = 32;

  // C[rows][32] = A B, or C += A B. rows and depth are multiples of 32; strides in elements.
  template <bool kAdd>
  static void run(const std::uint16_t* a, std::int64_t a_stride, const std::uint16_t* b, int rows, int depth,
                  float* c) {
    constexpr std::int64_t kCBytes = kQueries * 4;
    constexpr std::int64_t kBBytes = kQueries * 4;
    const std::int64_t a_bytes = a_stride * 2;
    for (int r = 0; r < rows; r += kRows) {
      float* block = c + static_cast<std::int64_t>(r) * kQueries;
      if constexpr (kAdd) {
        Tiles::template load<0>(block, kCBytes);
        Tiles::template load<1>(block + 16, kCBytes);
        Tiles::template load<2>(block + 16 * kQueries, kCBytes);
        Tiles::template load<3>(block + 16 * kQueries + 16, kCBytes);
      } else {
        Tiles::template zero<0>();
        Tiles::template zero<1>();
        Tiles::template zero<2>();
        Tiles::template zero<3>();
      }
      const std::uint16_t* upper = a + r * a_stride;
      const std::uint16_t* lower = upper + 16 * a_stride;
      for (int k = 0; k < depth; k += kDepth) {
        const std::uint16_t* pairs = b + static_cast<std::int64_t>(k) * kQueries;
        Tiles::template load<4>(upper + k, a_bytes);
        Tiles::template load<6>(pairs, kBBytes);
        Tiles::template dot<0, 4, 6>();
        Tiles::template load<7>(pairs + 32, kBBytes);
        Tiles::template dot<1, 4, 7>();
        Tiles::template load<5>(lower + k, a_bytes);
        Tiles::template dot<2, 5, 6>();
        Tiles::template dot<3, 5, 7>();
      }
      Tiles::template store<0>(block, kCBytes);
      Tiles::template store<1>(block + 16, kCBytes);
      Tiles::template store<2>(block + 16 * kQueries, kCBytes);
      Tiles::template store<3>(block + 16 * kQueries + 16, kCBytes);
    }
  }
};

}  // namespace assay::substrate
