#pragma once
// An independent judge of command traces: replays what was issued and when, and holds every pair of commands to the
// DRAM timing, every column to an open row, every refresh to its due time and every partial sum to being read. It
// shares no code with the event model (channel.cpp).
#include <span>
#include <string>
#include <vector>

#include "impls/hardware/pim/channel.h"

namespace assay::hardware {

struct Violation {
  std::string rule;       // tRCD, tFAW, row, refresh, result ...
  std::size_t index = 0;  // of the command in the trace
  std::string detail;
};

// The trace of one channel from time 0 to `end`, in the order issued.
std::vector<Violation> check_timing(std::span<const Command> trace, Picoseconds end, const PimDevice& device);

}  // namespace assay::hardware
