#include "results_db/messages.h"

#include <gtest/gtest.h>

namespace assay::results_db {
namespace {

TEST(Messages, TheHalvesThatBeginTogetherBetweenTheSameRanksAreOne) {
  const std::vector<IntervalRecord> intervals = {{"rank 0 / send", "kv", 100, 200, "rank 1"},
                                                 {"rank 0 / send", "kv", 200, 300, "rank 2"},
                                                 {"rank 1 / receive", "kv", 100, 210, "rank 0"},
                                                 {"rank 2 / receive", "kv", 200, 310, "rank 0"},
                                                 {"rank 2 / compute", "block", 0, 400}};
  const auto messages = messages_in(intervals);
  ASSERT_EQ(messages.size(), 2U);
  EXPECT_EQ(messages[0].send, 0U);
  EXPECT_EQ(messages[0].receive, 2U);
  EXPECT_EQ(messages[1].receive, 3U);
}

TEST(Messages, OfSeveralThatBeginInOneMomentTheFirstSentIsTheFirstReceived) {
  const std::vector<IntervalRecord> intervals = {{"rank 1 / receive", "kv", 5, 9, "rank 0"},
                                                 {"rank 1 / receive", "kv", 5, 10, "rank 0"},
                                                 {"rank 0 / send", "kv", 5, 8, "rank 1"},
                                                 {"rank 0 / send", "kv", 5, 9, "rank 1"}};
  const auto messages = messages_in(intervals);
  ASSERT_EQ(messages.size(), 2U);
  EXPECT_EQ(messages[0].receive, 0U);
  EXPECT_EQ(messages[1].receive, 1U);
}

TEST(Messages, AHalfThatIsNotKeptLeavesTheOthersTheirs) {
  // Timelines keep so many intervals a rank: the first receive was cut off.
  const std::vector<IntervalRecord> intervals = {{"rank 0 / send", "kv", 0, 10, "rank 1"},
                                                 {"rank 0 / send", "kv", 10, 20, "rank 1"},
                                                 {"rank 1 / receive", "kv", 10, 21, "rank 0"}};
  const auto messages = messages_in(intervals);
  EXPECT_EQ(messages[0].receive, no_interval);
  EXPECT_EQ(messages[1].receive, 2U);
}

TEST(Messages, WithoutPeersThereAreNone) {
  EXPECT_TRUE(messages_in(std::vector<IntervalRecord>{{"rank 0 / send", "kv", 0, 10}}).empty());
}

}  // namespace
}  // namespace assay::results_db
