#include "impls/substrate/simd/packing.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <type_traits>

#include "impls/substrate/simd/transpose.h"

namespace assay::substrate {
namespace {

template <class T>
T element(const Rows& from, std::int64_t row, std::int64_t column) {
  T value;
  std::memcpy(&value, from.data + (row * from.stride + column) * static_cast<std::int64_t>(sizeof(T)), sizeof value);
  return value;
}

template <class From, class To>
To convert(From value) {
  if constexpr (std::is_same_v<From, To>) {
    return value;
  } else {
    return to_float(value);
  }
}

// Calls body(From{}, To{}) with the element types of the tensor and of the operand.
template <class Body>
void with_types(DType from, DType to, Body body) {
  if (from == DType::f32) {
    body(float{}, float{});
  } else if (to == DType::f32) {
    body(BFloat16{}, float{});
  } else {
    body(BFloat16{}, BFloat16{});
  }
}

// Four 32-bit words of an operand, from `row` on: four elements as f32, or four pairs of bf16 neighbours.
template <class From, class To>
Words4 words_along_row(const Rows& from, int row, int column) {
  const std::byte* p = from.data + (row * from.stride + column) * static_cast<std::int64_t>(sizeof(From));
  if constexpr (std::is_same_v<From, To>) {
    return load_words(p);
  } else {
    std::uint16_t half[4];
    std::memcpy(half, p, sizeof half);
    return Words4{half[0], half[1], half[2], half[3]} << 16;
  }
}

// Four words of V, columns [column, column + 4): f32 elements of key `key`, or bf16 pairs of keys `key` and `key` + 1.
template <class From, class To>
Words4 words_across_keys(const Rows& from, int key, int column) {
  if constexpr (std::is_same_v<To, float>) {
    return words_along_row<From, To>(from, key, column);
  } else {
    std::uint16_t even[4];
    std::uint16_t odd[4];
    std::memcpy(even, from.data + (key * from.stride + column) * 2, sizeof even);
    std::memcpy(odd, from.data + ((key + 1) * from.stride + column) * 2, sizeof odd);
    return Words4{even[0], even[1], even[2], even[3]} | (Words4{odd[0], odd[1], odd[2], odd[3]} << 16);
  }
}

// Position of (depth, query) in a B operand: pairs of depths share a word when elements are bf16.
template <class T>
std::int64_t b_index(int depth, int query) {
  if constexpr (std::is_same_v<T, float>) {
    return static_cast<std::int64_t>(depth) * kTileQueries + query;
  } else {
    return (static_cast<std::int64_t>(depth / 2) * kTileQueries + query) * 2 + depth % 2;
  }
}

}  // namespace

void pack_queries(const TileKernels& kernels, const Rows& q, int depth, void* to) {
  with_types(q.dtype, kernels.operand, [&]<class From, class To>(From, To) {
    auto* out = static_cast<To*>(to);
    if (q.rows < kTileQueries || depth > q.columns) {
      std::fill_n(out, static_cast<std::int64_t>(depth) * kTileQueries, To{});
    }
    constexpr int kInWord = static_cast<int>(4 / sizeof(To));  // depths in a word
    const int whole_rows = q.rows / 4 * 4;
    const int whole_columns = q.columns / (4 * kInWord) * (4 * kInWord);
    for (int row = 0; row < whole_rows; row += 4) {
      for (int column = 0; column < whole_columns; column += 4 * kInWord) {
        Words4 a = words_along_row<From, To>(q, row, column);
        Words4 b = words_along_row<From, To>(q, row + 1, column);
        Words4 c = words_along_row<From, To>(q, row + 2, column);
        Words4 d = words_along_row<From, To>(q, row + 3, column);
        transpose(a, b, c, d);
        To* at = out + b_index<To>(column, row);
        constexpr int kNext = kTileQueries * kInWord;
        store_words(at, a);
        store_words(at + kNext, b);
        store_words(at + 2 * kNext, c);
        store_words(at + 3 * kNext, d);
      }
    }
    for (int row = 0; row < q.rows; ++row) {
      for (int column = row < whole_rows ? whole_columns : 0; column < q.columns; ++column) {
        out[b_index<To>(column, row)] = convert<From, To>(element<From>(q, row, column));
      }
    }
  });
}

void pack_keys(const TileKernels& kernels, const Rows& k, int padded_rows, int depth, void* to) {
  with_types(k.dtype, kernels.operand, [&]<class From, class To>(From, To) {
    auto* out = static_cast<To*>(to);
    for (int row = 0; row < k.rows; ++row) {
      To* line = out + static_cast<std::int64_t>(row) * depth;
      for (int column = 0; column < k.columns; ++column) {
        line[column] = convert<From, To>(element<From>(k, row, column));
      }
      std::fill(line + k.columns, line + depth, To{});
    }
    std::fill(out + static_cast<std::int64_t>(k.rows) * depth, out + static_cast<std::int64_t>(padded_rows) * depth,
              To{});
  });
}

void pack_values(const TileKernels& kernels, const Rows& v, int padded_columns, int padded_keys, std::int64_t stride,
                 void* to) {
  with_types(v.dtype, kernels.operand, [&]<class From, class To>(From, To) {
    auto* out = static_cast<To*>(to);
    constexpr int kInWord = static_cast<int>(4 / sizeof(To));  // keys in a word
    const int whole_keys = v.rows / (4 * kInWord) * (4 * kInWord);
    const int whole_columns = v.columns / 4 * 4;
    for (int key = 0; key < whole_keys; key += 4 * kInWord) {
      for (int column = 0; column < whole_columns; column += 4) {
        Words4 a = words_across_keys<From, To>(v, key, column);
        Words4 b = words_across_keys<From, To>(v, key + kInWord, column);
        Words4 c = words_across_keys<From, To>(v, key + 2 * kInWord, column);
        Words4 d = words_across_keys<From, To>(v, key + 3 * kInWord, column);
        transpose(a, b, c, d);
        To* at = out + column * stride + key;
        store_words(at, a);
        store_words(at + stride, b);
        store_words(at + 2 * stride, c);
        store_words(at + 3 * stride, d);
      }
    }
    for (int column = 0; column < padded_columns; ++column) {
      To* line = out + column * stride;
      const int have = column < v.columns ? v.rows : 0;
      for (int key = column < whole_columns ? whole_keys : 0; key < have; ++key) {
        line[key] = convert<From, To>(element<From>(v, key, column));
      }
      std::fill(line + have, line + padded_keys, To{});
    }
  });
}

void unpack_output(const float* o, const float* scale, int rows, int columns, const Row* to, DType dtype) {
  const int whole_rows = rows / 4 * 4;
  const int whole_columns = columns / 4 * 4;
  const auto put = [&](int row, int column, float value) {
    if (dtype == DType::f32) {
      std::memcpy(to[row] + column * 4, &value, sizeof value);
    } else {
      const BFloat16 rounded = to_bf16(value);
      std::memcpy(to[row] + column * 2, &rounded, sizeof rounded);
    }
  };
  using Floats4 = float __attribute__((vector_size(16)));
  for (int row = 0; row < whole_rows; row += 4) {
    Floats4 factor;
    std::memcpy(&factor, scale + row, sizeof factor);
    for (int column = 0; column < whole_columns; column += 4) {
      Words4 words[4];
      for (int i = 0; i < 4; ++i) {
        Floats4 values;
        std::memcpy(&values, o + static_cast<std::int64_t>(column + i) * kTileQueries + row, sizeof values);
        words[i] = std::bit_cast<Words4>(values * factor);
      }
      transpose(words[0], words[1], words[2], words[3]);
      for (int i = 0; i < 4; ++i) {
        if (dtype == DType::f32) {
          store_words(to[row + i] + column * 4, words[i]);
        } else {  // to_bf16, four at a time
          const Words4 nearest = (words[i] + 0x7fffU + ((words[i] >> 16) & 1U)) >> 16;
          const Words4 is_nan = std::bit_cast<Words4>((words[i] & 0x7fffffffU) > Words4{} + 0x7f800000U);
          const Words4 rounded = (is_nan & ((words[i] >> 16) | 0x40U)) | (~is_nan & nearest);
          const std::uint16_t half[4] = {static_cast<std::uint16_t>(rounded[0]), static_cast<std::uint16_t>(rounded[1]),
                                         static_cast<std::uint16_t>(rounded[2]),
                                         static_cast<std::uint16_t>(rounded[3])};
          std::memcpy(to[row + i] + column * 2, half, sizeof half);
        }
      }
    }
  }
  for (int row = 0; row < rows; ++row) {
    for (int column = row < whole_rows ? whole_columns : 0; column < columns; ++column) {
      put(row, column, o[static_cast<std::int64_t>(column) * kTileQueries + row] * scale[row]);
    }
  }
}

}  // namespace assay::substrate
