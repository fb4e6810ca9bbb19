#include "impls/hardware/cuda/element_value.h"

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <stdexcept>

namespace assay::hardware::cuda {
namespace {

struct Format {
  int exponent_bits;
  int mantissa_bits;
  bool infinities;  // without them the highest exponent holds numbers, and only all ones is NaN
};

double decoded(std::uint32_t bits, const Format& format) {
  const std::uint32_t mantissa_mask = (1U << format.mantissa_bits) - 1;
  const std::uint32_t exponent_mask = (1U << format.exponent_bits) - 1;
  const std::uint32_t mantissa = bits & mantissa_mask;
  const std::uint32_t exponent = (bits >> format.mantissa_bits) & exponent_mask;
  const bool negative = (bits >> (format.mantissa_bits + format.exponent_bits) & 1U) != 0;
  const int bias = (1 << (format.exponent_bits - 1)) - 1;
  double value = 0;
  if (exponent == exponent_mask && format.infinities)
    value = mantissa == 0 ? HUGE_VAL : std::numeric_limits<double>::quiet_NaN();
  else if (exponent == exponent_mask && mantissa == mantissa_mask)
    value = std::numeric_limits<double>::quiet_NaN();
  else if (exponent == 0)
    value = std::ldexp(mantissa, 1 - bias - format.mantissa_bits);
  else
    value = std::ldexp(mantissa + (mantissa_mask + 1), static_cast<int>(exponent) - bias - format.mantissa_bits);
  return negative ? -value : value;
}

}  // namespace

double element_value(Element type, const std::byte* at) {
  const auto bits = [&](std::size_t bytes) {
    std::uint32_t held = 0;
    std::memcpy(&held, at, bytes);
    return held;
  };
  switch (type) {
    case Element::bf16:
      return decoded(bits(2), {8, 7, true});
    case Element::fp16:
      return decoded(bits(2), {5, 10, true});
    case Element::fp32:
      return decoded(bits(4), {8, 23, true});
    case Element::e4m3:
      return decoded(bits(1), {4, 3, false});
  }
  throw std::invalid_argument("not an element");
}

}  // namespace assay::hardware::cuda
