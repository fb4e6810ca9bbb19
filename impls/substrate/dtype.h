#pragma once
// Element types of tensors and the conversions between them.
#include <bit>
#include <cstdint>
#include <string_view>

namespace assay::substrate {

enum class DType { f32, bf16, f16 };

constexpr std::string_view to_string(DType dtype) {
  return dtype == DType::f32 ? "fp32" : dtype == DType::bf16 ? "bf16" : "fp16";
}
constexpr int size_of(DType dtype) { return dtype == DType::f32 ? 4 : 2; }

// The upper half of a float32: 8 exponent bits, 7 mantissa bits.
struct BFloat16 {
  std::uint16_t bits = 0;
  bool operator==(const BFloat16&) const = default;
};

constexpr float to_float(BFloat16 value) { return std::bit_cast<float>(static_cast<std::uint32_t>(value.bits) << 16); }

// Round to nearest, ties to even; a NaN stays a (quiet) NaN.
constexpr BFloat16 to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7fffffffU) > 0x7f800000U) return {static_cast<std::uint16_t>((bits >> 16) | 0x40U)};
  return {static_cast<std::uint16_t>((bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16)};
}

// IEEE binary16: 5 exponent bits, 10 mantissa bits, subnormals.
struct Float16 {
  std::uint16_t bits = 0;
  bool operator==(const Float16&) const = default;
};

constexpr float to_float(Float16 value) {
  const std::uint32_t sign = static_cast<std::uint32_t>(value.bits & 0x8000U) << 16;
  const std::uint32_t exponent = (value.bits >> 10) & 31U;
  const std::uint32_t mantissa = value.bits & 0x3ffU;
  if (exponent == 0) {
    const float size = static_cast<float>(mantissa) * 0x1p-24F;
    return sign != 0 ? -size : size;
  }
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000U | mantissa << 13);
  return std::bit_cast<float>(sign | (exponent + 112U) << 23 | mantissa << 13);
}

// Round to nearest, ties to even; beyond 65504 and a half step infinity; a NaN stays a (quiet) NaN.
constexpr Float16 to_f16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = (bits >> 16) & 0x8000U;
  const std::uint32_t size = bits & 0x7fffffffU;
  std::uint32_t rounded = 0;
  if (size > 0x7f800000U) {
    rounded = 0x7e00U;
  } else if (size >= 0x477ff000U) {
    rounded = 0x7c00U;
  } else if (size >= 0x38800000U) {
    rounded = (size + 0xfffU + ((size >> 13) & 1U) - 0x38000000U) >> 13;
  } else if (const std::uint32_t exponent = size >> 23; exponent >= 102U) {
    const std::uint32_t mantissa = (size & 0x7fffffU) | 0x800000U;
    const std::uint32_t shift = 126U - exponent;
    const std::uint32_t rest = mantissa & ((1U << shift) - 1U);
    const std::uint32_t half = 1U << (shift - 1U);
    rounded = mantissa >> shift;
    if (rest > half || (rest == half && (rounded & 1U) != 0)) ++rounded;
  }
  return {static_cast<std::uint16_t>(sign | rounded)};
}

}  // namespace assay::substrate
