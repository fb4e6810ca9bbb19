#pragma once
// What one rank sent and received, aggregated per (peer, kind): payload bytes and messages as counted at the Rank API,
// and how long they were under way.
#include <bit>
#include <cstdint>
#include <vector>

#include "impls/substrate/fabric/virtual_time.h"

namespace assay::substrate {

// Checked when two halves of a message meet, never used to choose between messages. The name is the kind in logs.
struct Tag {
  std::uint16_t value = 0;
  const char* name = "message";
};

enum class Direction : std::uint8_t { sent, received };

struct alignas(64) MessageLogEntry {
  Tag tag;
  int peer = 0;
  Direction direction = Direction::sent;
  std::int64_t messages = 0;
  std::int64_t bytes = 0;
  Picoseconds in_flight = 0;         // sum over messages, from both halves posted to delivered
  Picoseconds exposed = 0;           // time the rank stood waiting for these messages ...
  Picoseconds exposed_transfer = 0;  // ... of which both halves were posted: the wire and not a late peer was at fault
};

class MessageLog {
 public:
  // The entry of one (peer, kind, direction), made on first use; the index stays valid.
  std::uint32_t entry(int peer, Tag tag, Direction direction) {
    const std::uint64_t key = (static_cast<std::uint64_t>(peer) << 17) | (static_cast<std::uint64_t>(tag.value) << 1) |
                              static_cast<std::uint64_t>(direction);
    if (entries_.size() > kSearched) {
      std::uint32_t& known = slots_[find(key)];
      if (known != kUnused) return known;
    } else {
      // From the newest: a collective uses the entries it has just made.
      for (auto i = static_cast<std::uint32_t>(keys_.size()); i-- > 0;)
        if (keys_[i] == key) return i;
    }
    const auto made = static_cast<std::uint32_t>(entries_.size());
    keys_.push_back(key);
    entries_.push_back({.tag = tag, .peer = peer, .direction = direction});
    if (entries_.size() > kSearched) index();
    return made;
  }
  MessageLogEntry& operator[](std::uint32_t index) { return entries_[index]; }
  const std::vector<MessageLogEntry>& entries() const { return entries_; }

 private:
  static constexpr std::size_t kSearched = 24;  // entries among which looking at all is faster than a table
  static constexpr std::uint32_t kUnused = ~std::uint32_t{0};

  // Peers that are met one after the other lie side by side; what is found there of another kind sends the key
  // elsewhere.
  std::size_t find(std::uint64_t key) const {
    const std::size_t mask = slots_.size() - 1;
    const auto held = [&](std::size_t slot) { return slots_[slot] == kUnused || keys_[slots_[slot]] == key; };
    std::size_t slot = ((key >> 17 << 1) + (key & 0x1FFFF) * 0x9E3779B1U) & mask;
    if (held(slot)) return slot;
    slot = static_cast<std::size_t>((key * 0x9E3779B97F4A7C15ULL) >> 32) & mask;
    while (!held(slot)) slot = (slot + 1) & mask;
    return slot;
  }

  // Puts the newest entry in the table, or all where that has no room left.
  void index() {
    std::uint32_t first = static_cast<std::uint32_t>(keys_.size()) - 1;
    if (2 * keys_.size() > slots_.size()) {
      slots_.assign(4 * std::bit_ceil(keys_.size()), kUnused);
      first = 0;
    }
    for (std::uint32_t i = first; i < keys_.size(); ++i) slots_[find(keys_[i])] = i;
  }

  std::vector<MessageLogEntry> entries_;  // in order of first use
  std::vector<std::uint64_t> keys_;       // of the entries, close together for the search
  std::vector<std::uint32_t> slots_;      // of many entries: their indices, open addressing, at most half full
};

}  // namespace assay::substrate
