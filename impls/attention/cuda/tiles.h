#pragma once
// What the attention kernels are made of: tiles into shared memory, products of tiles on the tensor cores, the online
// softmax. A warp holds rows in multiples of 16 (kRowTiles of them); a thread's accumulator of a 16x8 product is
// float[4], see geometry.h for its rows and columns.
#include "impls/attention/cuda/geometry.h"

namespace assay::attention::cuda {

// Starts copying rows [0, valid) of a tile; the other rows become zeros. All kThreads threads take part.
template <int kRows, int kColumns, int kThreads>
ASSAY_DEVICE void copy_tile(std::uint32_t to, const std::uint16_t* from, std::int64_t row_stride, int valid,
                            int thread) {
  constexpr int kChunks = kColumns / 8;
  static_assert(kThreads % kChunks == 0 && kRows % (kThreads / kChunks) == 0);
  constexpr int kRowStep = kThreads / kChunks;
  const int row = thread / kChunks;
  const int chunk = thread % kChunks;
  const std::uint16_t* line = from + row * row_stride + chunk * 8;
  const std::uint32_t start = to + swizzled<kColumns>(row, chunk);
#pragma unroll
  for (int i = 0; i < kRows / kRowStep; ++i) {
    const bool inside = row + i * kRowStep < valid;
    // Steps of 8 rows repeat the swizzle.
    const std::uint32_t at =
        kRowStep % 8 == 0 ? start + i * kRowStep * kColumns * 2 : to + swizzled<kColumns>(row + i * kRowStep, chunk);
    copy_async(at, inside ? line : from, inside);
    line += kRowStep * row_stride;
  }
}

// C += A B^T for A rows [a_row, a_row + 16 kRowTiles) and B rows [b_row, b_row + 8 kColumnTiles), both stored with
// their kDepth columns swizzled in shared memory. S = Q K^T is this.
template <class Element, int kDepth, int kRowTiles, int kColumnTiles>
ASSAY_DEVICE void multiply_rows(float (&c)[kRowTiles][kColumnTiles][4], std::uint32_t a, int a_row, std::uint32_t b,
                                int b_row, int lane) {
  static_assert(kColumnTiles % 2 == 0);
  const std::uint32_t a_origin = a + origin_by_rows<kDepth>(a_row, lane);
  const std::uint32_t b_origin = b + origin_by_columns<kDepth>(b_row, lane);
#pragma unroll
  for (int k = 0; k < kDepth / 16; ++k) {
    std::uint32_t left[kRowTiles][4];
#pragma unroll
    for (int i = 0; i < kRowTiles; ++i) {
      load_matrices(left[i], piece<kDepth>(a_origin, i * 16, k * 2));
    }
#pragma unroll
    for (int j = 0; j < kColumnTiles / 2; ++j) {
      std::uint32_t right[4];
      load_matrices(right, piece<kDepth>(b_origin, j * 16, k * 2));
#pragma unroll
      for (int i = 0; i < kRowTiles; ++i) {
        multiply_add<Element>(c[i][2 * j], left[i], right[0], right[1]);
        multiply_add<Element>(c[i][2 * j + 1], left[i], right[2], right[3]);
      }
    }
  }
}

// Accumulators rounded to elements, a pair of columns a word: what a product left in registers as the left side of the
// next one, because the accumulators of two neighbouring 16x8 tiles have the layout of a 16x16 A fragment.
template <class Element, int kRowTiles, int kTiles>
ASSAY_DEVICE void round_to_left(std::uint32_t (&left)[kRowTiles][kTiles / 2][4],
                                const float (&c)[kRowTiles][kTiles][4]) {
#pragma unroll
  for (int i = 0; i < kRowTiles; ++i) {
#pragma unroll
    for (int j = 0; j < kTiles; ++j) {
      left[i][j / 2][j % 2 * 2] = pack<Element>(c[i][j][0], c[i][j][1]);
      left[i][j / 2][j % 2 * 2 + 1] = pack<Element>(c[i][j][2], c[i][j][3]);
    }
  }
}

// C += P B for P in registers (kSteps fragments of 16 columns) and B [16 kSteps rows x kColumns] in shared memory, of
// which columns [first, first + 8 kColumnTiles), `first` a multiple of their number (a power of two), are taken. O += P
// V is this.
template <class Element, int kColumns, int kRowTiles, int kSteps, int kColumnTiles>
ASSAY_DEVICE void multiply_registers(float (&c)[kRowTiles][kColumnTiles][4],
                                     const std::uint32_t (&p)[kRowTiles][kSteps][4], std::uint32_t b, int first,
                                     int lane) {
  static_assert(kColumnTiles % 2 == 0);
  const std::uint32_t origin = piece<kColumns>(b + origin_by_rows<kColumns>(0, lane), 0, first / 8);
#pragma unroll
  for (int k = 0; k < kSteps; ++k) {
#pragma unroll
    for (int j = 0; j < kColumnTiles / 2; ++j) {
      std::uint32_t right[4];
      load_matrices_transposed(right, piece<kColumns>(origin, k * 16, j * 2));
#pragma unroll
      for (int i = 0; i < kRowTiles; ++i) {
        multiply_add<Element>(c[i][2 * j], p[i][k], right[0], right[1]);
        multiply_add<Element>(c[i][2 * j + 1], p[i][k], right[2], right[3]);
      }
    }
  }
}

// C += A B for A stored with its rows in rows (`a`, kDepth columns) and B as above; 16 rows of A from a_row on.
template <class Element, int kDepth, int kColumns, int kColumnTiles>
ASSAY_DEVICE void multiply_stored(float (&c)[1][kColumnTiles][4], std::uint32_t a, int a_row, std::uint32_t b,
                                  int first, int lane) {
  const std::uint32_t a_origin = a + origin_by_rows<kDepth>(a_row, lane);
  const std::uint32_t b_origin = piece<kColumns>(b + origin_by_rows<kColumns>(0, lane), 0, first / 8);
#pragma unroll
  for (int k = 0; k < kDepth / 16; ++k) {
    std::uint32_t left[4];
    load_matrices(left, piece<kDepth>(a_origin, 0, k * 2));
#pragma unroll
    for (int j = 0; j < kColumnTiles / 2; ++j) {
      std::uint32_t right[4];
      load_matrices_transposed(right, piece<kColumns>(b_origin, k * 16, j * 2));
      multiply_add<Element>(c[0][2 * j], left, right[0], right[1]);
      multiply_add<Element>(c[0][2 * j + 1], left, right[2], right[3]);
    }
  }
}

// C += A^T B for A stored with its depth in rows (kDepth rows of 64 columns); rows [a_first, a_first + 16) of A^T.
template <class Element, int kDepth, int kColumns, int kColumnTiles>
ASSAY_DEVICE void multiply_turned(float (&c)[1][kColumnTiles][4], std::uint32_t a, int a_first, std::uint32_t b,
                                  int first, int lane) {
  const std::uint32_t a_origin = piece<64>(a + origin_by_columns<64>(0, lane), 0, a_first / 8);
  const std::uint32_t b_origin = piece<kColumns>(b + origin_by_rows<kColumns>(0, lane), 0, first / 8);
#pragma unroll
  for (int k = 0; k < kDepth / 16; ++k) {
    std::uint32_t left[4];
    load_matrices_transposed(left, piece<64>(a_origin, k * 16, 0));
#pragma unroll
    for (int j = 0; j < kColumnTiles / 2; ++j) {
      std::uint32_t right[4];
      load_matrices_transposed(right, piece<kColumns>(b_origin, k * 16, j * 2));
      multiply_add<Element>(c[0][2 * j], left, right[0], right[1]);
      multiply_add<Element>(c[0][2 * j + 1], left, right[2], right[3]);
    }
  }
}

// The row of a warp in kernels that take a row a warp, four a block.
ASSAY_DEVICE std::int64_t row_of_warp() { return static_cast<std::int64_t>(block_x()) * 4 + thread_index() / kWarp; }

template <int kRowTiles, int kTiles>
ASSAY_DEVICE void clear(float (&c)[kRowTiles][kTiles][4]) {
#pragma unroll
  for (int i = 0; i < kRowTiles; ++i)
#pragma unroll
    for (int j = 0; j < kTiles; ++j)
#pragma unroll
      for (int e = 0; e < 4; ++e) c[i][j][e] = 0.0F;
}

// The four lanes that hold a row.
ASSAY_DEVICE float row_max(float value) {
  value = larger(value, shuffle_xor(value, 1));
  return larger(value, shuffle_xor(value, 2));
}
ASSAY_DEVICE float row_sum(float value) {
  value += shuffle_xor(value, 1);
  return value + shuffle_xor(value, 2);
}

// Scores of keys that a row does not see become -inf. `first_row` is the query of the warp's row 0, `first_key` the key
// of column 0.
template <int kRowTiles, int kTiles>
ASSAY_DEVICE void mask_scores(float (&s)[kRowTiles][kTiles][4], const Mask& mask, int first_row, int first_key,
                              int lane) {
#pragma unroll
  for (int i = 0; i < kRowTiles; ++i) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int visible = mask.visible(first_row + i * 16 + accumulator_row(lane, half * 2)) - first_key;
#pragma unroll
      for (int j = 0; j < kTiles; ++j) {
#pragma unroll
        for (int e = 0; e < 2; ++e) {
          if (j * 8 + accumulator_column(lane, e) >= visible) s[i][j][half * 2 + e] = kMinusInfinity;
        }
      }
    }
  }
}

// Rows of accumulators times a factor each.
template <int kTiles>
ASSAY_DEVICE void scale_rows(float (&c)[kTiles][4], const float (&factor)[2]) {
#pragma unroll
  for (int j = 0; j < kTiles; ++j)
#pragma unroll
    for (int e = 0; e < 4; ++e) c[j][e] *= factor[e / 2];
}

// The state of a thread's rows: maximum of the raw scores (whole row) and sum of the exponentials (this thread's
// columns; row_sum() once at the end).
template <int kRowTiles>
struct Softmax {
  float m[kRowTiles][2];
  float l[kRowTiles][2];

  ASSAY_DEVICE void start() {
#pragma unroll
    for (int i = 0; i < kRowTiles; ++i) {
      m[i][0] = m[i][1] = kMinusInfinity;
      l[i][0] = l[i][1] = 0.0F;
    }
  }

  // S becomes P = 2^(S c - m c), l is brought to the new maximum; c = scale log2 e, and O has to be multiplied by
  // alpha. A row that has seen no key keeps m = -inf and gets P = 0 rather than the NaN of -inf - -inf.
  template <int kTiles>
  ASSAY_DEVICE void advance(float (&s)[kRowTiles][kTiles][4], float (&alpha)[kRowTiles][2], float c) {
#pragma unroll
    for (int i = 0; i < kRowTiles; ++i) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float top = m[i][half];
#pragma unroll
        for (int j = 0; j < kTiles; ++j) top = larger(top, larger(s[i][j][half * 2], s[i][j][half * 2 + 1]));
        top = row_max(top);
        const float safe = top == kMinusInfinity ? 0.0F : top;
        alpha[i][half] = power_of_two((m[i][half] - safe) * c);
        const float shift = -safe * c;
        float sum = l[i][half] * alpha[i][half];
#pragma unroll
        for (int j = 0; j < kTiles; ++j) {
#pragma unroll
          for (int e = 0; e < 2; ++e) {
            float& score = s[i][j][half * 2 + e];
            score = power_of_two(fused(score, c, shift));
            sum += score;
          }
        }
        l[i][half] = sum;
        m[i][half] = top;
      }
    }
  }

  // The same, and O is multiplied at once.
  template <int kTiles, int kColumnTiles>
  ASSAY_DEVICE void step(float (&s)[kRowTiles][kTiles][4], float (&o)[kRowTiles][kColumnTiles][4], float c) {
    float alpha[kRowTiles][2];
    advance(s, alpha, c);
#pragma unroll
    for (int i = 0; i < kRowTiles; ++i) scale_rows(o[i], alpha[i]);
  }
};

// LSE = m scale + ln l; -inf for a row that saw no key. `l` is the sum over the whole row.
ASSAY_DEVICE float log_sum_exp(float m, float l, float scale) {
  return l > 0.0F ? fused(m, scale, natural_log(l)) : kMinusInfinity;
}

}  // namespace assay::attention::cuda
