#pragma once
// Counter-based uniforms: a draw is a function of (seed, purpose, index, attempt), so that no consumer can change what
// another sees. The finaliser is splitmix64's.
#include <cstdint>

namespace assay::datasets {

constexpr std::uint64_t mixed_bits(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

// In (0, 1).
constexpr double counter_uniform(std::uint64_t seed, std::uint64_t purpose, std::uint64_t index,
                                 std::uint64_t attempt = 0) {
  const std::uint64_t bits = mixed_bits(mixed_bits(mixed_bits(mixed_bits(seed) ^ purpose) ^ index) ^ attempt);
  return (static_cast<double>(bits >> 11) + 0.5) * 0x1.0p-53;
}

}  // namespace assay::datasets
