#pragma once
// A run of elements of one type in memory.
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "impls/substrate/dtype.h"

namespace assay::substrate {

inline float load_element(DType dtype, const std::byte* data, std::int64_t at) {
  if (dtype == DType::f32) {
    float value = 0;
    std::memcpy(&value, data + at * 4, 4);
    return value;
  }
  std::uint16_t bits = 0;
  std::memcpy(&bits, data + at * 2, 2);
  return dtype == DType::bf16 ? to_float(BFloat16{bits}) : to_float(Float16{bits});
}

inline void store_element(DType dtype, float value, std::byte* data, std::int64_t at) {
  if (dtype == DType::f32) {
    std::memcpy(data + at * 4, &value, 4);
    return;
  }
  const std::uint16_t bits = dtype == DType::bf16 ? to_bf16(value).bits : to_f16(value).bits;
  std::memcpy(data + at * 2, &bits, 2);
}

// Largest relative error of rounding to nearest.
constexpr double unit_roundoff(DType dtype) {
  return dtype == DType::f32 ? 0x1p-24 : dtype == DType::bf16 ? 0x1p-8 : 0x1p-11;
}

}  // namespace assay::substrate
