#pragma once
// Message halves that wait for their partners, by ordered pair of ranks. One flat table: a regular program keeps a few
// channels a rank alive, and those of a thousand ranks then share a few dozen kilobytes.
#include <cstdint>
#include <vector>

#include "impls/substrate/fabric/fabric.h"

namespace assay::substrate {

// Halves of one ordered pair that have not met their partners: all sends or all receives.
struct Channel {
  std::uint64_t key = ~std::uint64_t{0};  // (sender, receiver)
  OpId head = kNoOp, tail = kNoOp;
};

class Channels {
 public:
  explicit Channels(int ranks) {
    std::size_t size = 16;
    while (size < 4 * static_cast<std::size_t>(ranks)) size *= 2;
    table_.resize(size);
  }

  // Made on first use; valid until the next call.
  Channel& operator()(int from, int to) {
    const std::uint64_t key = (static_cast<std::uint64_t>(from) << 32) | static_cast<std::uint32_t>(to);
    std::size_t slot = slot_of(key);
    while (table_[slot].key != key) {
      if (table_[slot].key == kUnused) {
        if (2 * ++used_ > table_.size()) {
          grow();
          slot = slot_of(key);
          while (table_[slot].key != kUnused) slot = (slot + 1) & (table_.size() - 1);
        }
        table_[slot].key = key;
        break;
      }
      slot = (slot + 1) & (table_.size() - 1);
    }
    return table_[slot];
  }

 private:
  static constexpr std::uint64_t kUnused = ~std::uint64_t{0};

  std::size_t slot_of(std::uint64_t key) const {
    return static_cast<std::size_t>((key * 0x9E3779B97F4A7C15ULL) >> 32) & (table_.size() - 1);
  }

  void grow() {
    std::vector<Channel> old(2 * table_.size());
    old.swap(table_);
    for (const Channel& each : old) {
      if (each.key == kUnused) continue;
      std::size_t slot = slot_of(each.key);
      while (table_[slot].key != kUnused) slot = (slot + 1) & (table_.size() - 1);
      table_[slot] = each;
    }
  }

  std::vector<Channel> table_;  // open addressing, at most half full
  std::size_t used_ = 0;
};

}  // namespace assay::substrate
