#pragma once
// Operands of the matrix and integer probes with results known in advance, and the chains of the latency probes. Host
// code.
#include <cstdint>
#include <vector>

#include "harness/state.h"
#include "impls/hardware/cuda/ubench_layout.h"

namespace assay::hardware::cuda {

// A permutation that is one cycle: next[i] of each node.
std::vector<std::uint32_t> random_cycle(std::uint32_t nodes, std::uint64_t seed);

// A [m][K] and `chains` times B [K][n] of small random integers, which every type holds exactly, laid out as the
// instruction wants them.
class Operands {
 public:
  Operands(MatrixType type, int m, int n, int chains, bool group);
  void draw(std::uint64_t seed);
  const std::vector<std::uint32_t>& a() const { return a_words_; }
  const std::vector<std::uint32_t>& b() const { return b_words_; }

  // D = rounds * A B, of every warp and chain (or group), exactly; at most rounds_of(type) rounds.
  harness::Check compare(const std::vector<std::uint32_t>& d, int rounds) const;

 private:
  double product(int chain, int row, int column) const;

  MatrixType type_;
  int m_, n_, chains_;
  bool group_;
  std::vector<int> a_, b_;  // [m][K]; [chain][K][n]
  std::vector<std::uint32_t> a_words_, b_words_;
};

// What a chain of fused integer operations is after `rounds`, and operands for it: sums that grow with every round and
// overflow in none of 2048, from both sides of 0.
std::uint32_t dpx_result(Dpx what, std::uint32_t x, std::uint32_t a, std::uint32_t b, int rounds);
std::vector<std::uint32_t> dpx_operands(Dpx what, int chains, std::uint64_t seed);

// The bits of a small integer.
std::uint32_t bits_of_integer(MatrixType type, int value);

}  // namespace assay::hardware::cuda
