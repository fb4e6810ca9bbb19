#pragma once
// Message halves that wait for their partners, by ordered pair of ranks. Only pairs with a waiting half have a channel:
// an all-to-all goes through the square of its ranks, and what it remembers of them has to stay near the caches.
#include <array>
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
  explicit Channels(int ranks) : near_(static_cast<std::size_t>(ranks)), far_(64) {}

  // Brings a receiver's channels near the caches.
  void fetch(std::size_t to) const { __builtin_prefetch(&near_[to], 1); }

  // Made where there is none; valid until the next call.
  Channel& operator()(int from, int to) {
    const std::uint64_t key = (static_cast<std::uint64_t>(from) << 32) | static_cast<std::uint32_t>(to);
    Near& near = near_[static_cast<std::size_t>(to)];
    Channel* unused = nullptr;
    for (Channel& each : near.channels) {
      if (each.key == key) return each;
      if (each.key == kUnused) unused = &each;
    }
    if (near.far > 0) {
      const std::size_t slot = find(key);
      if (far_[slot].key == key) return far_[slot];
    }
    if (unused == nullptr) {
      if (2 * ++in_far_ > far_.size()) grow();
      ++near.far;
      unused = &far_[find(key)];
    }
    unused->key = key;
    return *unused;
  }

  // Forgets a channel from which its last half was taken.
  void release(Channel& empty) {
    Near& near = near_[static_cast<std::uint32_t>(empty.key)];
    if (&empty >= near.channels.data() && &empty < near.channels.data() + near.channels.size()) {
      empty = {};
      return;
    }
    --near.far;
    --in_far_;
    // Who was put behind it because its place was taken moves up (Knuth, TAOCP 3, section 6.4, algorithm R).
    const std::size_t mask = far_.size() - 1;
    auto hole = static_cast<std::size_t>(&empty - far_.data());
    for (std::size_t at = (hole + 1) & mask; far_[at].key != kUnused; at = (at + 1) & mask) {
      if (((at - home(far_[at].key)) & mask) < ((at - hole) & mask)) continue;
      far_[hole] = far_[at];
      hole = at;
    }
    far_[hole] = {};
  }

 private:
  static constexpr std::uint64_t kUnused = ~std::uint64_t{0};

  // Of one receiver: a regular program keeps few, which share a cache line. The many of an all-to-all or a gather lie
  // in a table of all ranks: open addressing, at most half full.
  struct alignas(64) Near {
    std::array<Channel, 3> channels;
    std::uint32_t far = 0;
  };

  std::size_t home(std::uint64_t key) const {
    return static_cast<std::size_t>((key * 0x9E3779B97F4A7C15ULL) >> 32) & (far_.size() - 1);
  }

  std::size_t find(std::uint64_t key) const {
    std::size_t slot = home(key);
    while (far_[slot].key != key && far_[slot].key != kUnused) slot = (slot + 1) & (far_.size() - 1);
    return slot;
  }

  void grow() {
    std::vector<Channel> old(2 * far_.size());
    old.swap(far_);
    for (const Channel& each : old)
      if (each.key != kUnused) far_[find(each.key)] = each;
  }

  std::vector<Near> near_;
  std::vector<Channel> far_;
  std::size_t in_far_ = 0;
};

}  // namespace assay::substrate
