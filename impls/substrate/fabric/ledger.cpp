#include "impls/substrate/fabric/ledger.h"

#include <algorithm>
#include <utility>

namespace assay::substrate {

std::string_view to_string(Memory category) {
  switch (category) {
    case Memory::state:
      return "state";
    case Memory::input:
      return "input";
    case Memory::activation:
      return "activation";
    case Memory::output:
      return "output";
    case Memory::communication:
      return "communication";
    case Memory::workspace:
      return "workspace";
  }
  return "?";
}

std::uint32_t MemoryLedger::charge(const char* name, Memory category, std::int64_t bytes, Picoseconds now) {
  // A program has a handful of names; the pointer comparison finds nearly all of them at once.
  std::uint32_t found = 0;
  const auto count = static_cast<std::uint32_t>(names_.size());
  while (found < count && !(names_[found] == name && entries_[found].category == category)) ++found;
  if (found == count) {
    const std::string_view wanted = name;
    found = 0;
    while (found < count && !(names_[found] == wanted && entries_[found].category == category)) ++found;
  }
  if (found == count) {
    entries_.push_back({.name = name, .category = category, .first = now});
    names_.push_back(name);
  }

  LedgerEntry& entry = entries_[found];
  entry.live += bytes;
  entry.peak = std::max(entry.peak, entry.live);
  ++entry.allocations;
  const auto c = static_cast<std::size_t>(category);
  category_live_[c] += bytes;
  category_peak_[c] = std::max(category_peak_[c], category_live_[c]);
  live_ += bytes;
  if (live_ > peak_) {
    peak_ = live_;
    for (LedgerEntry& each : entries_) each.at_peak = each.live;
  }
  return found;
}

void MemoryLedger::release(std::uint32_t entry, std::int64_t bytes, Picoseconds now) {
  LedgerEntry& found = entries_[entry];
  found.live -= bytes;
  found.last = now;
  category_live_[static_cast<std::size_t>(found.category)] -= bytes;
  live_ -= bytes;
}

void MemoryLedger::clear() { *this = {}; }

MemoryLedger MemoryLedger::of(Contents contents) {
  MemoryLedger ledger;
  ledger.entries_ = std::move(contents.entries);
  for (const LedgerEntry& entry : ledger.entries_) {
    ledger.names_.push_back(entry.name);
    ledger.category_live_[static_cast<std::size_t>(entry.category)] += entry.live;
  }
  ledger.category_peak_ = contents.category_peak;
  ledger.live_ = contents.live;
  ledger.peak_ = contents.peak;
  return ledger;
}

}  // namespace assay::substrate
