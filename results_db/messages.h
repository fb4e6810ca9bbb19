#pragma once
// Which interval of a timeline receives what another one sends.
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "results_db/records.h"

namespace assay::results_db {

std::string rank_of_lane(const std::string& lane);    // rank 3 / compute -> rank 3
std::string engine_of_lane(const std::string& lane);  // rank 3 / compute -> compute; a lane without a rank is its own

inline constexpr std::size_t no_interval = static_cast<std::size_t>(-1);

// Indices into the intervals.
struct Message {
  std::size_t send = 0;
  std::size_t receive = no_interval;  // where the rank at the other end kept no half of its own
};

// Intervals with a peer are halves of messages: those on a lane `receive` take, all others send. The two halves of one
// message have one name and begin in one moment, when both sides have posted theirs; of several such, the first sent is
// the first received. In the order of the sends. O(n log n).
std::vector<Message> messages_in(std::span<const IntervalRecord> intervals);

}  // namespace assay::results_db
