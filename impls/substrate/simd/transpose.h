#pragma once
// 4 x 4 transposes of 32-bit words in vector registers, in the compiler's portable vector types: enough for packing
// operands.
#include <cstdint>
#include <cstring>

namespace assay::substrate {

using Words4 = std::uint32_t __attribute__((vector_size(16)));

inline Words4 load_words(const void* from) {
  Words4 words;
  std::memcpy(&words, from, sizeof words);
  return words;
}

inline void store_words(void* to, Words4 words) { std::memcpy(to, &words, sizeof words); }

// Rows a, b, c, d become columns.
inline void transpose(Words4& a, Words4& b, Words4& c, Words4& d) {
  const Words4 ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5);
  const Words4 ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
  const Words4 cd_low = __builtin_shufflevector(c, d, 0, 4, 1, 5);
  const Words4 cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
  a = __builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5);
  b = __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7);
  c = __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5);
  d = __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7);
}

}  // namespace assay::substrate
