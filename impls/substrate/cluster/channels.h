#pragma once
// Message halves that wait for their partners, by ordered pair of ranks. One flat table: a regular program keeps a few
// channels a rank alive, and those of a thousand ranks then share a few dozen kilobytes.
#include <cstdint>
#include <utility>
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
  explicit Channels(int ranks) : ranks_(static_cast<std::size_t>(ranks)) {
    std::size_t size = 16;
    while (size < 4 * ranks_) size *= 2;
    resize(size);
  }

  // Brings what a receiver's channels lie in near the caches.
  void fetch(std::size_t to) const { __builtin_prefetch(&table_[to * stretch_], 1); }

  // Made on first use; valid until the next call. Channels are never removed.
  Channel& operator()(int from, int to) {
    const std::uint64_t key = (static_cast<std::uint64_t>(from) << 32) | static_cast<std::uint32_t>(to);
    std::size_t slot = find(key);
    if (table_[slot].key == kUnused) {
      if (2 * ++used_ > table_.size()) {
        std::vector<Channel> old(std::move(table_));
        resize(2 * old.size());
        for (const Channel& each : old)
          if (each.key != kUnused) table_[find(each.key)] = each;
        slot = find(key);
      }
      table_[slot].key = key;
    }
    return table_[slot];
  }

 private:
  static constexpr std::uint64_t kUnused = ~std::uint64_t{0};
  static constexpr std::size_t kNear = 8;

  // Receivers have a stretch of the table each, in order of rank, as ranks are met when a program is regular: who comes
  // next is then near in memory. A stretch that is full, as that of the root of a gather, spills over the whole table.
  std::size_t find(std::uint64_t key) const {
    const std::size_t mask = table_.size() - 1;
    const auto hash = static_cast<std::size_t>((key * 0x9E3779B97F4A7C15ULL) >> 32);
    const std::size_t first = static_cast<std::size_t>(static_cast<std::uint32_t>(key)) * stretch_ + hash % stretch_;
    for (std::size_t i = 0; i < kNear; ++i) {
      const std::uint64_t held = table_[(first + i) & mask].key;
      if (held == key || held == kUnused) return (first + i) & mask;
    }
    std::size_t slot = hash & mask;
    while (table_[slot].key != key && table_[slot].key != kUnused) slot = (slot + 1) & mask;
    return slot;
  }

  void resize(std::size_t size) {
    table_.assign(size, {});
    stretch_ = size / ranks_;
  }

  std::size_t ranks_;
  std::vector<Channel> table_;  // open addressing, at most half full
  std::size_t stretch_ = 1;
  std::size_t used_ = 0;
};

}  // namespace assay::substrate
