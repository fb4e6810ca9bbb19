#include "results_db/messages.h"

#include <cstdint>
#include <map>
#include <tuple>

namespace assay::results_db {

std::string rank_of_lane(const std::string& lane) { return lane.substr(0, lane.find(" / ")); }

std::string engine_of_lane(const std::string& lane) {
  const std::size_t cut = lane.find(" / ");
  return cut == std::string::npos ? lane : lane.substr(cut + 3);
}

std::vector<Message> messages_in(std::span<const IntervalRecord> intervals) {
  // Sender, receiver, name, beginning.
  using Half = std::tuple<std::string, std::string, std::string, std::int64_t>;
  struct Waiting {
    std::vector<std::size_t> receives;
    std::size_t taken = 0;
  };
  std::map<Half, Waiting> waiting;
  for (std::size_t i = 0; i < intervals.size(); ++i) {
    const IntervalRecord& held = intervals[i];
    if (!held.peer.empty() && engine_of_lane(held.lane) == "receive")
      waiting[{held.peer, rank_of_lane(held.lane), held.name, held.start_ps}].receives.push_back(i);
  }
  std::vector<Message> messages;
  for (std::size_t i = 0; i < intervals.size(); ++i) {
    const IntervalRecord& held = intervals[i];
    if (held.peer.empty() || engine_of_lane(held.lane) == "receive") continue;
    Message message{.send = i};
    const auto found = waiting.find({rank_of_lane(held.lane), held.peer, held.name, held.start_ps});
    if (found != waiting.end() && found->second.taken < found->second.receives.size())
      message.receive = found->second.receives[found->second.taken++];
    messages.push_back(message);
  }
  return messages;
}

}  // namespace assay::results_db
