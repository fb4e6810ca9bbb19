#pragma once
// What one rank sent and received, aggregated per (peer, kind): payload bytes and messages as counted at the Rank API,
// and how long they were under way.
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
    // From the newest: a collective uses the entries it has just made.
    for (auto i = static_cast<std::uint32_t>(keys_.size()); i-- > 0;)
      if (keys_[i] == key) return i;
    keys_.push_back(key);
    entries_.push_back({.tag = tag, .peer = peer, .direction = direction});
    return static_cast<std::uint32_t>(entries_.size() - 1);
  }
  MessageLogEntry& operator[](std::uint32_t index) { return entries_[index]; }
  const std::vector<MessageLogEntry>& entries() const { return entries_; }

 private:
  std::vector<MessageLogEntry> entries_;  // in order of first use
  std::vector<std::uint64_t> keys_;       // of the entries, close together for the search
};

}  // namespace assay::substrate
