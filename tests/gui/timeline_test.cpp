#include "gui/model/timeline.h"

#include <gtest/gtest.h>

#include <set>

#include "gui/model/timeline_diff.h"

namespace assay::gui {
namespace {

TimelineData made(const std::vector<results_db::IntervalRecord>& intervals) { return make_timeline({intervals, {}}); }

TEST(Timeline, LanesStandInTheOrderOfTheirNumbers) {
  const auto data =
      made({{"rank 10 / compute", "a", 0, 1}, {"rank 2 / send", "a", 0, 1}, {"rank 2 / compute", "a", 0, 1}});
  ASSERT_EQ(data.lanes.size(), 3U);
  EXPECT_EQ(data.lanes[0].name, "rank 2 / compute");
  EXPECT_EQ(data.lanes[1].name, "rank 2 / send");
  EXPECT_EQ(data.lanes[2].name, "rank 10 / compute");
  EXPECT_EQ(data.lanes[2].group, "rank 10");
  EXPECT_EQ(data.lanes[2].kind, "compute");
}

TEST(Timeline, AnOperationIsToldOverAllLanesOfItsKind) {
  const auto data = made({{"rank 0 / compute", "a", 0, 10},
                          {"rank 1 / compute", "a", 0, 30},
                          {"rank 1 / compute", "b", 30, 31},
                          {"rank 1 / compute", "a", 40, 60},
                          {"rank 0 / send", "a", 0, 1000}});
  const OperationUse use = operation_use(data, "compute", data.lanes[0].bars[0].name);
  EXPECT_EQ(use.bars, 3U);
  EXPECT_EQ(use.shortest, 10);
  EXPECT_EQ(use.longest, 30);
  EXPECT_EQ(use.median, 20);
  EXPECT_EQ(use.all, 60);
  EXPECT_EQ(operation_use(data, "copy", data.lanes[0].bars[0].name).bars, 0U);
}

TEST(Timeline, AMillionBarsDrawAtMostOneEntryAColumn) {
  std::vector<results_db::IntervalRecord> many;
  for (int i = 0; i < 1'000'000; ++i) many.push_back({"rank 0 / compute", "a", 10LL * i, 10LL * i + 5});
  const auto data = made(many);
  const auto drawn = visible(data.lanes[0], 0, 1e7, 1000);
  EXPECT_LE(drawn.size(), 1000U);
  std::size_t bars = 0;
  int column = -1;
  for (const Drawn& entry : drawn) {
    EXPECT_GT(entry.first, column);
    column = entry.first;
    bars += entry.count;
  }
  EXPECT_EQ(bars, 1'000'000U);
}

TEST(Timeline, CloseUpEveryBarIsItself) {
  const auto data = made({{"l", "a", 0, 100}, {"l", "b", 200, 300}, {"l", "c", 400, 500}});
  const auto drawn = visible(data.lanes[0], 150, 450, 300);
  ASSERT_EQ(drawn.size(), 2U);
  EXPECT_EQ(drawn[0].bar, 1U);
  EXPECT_EQ(drawn[0].first, 50);
  EXPECT_EQ(drawn[0].last, 150);
  EXPECT_EQ(drawn[1].bar, 2U);
  EXPECT_EQ(drawn[1].last, 299);
}

TEST(Timeline, ALongBarThatBeganEarlierIsStillSeen) {
  const auto data = made({{"l", "long", 0, 1000}, {"l", "short", 10, 20}});
  const auto drawn = visible(data.lanes[0], 500, 600, 100);
  ASSERT_FALSE(drawn.empty());
  EXPECT_EQ(drawn[0].bar, 0U);
  EXPECT_EQ(drawn[0].first, 0);
  EXPECT_EQ(drawn[0].last, 99);
  EXPECT_EQ(bar_at(data.lanes[0], 500), 0U);
  EXPECT_EQ(bar_at(data.lanes[0], 15), 1U);
  EXPECT_EQ(bar_at(data.lanes[0], 1000), data.lanes[0].bars.size());
}

TEST(Timeline, BusyTimeIsTheUnionOfBars) {
  const auto data = made({{"l", "a", 0, 100}, {"l", "b", 50, 150}, {"l", "c", 300, 400}});
  EXPECT_EQ(use_of(data.lanes[0], 0, 400).busy, 250);
  EXPECT_EQ(use_of(data.lanes[0], 0, 400).bars, 3U);
  EXPECT_EQ(use_of(data.lanes[0], 120, 320).busy, 50);
}

TEST(Timeline, ExposedIsWhatNoComputeOfTheSameRankHides) {
  const auto data =
      made({{"rank 0 / compute", "a", 0, 100}, {"rank 0 / send", "kv", 50, 180}, {"rank 1 / compute", "a", 0, 500}});
  EXPECT_EQ(exposed(data, data.lanes[1], 0, 500), 80);
  EXPECT_EQ(exposed(data, data.lanes[1], 0, 120), 20);
}

TEST(Timeline, TheChainThatEndsLastSkipsWhatWasNotWaitedFor) {
  const auto data = made({{"rank 0 / compute", "first", 0, 100},
                          {"rank 0 / send", "message", 100, 250},
                          {"rank 0 / wait", "message", 100, 250},
                          {"rank 1 / compute", "idle chatter", 0, 60},
                          {"rank 1 / compute", "last", 250, 400}});
  std::set<std::string> critical;
  for (const Lane& lane : data.lanes)
    for (const Bar& bar : lane.bars)
      if (bar.critical) critical.insert(lane.name + " " + data.names[bar.name]);
  EXPECT_EQ(critical,
            (std::set<std::string>{"rank 0 / compute first", "rank 0 / send message", "rank 1 / compute last"}));
  EXPECT_EQ(data.critical_busy, 400);
}

TEST(Timeline, RanksThatDoTheSameAtTheSameTimesAreAlike) {
  const auto data = made({{"rank 0 / compute", "a", 0, 100},
                          {"rank 0 / send", "kv", 0, 50},
                          {"rank 1 / compute", "b", 0, 100},
                          {"rank 1 / send", "kv", 0, 50},
                          {"rank 2 / compute", "a", 0, 101},
                          {"rank 2 / send", "kv", 0, 50},
                          {"rank 3 / compute", "a", 0, 100}});
  const auto leader = alike_groups(data);
  EXPECT_EQ(leader.at("rank 1"), "rank 0");
  EXPECT_EQ(leader.at("rank 2"), "rank 2");  // a straggler stands for itself
  EXPECT_EQ(leader.at("rank 3"), "rank 3");  // it sends nothing
}

TEST(Timeline, TheDifferenceAddsUpOperationsOverRanksLargestFirst) {
  const auto before = made({{"rank 0 / compute", "matmul", 0, 100},
                            {"rank 0 / compute", "softmax", 100, 140},
                            {"rank 0 / send", "kv", 0, 30}});
  const auto after = made({{"rank 0 / compute", "matmul", 0, 100},
                           {"rank 0 / compute", "softmax", 100, 200},
                           {"rank 1 / compute", "matmul", 0, 120},
                           {"rank 1 / compute", "softmax", 120, 180}});
  const auto difference = difference_of(before, after);
  EXPECT_EQ(difference.base_span, 140);
  EXPECT_EQ(difference.other_span, 200);
  ASSERT_EQ(difference.operations.size(), 3U);
  EXPECT_EQ(difference.operations[0].name, "softmax");
  EXPECT_EQ(difference.operations[0].other, 80);  // 100 on rank 0, 60 on rank 1
  EXPECT_EQ(difference.operations[1].name, "kv");
  EXPECT_EQ(difference.operations[1].difference(), -30);
  EXPECT_EQ(difference.operations[2].name, "matmul");
  EXPECT_EQ(difference.operations[2].difference(), 10);
}

TEST(Timeline, ArrowsAreThoseUnderWayAndNoneWhereTheyAreTooMany) {
  std::vector<results_db::IntervalRecord> halves;
  for (int i = 0; i < 100; ++i) {
    halves.push_back({"rank 0 / send", "kv", 10 * i, 10 * i + 8, "rank 1"});
    halves.push_back({"rank 1 / receive", "kv", 10 * i, 10 * i + 9, "rank 0"});
  }
  halves.push_back({"rank 0 / send", "elsewhere", 5, 6, "rank 7"});  // which has no timeline
  const TimelineData data = made(halves);
  EXPECT_EQ(data.arrows.size(), 100U);
  const auto few = arrows_between(data, 95, 115, 10);
  ASSERT_EQ(few.size(), 3U);
  EXPECT_EQ(few[0].start, 90);
  EXPECT_EQ(few[0].end, 99);
  EXPECT_EQ(data.lanes[few[0].to_lane].name, "rank 1 / receive");
  EXPECT_TRUE(arrows_between(data, 0, 1000, 10).empty());
}

}  // namespace
}  // namespace assay::gui
