#pragma once
// The mapping executed on data: what the banks hold, and the same command streams that are timed, run on values. It
// proves that every weight is where the streams expect it and that every partial sum arrives.
#include <span>
#include <vector>

#include "impls/hardware/pim/mapping.h"

namespace assay::hardware {

class BankMemory {
 public:
  explicit BankMemory(const Mapping& mapping);  // all zero; elements are kept as bf16

  // Row-major: `weights` [outputs, inputs]; `positions` [max_positions, hidden].
  void load(Matrix matrix, int layer, std::span<const float> weights);
  void load_positions(std::span<const float> positions);

  // y = W x; s[head, key] = q . K[key]; o = p V; x = embedding + position. Results are bf16 as they leave the banks.
  std::vector<float> multiply(Matrix matrix, int layer, std::span<const float> x);
  void write_key_value(int layer, std::int64_t position, std::span<const float> key, std::span<const float> value);
  std::vector<float> scores(int layer, std::int64_t keys, std::span<const float> query);
  std::vector<float> weighted_values(int layer, std::int64_t keys, std::span<const float> probabilities);
  std::vector<float> embed(std::int64_t token, std::int64_t position);

  // How often each element of a bank was multiplied, for the test that every weight is used once.
  std::span<const std::uint8_t> uses(int channel, int bank) const;
  // Called on every command before it is executed; false drops it. For wrong versions that an oracle must reject.
  bool (*filter)(int channel, const Command& command) = nullptr;

 private:
  struct Bank {
    std::vector<float> values;
    std::vector<std::uint8_t> uses;
  };
  Bank& bank(int channel, int index) {
    return banks_[static_cast<std::size_t>(channel * mapping_.device().banks + index)];
  }
  void put(int channel, int index, std::int32_t row, std::int64_t element, float value);
  // Runs a stream: `in` is what goes to the pins in order (whole columns; one value for a masked write). Returns what
  // comes back: a value of every bank for a result, a column for a read.
  std::vector<float> execute(int channel, const Stream& stream, std::span<const float> in);

  const Mapping& mapping_;
  std::vector<Bank> banks_;
};

}  // namespace assay::hardware
