#include "impls/hardware/cuda/ubench_operands.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <numeric>

#include "impls/substrate/dtype.h"
#include "impls/substrate/random.h"

namespace assay::hardware::cuda {

std::vector<std::uint32_t> random_cycle(std::uint32_t nodes, std::uint64_t seed) {
  // Sattolo's algorithm: swaps with an earlier place only, so what comes out is a single cycle.
  std::vector<std::uint32_t> next(nodes);
  std::iota(next.begin(), next.end(), 0U);
  substrate::Random random(seed);
  for (std::uint32_t i = nodes; i-- > 1;) std::swap(next[i], next[random.below(i)]);
  return next;
}

std::uint32_t dpx_result(Dpx what, std::uint32_t x, std::uint32_t a, std::uint32_t b, int rounds) {
  const bool relu = what == Dpx::addmax_s32_relu || what == Dpx::addmax_s16x2_relu;
  const auto chain = [&](std::int64_t value, std::int64_t add, std::int64_t floor) {
    for (int r = 0; r < rounds; ++r) {
      value = std::max(value + add, floor);
      if (relu) value = std::max<std::int64_t>(value, 0);
    }
    return value;
  };
  const auto whole = [](std::uint32_t word) { return static_cast<std::int32_t>(word); };
  if (what == Dpx::addmax_s32 || what == Dpx::addmax_s32_relu)
    return static_cast<std::uint32_t>(chain(whole(x), whole(a), whole(b)));
  const auto half = [](std::uint32_t word, int which) { return static_cast<std::int16_t>(word >> (16 * which)); };
  std::uint32_t out = 0;
  for (int which = 0; which < 2; ++which)
    out |= static_cast<std::uint32_t>(static_cast<std::uint16_t>(chain(half(x, which), half(a, which), half(b, which))))
           << (16 * which);
  return out;
}

std::vector<std::uint32_t> dpx_operands(Dpx what, int chains, std::uint64_t seed) {
  substrate::Random random(seed);
  const bool halves = what == Dpx::addmax_s16x2 || what == Dpx::addmax_s16x2_relu;
  const auto draw = [&](int least, int most) {
    const auto one = [&] {
      return least + static_cast<int>(random.below(static_cast<std::uint64_t>(most - least + 1)));
    };
    if (!halves) return static_cast<std::uint32_t>(one());
    const auto low = static_cast<std::uint16_t>(one());
    return static_cast<std::uint32_t>(low) | static_cast<std::uint32_t>(static_cast<std::uint16_t>(one())) << 16;
  };
  std::vector<std::uint32_t> out;
  for (int i = 0; i < 32 * chains; ++i) out.push_back(draw(-9000, 9000));
  for (int i = 0; i < 32; ++i) out.push_back(draw(1, 7));
  for (int i = 0; i < 32; ++i) out.push_back(draw(-9000, 9000));
  return out;
}

std::uint32_t bits_of_integer(MatrixType type, int value) {
  const auto real = static_cast<float>(value);
  switch (type) {
    case MatrixType::bf16:
      return substrate::to_bf16(real).bits;
    case MatrixType::fp16:
      return substrate::to_f16(real).bits;
    case MatrixType::tf32:
      return std::bit_cast<std::uint32_t>(real);
    case MatrixType::int8:
      return static_cast<std::uint8_t>(value);
    case MatrixType::e4m3: {
      // 4 exponent bits (bias 7), 3 mantissa bits: the upper bits of binary16 with another bias, for what fits.
      if (value == 0) return 0;
      const int size = std::abs(value);
      const int exponent = std::bit_width(static_cast<unsigned>(size)) - 1;
      const int mantissa = ((size << 3) >> exponent) & 7;
      return static_cast<std::uint32_t>((value < 0 ? 0x80 : 0) | (exponent + 7) << 3 | mantissa);
    }
  }
  return 0;
}

Operands::Operands(MatrixType type, int m, int n, int chains, bool group)
    : type_(type), m_(m), n_(n), chains_(chains), group_(group) {
  const auto depth = static_cast<std::size_t>(depth_of(type));
  a_.resize(static_cast<std::size_t>(m) * depth);
  b_.resize(static_cast<std::size_t>(chains * n) * depth);
  a_words_.resize(a_.size() / static_cast<std::size_t>(elements_a_word(type)));
  b_words_.resize(b_.size() / static_cast<std::size_t>(elements_a_word(type)));
}

void Operands::draw(std::uint64_t seed) {
  substrate::Random random(seed);
  const int largest = largest_operand(type_);
  const auto number = [&] {
    return static_cast<int>(random.below(2 * static_cast<std::uint64_t>(largest) + 1)) - largest;
  };
  std::generate(a_.begin(), a_.end(), number);
  std::generate(b_.begin(), b_.end(), number);
  std::fill(a_words_.begin(), a_words_.end(), 0U);
  std::fill(b_words_.begin(), b_words_.end(), 0U);
  const int depth = depth_of(type_);
  const int bits = bits_of(type_);
  const auto a_at = [&](int row, int k) { return a_[static_cast<std::size_t>(row * depth + k)]; };
  const auto b_at = [&](int chain, int k, int column) {
    return b_[static_cast<std::size_t>((chain * depth + k) * n_ + column)];
  };
  if (group_) {
    // Both operands have K along their rows of 32 bytes.
    const auto put = [&](std::vector<std::uint32_t>& words, int rows, int row, int k, int value) {
      const int byte = byte_in_tile(rows, row, k * bits / 8);
      words[static_cast<std::size_t>(byte / 4)] |= bits_of_integer(type_, value) << (byte % 4 * 8);
    };
    for (int k = 0; k < depth; ++k) {
      for (int row = 0; row < m_; ++row) put(a_words_, m_, row, k, a_at(row, k));
      for (int column = 0; column < n_; ++column) put(b_words_, n_, column, k, b_at(0, k, column));
    }
    return;
  }
  for (int lane = 0; lane < 32; ++lane) {
    for (int e = 0; e < elements_a_word(type_); ++e) {
      for (int word = 0; word < 4; ++word) {
        const Place at = place_in_a(type_, lane, word, e);
        a_words_[static_cast<std::size_t>(lane * 4 + word)] |= bits_of_integer(type_, a_at(at.row, at.column))
                                                               << (e * bits % 32);
      }
      for (int chain = 0; chain < chains_; ++chain) {
        for (int word = 0; word < 2; ++word) {
          const Place at = place_in_b(type_, lane, word, e);
          b_words_[static_cast<std::size_t>((chain * 32 + lane) * 2 + word)] |=
              bits_of_integer(type_, b_at(chain, at.row, at.column)) << (e * bits % 32);
        }
      }
    }
  }
}

double Operands::product(int chain, int row, int column) const {
  const int depth = depth_of(type_);
  int sum = 0;
  for (int k = 0; k < depth; ++k)
    sum +=
        a_[static_cast<std::size_t>(row * depth + k)] * b_[static_cast<std::size_t>((chain * depth + k) * n_ + column)];
  return sum;
}

harness::Check Operands::compare(const std::vector<std::uint32_t>& d, int rounds) const {
  std::vector<double> want(static_cast<std::size_t>(chains_ * m_ * n_));
  for (int chain = 0; chain < chains_; ++chain)
    for (int row = 0; row < m_; ++row)
      for (int column = 0; column < n_; ++column)
        want[static_cast<std::size_t>((chain * m_ + row) * n_ + column)] = rounds * product(chain, row, column);
  constexpr double tolerance = 0.5;
  harness::Check check;
  const std::size_t a_thread = static_cast<std::size_t>(group_ ? n_ / 2 : 4);
  for (std::size_t i = 0; i < d.size(); ++i) {
    const auto element = static_cast<int>(i % a_thread);
    const std::size_t thread = i / a_thread;
    const Place at = group_ ? place_in_group(static_cast<int>(thread % 128), element)
                            : place_in_d(static_cast<int>(thread % 32), element);
    const auto chain = group_ ? 0 : static_cast<int>(thread / 32 % static_cast<std::size_t>(chains_));
    const double got = type_ == MatrixType::int8 ? static_cast<double>(static_cast<std::int32_t>(d[i]))
                                                 : static_cast<double>(std::bit_cast<float>(d[i]));
    const double wanted = want[static_cast<std::size_t>((chain * m_ + at.row) * n_ + at.column)];
    const double error = std::abs(got - wanted) / tolerance;
    if (error <= check.error) continue;
    check.error = std::isnan(error) ? HUGE_VAL : error;
    check.detail = fmt::format("D[{}][{}] of chain {} is {}, want {}", at.row, at.column, chain, got, wanted);
  }
  return check;
}

}  // namespace assay::hardware::cuda
