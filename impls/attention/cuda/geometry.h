#pragma once
// Where things are: masks, tiles, swizzles and fragment maps of the kernels, as functions that the host can call and
// test as well. Lengths in tokens, addresses in bytes.
#include "impls/attention/cuda/simt.h"

namespace assay::attention::cuda {

ASSAY_HOST_DEVICE int smaller_of(int a, int b) { return a < b ? a : b; }
ASSAY_HOST_DEVICE int larger_of(int a, int b) { return a > b ? a : b; }
ASSAY_HOST_DEVICE int rounded_up(int value, int multiple) { return (value + multiple - 1) / multiple * multiple; }
ASSAY_HOST_DEVICE int parts(int value, int size) { return (value + size - 1) / size; }

// Which keys a query row of one sequence sees: all of them, or those up to the diagonal.
struct Mask {
  int queries = 0;
  int keys = 0;
  bool causal = false;
  int diagonal = 0;  // causal: row i sees keys j <= i + diagonal

  // Row `row` sees keys [0, visible(row)).
  ASSAY_HOST_DEVICE int visible(int row) const {
    return causal ? smaller_of(keys, larger_of(0, row + diagonal + 1)) : keys;
  }
  // Blocks of `block` keys that rows [first, first + rows) touch; rows beyond the last query count as the last.
  ASSAY_HOST_DEVICE int key_blocks(int first, int rows, int block) const {
    if (first >= queries) return 0;
    return parts(visible(smaller_of(first + rows, queries) - 1), block);
  }
  // Whether some row from `first` on does not see all of keys [first_key, first_key + block).
  ASSAY_HOST_DEVICE bool cuts(int first, int first_key, int block) const { return visible(first) < first_key + block; }
  // The first row that sees `key`; `queries` or more when none does.
  ASSAY_HOST_DEVICE int first_row_that_sees(int key) const { return causal ? larger_of(0, key - diagonal) : 0; }
};

// Address of 16-byte chunk `chunk` of row `row` in a tile of kColumns 16-bit elements a row. The chunk number is
// exclusive-or'ed with the row so that eight rows of one chunk (what ldmatrix reads in a pass) and eight chunks of one
// row (what a copy writes in a pass) lie in different banks.
template <int kColumns>
ASSAY_HOST_DEVICE std::uint32_t swizzled(int row, int chunk) {
  static_assert(kColumns % 64 == 0);
  return static_cast<std::uint32_t>((row * (kColumns / 8) + (chunk ^ (row & 7))) * 16);
}

// Which row and chunk of a 16x16 piece a lane addresses for ldmatrix.x4. `by_rows`: the four 8x8 matrices are taken
// down the rows first; this is the A operand as stored, and the B operand stored with its depth in rows (transposed
// load). `by_columns`: across the chunks first; the B operand stored with its depth in columns, and the A operand
// stored with its depth in rows (transposed load).
ASSAY_HOST_DEVICE int by_rows_row(int lane) { return lane & 15; }
ASSAY_HOST_DEVICE int by_rows_chunk(int lane) { return lane >> 4; }
ASSAY_HOST_DEVICE int by_columns_row(int lane) { return (lane & 7) + ((lane >> 4) << 3); }
ASSAY_HOST_DEVICE int by_columns_chunk(int lane) { return (lane >> 3) & 1; }

// A lane's address in the first such piece from row `row` (a multiple of 8) on, and from that its address in the piece
// `rows` further down and `chunks` to the right: equal to swizzled() of the sum, but with one exclusive-or where all of
// it is known to the compiler, because moving by 8 rows or by an even number of chunks leaves the other bits of the
// turn as they are. `origin` may have the tile's own address added, which is a multiple of 128.
template <int kColumns>
ASSAY_HOST_DEVICE std::uint32_t origin_by_rows(int row, int lane) {
  return swizzled<kColumns>(row + by_rows_row(lane), by_rows_chunk(lane));
}
template <int kColumns>
ASSAY_HOST_DEVICE std::uint32_t origin_by_columns(int row, int lane) {
  return swizzled<kColumns>(row + by_columns_row(lane), by_columns_chunk(lane));
}
template <int kColumns>
ASSAY_HOST_DEVICE std::uint32_t piece(std::uint32_t origin, int rows, int chunks) {
  return (origin ^ static_cast<std::uint32_t>((chunks & 7) * 16)) +
         static_cast<std::uint32_t>((chunks >> 3) * 128 + rows * kColumns * 2);
}

// Row and column of element i of a lane's accumulator of a 16x8 product.
ASSAY_HOST_DEVICE int accumulator_row(int lane, int i) { return (lane >> 2) + (i >> 1) * 8; }
ASSAY_HOST_DEVICE int accumulator_column(int lane, int i) { return (lane & 3) * 2 + (i & 1); }

// A 16-bit tensor of [batch, head, row, column], strides in elements, columns contiguous, rows 16-byte aligned.
struct Matrix {
  void* data = nullptr;
  std::int64_t batch = 0;
  std::int64_t head = 0;
  std::int64_t row = 0;

  ASSAY_HOST_DEVICE std::uint16_t* at(std::int64_t b, std::int64_t h, std::int64_t r) const {
    return static_cast<std::uint16_t*>(data) + b * batch + h * head + r * row;
  }
};

// Row `row` of all rows of [B, heads, queries].
struct QueryRow {
  int b, head, query;
};
ASSAY_HOST_DEVICE QueryRow query_row(std::int64_t row, int heads, int queries) {
  return {static_cast<int>(row / queries / heads), static_cast<int>(row / queries % heads),
          static_cast<int>(row % queries)};
}

// Sequences of different lengths lie one after the other: rows [starts[b], starts[b + 1]) are those of sequence b, and
// the tensors' batch stride is 0. Null: every sequence has the same length.
struct Ragged {
  const int* query_starts = nullptr;  // [B + 1]
  const int* key_starts = nullptr;    // [B + 1]
  // Rows of all sequences together, for those that describe whole tensors (sm_90a).
  int queries = 0;
  int keys = 0;
};

// One sequence of a batch: its first rows in the tensors and what its queries see.
struct Sequence {
  int first_query = 0;
  int first_key = 0;
  Mask mask;
};

// Ragged sequences are aligned bottom-right: the last query sees the last key.
ASSAY_HOST_DEVICE Sequence sequence_of(const Ragged& ragged, const Mask& even, int b) {
  Sequence s{0, 0, even};
  if (ragged.query_starts != nullptr) {
    s.first_query = ragged.query_starts[b];
    s.mask.queries = ragged.query_starts[b + 1] - s.first_query;
    s.first_key = ragged.key_starts[b];
    s.mask.keys = ragged.key_starts[b + 1] - s.first_key;
    s.mask.diagonal = s.mask.keys - s.mask.queries;
  }
  return s;
}

}  // namespace assay::attention::cuda
