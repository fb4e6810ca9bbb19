#pragma once
// Element types of tensors and the conversions between them.
#include <bit>
#include <cstdint>
#include <string_view>

namespace assay::substrate {

enum class DType { f32, bf16 };

constexpr std::string_view to_string(DType dtype) { return dtype == DType::f32 ? "fp32" : "bf16"; }
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

}  // namespace assay::substrate
