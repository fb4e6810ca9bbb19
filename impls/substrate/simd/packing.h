#pragma once
// Brings Q, K and V into the operand forms of tile_kernels.h. Everything is padded with zeros to the grains of the
// table, so that the products need no edge cases; padded keys are masked before the softmax.
#include <cstdint>

#include "impls/substrate/simd/tile_kernels.h"
#include "impls/substrate/tensor.h"

namespace assay::substrate {

// `rows` rows of `columns` elements, `stride` elements apart.
struct Rows {
  const std::byte* data;
  DType dtype;
  std::int64_t stride;
  int rows;
  int columns;
};

// B operand [depth][32] from up to 32 rows of Q: the transpose, missing rows zero. depth >= columns.
void pack_queries(const TileKernels& kernels, const Rows& q, int depth, void* to);

// A operand [padded_rows][depth] from rows of K.
void pack_keys(const TileKernels& kernels, const Rows& k, int padded_rows, int depth, void* to);

// A operand [padded_columns][stride] from rows of V: the transpose of `v.rows` keys into the first columns of each row;
// elements from v.rows up to padded_keys are zero.
void pack_values(const TileKernels& kernels, const Rows& v, int padded_columns, int padded_keys, std::int64_t stride,
                 void* to);

// The other way: O^T [columns][32] times scale[query], to `rows` rows of `columns` elements of `dtype`. A NaN of O may
// lose its payload, never become a number.
using Row = std::byte*;
void unpack_output(const float* o, const float* scale, int rows, int columns, const Row* to, DType dtype);

}  // namespace assay::substrate
