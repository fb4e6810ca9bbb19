#pragma once
// Pending events in the order (time, flow ends first, rank, sequence). Ranks of a regular program act at the same
// instants, so events are kept in one bucket per distinct time: adding to a known time costs no queue operation. Time
// never goes back, so the times wait in a radix heap (Ahuja et al., Faster Algorithms for the Shortest Path Problem,
// JACM 37(2), 1990): by the highest bit in which they differ from the last time opened. A binary heap's comparisons
// cannot be predicted, and cost a tenth of a causal ring on a thousand ranks.
#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <utility>
#include <vector>

#include "impls/substrate/fabric/virtual_time.h"

namespace assay::substrate {

class EventQueue {
 public:
  struct Event {
    std::uint64_t key;      // order within one time
    std::uint32_t payload;  // rank of a continuation, slot of a flow
    std::uint32_t version;  // of a flow: events of older versions are void
    bool is_flow() const { return (key >> 63) == 0; }
  };

  void push_flow(Picoseconds time, std::uint32_t rank, std::uint32_t flow, std::uint32_t version) {
    push(time, {(std::uint64_t{rank} << kRankShift) | next_sequence(), flow, version});
  }
  void push_continuation(Picoseconds time, std::uint32_t rank) {
    push(time, {(std::uint64_t{1} << 63) | (std::uint64_t{rank} << kRankShift) | next_sequence(), rank, 0});
  }

  // Whether an event is left at the current time.
  bool more_now() const { return position_ < current_.size() || !late_.empty(); }
  bool empty() const { return !more_now() && levels_in_use_ == 0; }
  Picoseconds now() const { return now_; }
  const Picoseconds* clock() const { return &now_; }

  // The event `distance` places after the next one at the current time, or null: for fetching its memory early.
  const Event* ahead(std::size_t distance) const {
    return position_ + distance < current_.size() ? &current_[position_ + distance] : nullptr;
  }

  // An event of the times to come next, or null: a guess, for the same.
  const Event* soon() const {
    if (levels_in_use_ == 0) return nullptr;
    const std::vector<Pending>& nearest = times_[static_cast<std::size_t>(std::countr_zero(levels_in_use_))];
    const std::vector<Event>& events = buckets_[nearest.back().bucket].events;
    return events.empty() ? nullptr : &events.front();
  }

  // The next event; the current time moves on to its time. Requires !empty().
  Event pop() {
    if (!more_now()) open_next();
    if (!late_.empty() && (position_ == current_.size() || late_.front().key < current_[position_].key)) {
      std::pop_heap(late_.begin(), late_.end(), later);
      const Event event = late_.back();
      late_.pop_back();
      return event;
    }
    return current_[position_++];
  }

 private:
  static constexpr int kRankShift = 40;
  static constexpr int kDigitBits = 12;  // two digits hold the rank and whether it is a flow
  static constexpr std::size_t kManyEvents = 1024;
  static constexpr std::size_t kKnownTimes = 4096;
  struct Bucket {
    Picoseconds time = -1;
    std::vector<Event> events;
  };
  struct Pending {
    Picoseconds time;
    std::uint32_t bucket;
  };
  static bool later(const Event& a, const Event& b) { return a.key > b.key; }

  std::uint64_t next_sequence() { return sequence_++ & ((std::uint64_t{1} << kRankShift) - 1); }

  void push(Picoseconds time, const Event& event) {
    if (time <= now_) {
      late_.push_back(event);
      std::push_heap(late_.begin(), late_.end(), later);
      return;
    }
    const auto hash = static_cast<std::size_t>((static_cast<std::uint64_t>(time) * 0x9E3779B97F4A7C15ULL) >> 52);
    std::uint32_t bucket = known_[hash];
    if (bucket >= buckets_.size() || buckets_[bucket].time != time) {
      // A time that lost its place in the table gets a second bucket; open_next joins them.
      bucket = take_bucket(time);
      known_[hash] = bucket;
      add_time({time, bucket});
    }
    buckets_[bucket].events.push_back(event);
  }

  std::uint32_t take_bucket(Picoseconds time) {
    std::uint32_t bucket = 0;
    if (free_.empty()) {
      bucket = static_cast<std::uint32_t>(buckets_.size());
      buckets_.emplace_back();
    } else {
      bucket = free_.back();
      free_.pop_back();
    }
    buckets_[bucket].time = time;
    return bucket;
  }

  // Level 0 holds the times equal to now_, level k those that differ from it in bit k - 1 and no higher one.
  void add_time(const Pending& pending) {
    const auto differs = static_cast<std::uint64_t>(pending.time ^ now_);
    const auto level = static_cast<std::size_t>(std::bit_width(differs));
    times_[level].push_back(pending);
    levels_in_use_ |= std::uint64_t{1} << level;
  }

  void open_next() {
    current_.clear();
    position_ = 0;
    const auto lowest = static_cast<std::size_t>(std::countr_zero(levels_in_use_));
    std::vector<Pending>& nearest = times_[lowest];
    if (nearest.size() == 1) {
      now_ = nearest.front().time;
      open(nearest.front().bucket);
      nearest.clear();
      levels_in_use_ &= ~(std::uint64_t{1} << lowest);
    } else {
      if (lowest > 0) {
        opened_.swap(nearest);
        levels_in_use_ &= ~(std::uint64_t{1} << lowest);
        now_ = opened_.front().time;
        for (const Pending& each : opened_) now_ = std::min(now_, each.time);
        for (const Pending& each : opened_) add_time(each);
        opened_.clear();
      }
      for (const Pending& each : times_[0]) open(each.bucket);
      times_[0].clear();
      levels_in_use_ &= ~std::uint64_t{1};
    }
    const auto by_key = [](const Event& a, const Event& b) { return a.key < b.key; };
    if (std::is_sorted(current_.begin(), current_.end(), by_key)) return;
    if (current_.size() >= kManyEvents) {
      // Events of one rank lie in order already, but for those of a time that had two buckets.
      sort_by_digit(kRankShift);
      sort_by_digit(kRankShift + kDigitBits);
      if (std::is_sorted(current_.begin(), current_.end(), by_key)) return;
    }
    std::sort(current_.begin(), current_.end(), by_key);
  }

  // By kDigitBits of the key from bit `shift` on, stable.
  void sort_by_digit(int shift) {
    std::array<std::uint32_t, std::size_t{1} << kDigitBits> place{};
    const auto digit = [shift, mask = place.size() - 1](const Event& event) { return (event.key >> shift) & mask; };
    for (const Event& event : current_) ++place[digit(event)];
    std::uint32_t before = 0;
    for (std::uint32_t& each : place) before += std::exchange(each, before);
    sorted_.resize(current_.size());
    for (const Event& event : current_) sorted_[place[digit(event)]++] = event;
    current_.swap(sorted_);
  }

  void open(std::uint32_t slot) {
    Bucket& bucket = buckets_[slot];
    if (current_.empty()) {
      current_.swap(bucket.events);
    } else {
      current_.insert(current_.end(), bucket.events.begin(), bucket.events.end());
      bucket.events.clear();
    }
    bucket.time = -1;
    free_.push_back(slot);
  }

  Picoseconds now_ = 0;
  std::uint64_t sequence_ = 0;
  std::vector<Event> current_;  // of the current time, sorted
  std::vector<Event> sorted_;   // room for sorting them
  std::size_t position_ = 0;
  std::vector<Event> late_;                     // heap: added at the current time after it was opened
  std::array<std::vector<Pending>, 64> times_;  // by level; picoseconds are not negative
  std::vector<Pending> opened_;
  std::uint64_t levels_in_use_ = 0;
  std::vector<Bucket> buckets_;
  std::vector<std::uint32_t> free_;
  std::array<std::uint32_t, kKnownTimes> known_{};
};

}  // namespace assay::substrate
