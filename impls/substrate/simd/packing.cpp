#include "impls/substrate/simd/packing.h"

#include <algorithm>
#include <cstring>

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
    if (q.rows < kTileQueries || depth > q.columns)
      std::fill_n(out, static_cast<std::int64_t>(depth) * kTileQueries, To{});
    for (int row = 0; row < q.rows; ++row) {
      for (int column = 0; column < q.columns; ++column) {
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
      for (int column = 0; column < k.columns; ++column)
        line[column] = convert<From, To>(element<From>(k, row, column));
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
    constexpr int kBlock = 16;  // a block of the transpose stays in L1 on both sides
    for (int key0 = 0; key0 < v.rows; key0 += kBlock) {
      const int key1 = std::min(v.rows, key0 + kBlock);
      for (int column = 0; column < v.columns; ++column) {
        To* line = out + column * stride;
        for (int key = key0; key < key1; ++key) line[key] = convert<From, To>(element<From>(v, key, column));
      }
    }
    for (int column = 0; column < padded_columns; ++column) {
      To* line = out + column * stride;
      std::fill(line + (column < v.columns ? v.rows : 0), line + padded_keys, To{});
    }
  });
}

}  // namespace assay::substrate
