// What the cluster fabric remembers of pairs of ranks, against a map: channels of waiting halves, entries of message
// logs.
#include "impls/substrate/cluster/channels.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>
#include <tuple>
#include <utility>

#include "impls/substrate/fabric/message_log.h"

namespace assay::substrate {
namespace {

TEST(Channels, HoldWhatWasPutInWhicheverPairsComeAndGo) {
  constexpr int kRanks = 40;
  for (const int receivers : {1, 3, kRanks}) {  // a gather's root has all of them
    Channels channels(kRanks);
    std::map<std::pair<int, int>, OpId> held;
    std::mt19937 draw(7);
    std::size_t most = 0;
    for (OpId step = 0; step < 20'000; ++step) {
      const std::pair pair(static_cast<int>(draw() % kRanks), static_cast<int>(draw() % receivers));
      Channel& channel = channels(pair.first, pair.second);
      if (const auto known = held.find(pair); known != held.end()) {
        ASSERT_EQ(channel.head, known->second) << "step " << step;
        if (draw() % 2 == 0) {
          channels.release(channel);
          held.erase(known);
        }
      } else {
        ASSERT_EQ(channel.head, kNoOp) << "step " << step;
        channel.head = channel.tail = held[pair] = step;
      }
      most = std::max(most, held.size());
    }
    EXPECT_GT(most, receivers == 1 ? 20U : 60U);
    for (const auto& [pair, op] : held) EXPECT_EQ(channels(pair.first, pair.second).head, op);
  }
}

TEST(MessageLog, KeepsOneEntryForEveryPeerKindAndDirectionInOrderOfFirstUse) {
  MessageLog log;
  std::map<std::tuple<int, std::uint16_t, Direction>, std::uint32_t> entries;
  std::mt19937 draw(11);
  for (int i = 0; i < 30'000; ++i) {
    const int peer = static_cast<int>(draw() % 300);
    const Tag tag{.value = static_cast<std::uint16_t>(draw() % 3), .name = "kind"};
    const Direction direction = draw() % 2 == 0 ? Direction::sent : Direction::received;
    const auto [known, fresh] =
        entries.try_emplace({peer, tag.value, direction}, static_cast<std::uint32_t>(entries.size()));
    ASSERT_EQ(log.entry(peer, tag, direction), known->second) << "use " << i;
    const MessageLogEntry& entry = log[known->second];
    ASSERT_EQ(std::tuple(entry.peer, entry.tag.value, entry.direction), known->first);
  }
  EXPECT_EQ(log.entries().size(), 300U * 3 * 2);
}

}  // namespace
}  // namespace assay::substrate
