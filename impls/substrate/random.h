#pragma once
// Our own samplers: std distributions differ between standard libraries, ours give the same bits everywhere.
#include <cstdint>

namespace assay::substrate {

// xoshiro256** (Blackman and Vigna, 2018), seeded through splitmix64.
class Random {
 public:
  explicit Random(std::uint64_t seed);
  std::uint64_t bits();
  double uniform();                      // [0, 1), 53 bits
  double normal();                       // N(0, 1), Marsaglia's polar method
  std::uint64_t below(std::uint64_t n);  // [0, n), unbiased

 private:
  std::uint64_t s_[4];
  double spare_ = 0;
  bool has_spare_ = false;
};

}  // namespace assay::substrate
