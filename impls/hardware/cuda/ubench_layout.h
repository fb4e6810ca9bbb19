#pragma once
// Where the elements of a product lie for mma.sync and wgmma, as the PTX manual says (sections on matrix fragments and
// on the shared-memory layout without a swizzle), so that the host can make operands and check results.
#include "impls/hardware/cuda/ubench_kernels.h"

namespace assay::hardware::cuda {

struct Place {
  int row = 0, column = 0;
};

constexpr int bits_of(MatrixType type) { return type == MatrixType::tf32 ? 32 : type <= MatrixType::fp16 ? 16 : 8; }
// K of one instruction, of mma.sync and of wgmma alike but for tf32: 256 bits of operand a row.
constexpr int depth_of(MatrixType type) { return 256 / bits_of(type); }
constexpr int elements_a_word(MatrixType type) { return 32 / bits_of(type); }
// Of a sum that an instruction adds to, the bits below the leading one that count. The fp8 units of Hopper shift
// products to the sum's exponent and cut off what is below (arXiv 2512.07004; so DeepSeek-V3 found it, arXiv
// 2412.19437, 3.3.2), whatever the sum's register holds.
constexpr int bits_of_sum(MatrixType type) {
  return type == MatrixType::e4m3 ? 13 : type == MatrixType::int8 ? 31 : 23;
}
// Operands are integers from -largest to largest, and a product is added up so often that its sum stays exact.
constexpr int largest_operand(MatrixType type) { return type == MatrixType::e4m3 ? 1 : 4; }
constexpr int rounds_of(MatrixType type) { return type == MatrixType::e4m3 ? 256 : 1024; }

// mma.m16n8: element `e` of word `word` of a lane. A [16][K], words 0..3; B [K][8], words 0..1; C and D [16][8].
constexpr Place place_in_a(MatrixType type, int lane, int word, int e) {
  const int packed = elements_a_word(type);
  return {lane / 4 + 8 * (word & 1), lane % 4 * packed + e + 4 * packed * (word >> 1)};
}
constexpr Place place_in_b(MatrixType type, int lane, int word, int e) {
  const int packed = elements_a_word(type);
  return {lane % 4 * packed + e + 4 * packed * word, lane / 4};
}
constexpr Place place_in_d(int lane, int i) { return {lane / 4 + 8 * (i >> 1), lane % 4 * 2 + (i & 1)}; }

// wgmma.m64nN: element i of a thread's sums; D [64][N].
constexpr Place place_in_group(int thread, int i) {
  return {thread / 32 * 16 + thread % 32 / 4 + 8 * (i >> 1 & 1), i / 4 * 8 + thread % 4 * 2 + (i & 1)};
}
// Byte of (row, byte of K) in a tile of `rows` rows of 32 bytes: pieces of 8 rows by 16 bytes.
constexpr int byte_in_tile(int rows, int row, int byte) {
  return (byte / 16 * (rows / 8) + row / 8) * 128 + row % 8 * 16 + byte % 16;
}

}  // namespace assay::hardware::cuda
