#pragma once
// The memory ledger of one rank: what a program holds, by name and category, so that peak bytes and "the longest
// sequence that fits" are computed at any scale. Real and virtual runs of a program charge the same entries.
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "impls/substrate/fabric/virtual_time.h"

namespace assay::substrate {

// What an allocation is for; peaks are kept for each.
enum class Memory : std::uint8_t { state, input, activation, output, communication, workspace };
inline constexpr std::size_t kMemoryCategories = 6;
std::string_view to_string(Memory category);

struct alignas(64) LedgerEntry {
  const char* name = "";
  Memory category = Memory::workspace;
  std::int64_t live = 0;     // bytes held now
  std::int64_t peak = 0;     // most ever held under this name
  std::int64_t at_peak = 0;  // bytes held when the rank's total was at its peak
  std::int64_t allocations = 0;
  Picoseconds first = 0;  // lifetime: first allocation ...
  Picoseconds last = 0;   // ... to last release
};

class MemoryLedger {
 public:
  // `name` must be a string literal or outlive the ledger. Returns the entry to release with.
  std::uint32_t charge(const char* name, Memory category, std::int64_t bytes, Picoseconds now);
  void release(std::uint32_t entry, std::int64_t bytes, Picoseconds now);
  void clear();

  // As it was in another process.
  struct Contents {
    std::vector<LedgerEntry> entries;
    std::array<std::int64_t, kMemoryCategories> category_peak{};
    std::int64_t live = 0, peak = 0;
  };
  static MemoryLedger of(Contents contents);

  std::int64_t live() const { return live_; }
  std::int64_t peak() const { return peak_; }
  std::int64_t peak(Memory category) const { return category_peak_[static_cast<std::size_t>(category)]; }
  const std::vector<LedgerEntry>& entries() const { return entries_; }

 private:
  std::vector<LedgerEntry> entries_;
  std::vector<const char*> names_;  // of the entries: one cache line to search instead of one an entry
  std::array<std::int64_t, kMemoryCategories> category_live_{}, category_peak_{};
  std::int64_t live_ = 0, peak_ = 0;
};

}  // namespace assay::substrate
