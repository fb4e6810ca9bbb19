#include "gui/model/explore.h"

#include <gtest/gtest.h>

#include "gui/model/crossover.h"
#include "gui/model/palette.h"
#include "gui/model/trend.h"

namespace assay::gui {
namespace {
using results_db::Provenance;

struct Made {
  std::string technique, parameters;
  double seconds;
  Provenance provenance = Provenance::measured;
};

RunData run_of(const std::vector<Made>& cases) {
  RunData data;
  std::int64_t id = 0;
  for (const Made& made : cases) {
    CaseResult result;
    results_db::CaseRecord record;
    record.technique = made.technique;
    record.backend = "cpu";
    record.parameters_json = made.parameters;
    record.key = made.technique + " " + made.parameters;
    result.info = case_info(++id, record);
    Value time;
    time.metric = "time";
    time.unit = "s";
    time.provenance = made.provenance;
    time.median = made.seconds;
    time.launches = 1;
    result.values = {time};
    data.cases.push_back(result);
  }
  return data;
}

const RunData ladder = run_of({{"a/fast", R"({"d":64,"tokens":1024})", 1},
                               {"a/fast", R"({"d":64,"tokens":2048})", 4},
                               {"a/fast", R"({"d":64,"tokens":4096})", 16},
                               {"a/slow", R"({"d":64,"tokens":1024})", 2},
                               {"a/slow", R"({"d":64,"tokens":2048})", 9},
                               {"a/slow", R"({"d":64,"tokens":4096})", 40}});

TEST(Explore, TheAxisWithMostSizesRunsAlongAndTechniquesAreSeries) {
  const auto exploration = explore(ladder, parse_filter(""), {});
  EXPECT_EQ(exploration.metric, "time");
  EXPECT_EQ(exploration.axis, "tokens");
  ASSERT_EQ(exploration.panels.size(), 1U);
  ASSERT_EQ(exploration.panels[0].series.size(), 2U);
  EXPECT_EQ(exploration.panels[0].series[0].name, "fast");
  EXPECT_EQ(exploration.panels[0].series[0].points[2].value.median, 16);
  EXPECT_EQ(exploration.common, "d 64");
}

RunData crossing(double at_2k) {
  return run_of({{"a/early", R"({"tokens":1024})", 1},
                 {"a/early", R"({"tokens":2048})", 4},
                 {"a/early", R"({"tokens":4096})", 16},
                 {"a/late", R"({"tokens":1024})", 2},
                 {"a/late", R"({"tokens":2048})", at_2k},
                 {"a/late", R"({"tokens":4096})", 8}});
}

TEST(Explore, LinesCrossBetweenTheLastLeadOfOneAndTheFirstOfTheOther) {
  const auto exploration = explore(crossing(5), parse_filter(""), {});
  const auto found = crossovers(exploration.panels[0], exploration.lower_is_better);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].from, 2048);
  EXPECT_EQ(found[0].to, 4096);
  EXPECT_EQ(found[0].before, "early");
  EXPECT_EQ(found[0].after, "late");
  EXPECT_TRUE(crossovers(explore(ladder, parse_filter(""), {}).panels[0], true).empty());
}

TEST(Explore, WhereIntervalsOverlapNobodyLeads) {
  RunData data = crossing(5);
  for (CaseResult& result : data.cases)
    if (result.info.parameter("tokens")->number == 2048) {
      result.values[0].low = 3;
      result.values[0].high = 6;
    }
  const auto found = crossovers(explore(data, parse_filter(""), {}).panels[0], true);
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].from, 1024);
  EXPECT_EQ(found[0].to, 4096);
}

TEST(Explore, LaunchesTooFewForAnIntervalLeadOnlyWhereTheyLieApart) {
  RunData data = crossing(5);
  for (CaseResult& result : data.cases) {
    Value& value = result.values[0];
    const bool wide = result.info.parameter("tokens")->number == 4096;
    value.launches = 3;
    value.lowest = value.median * (wide ? 0.4 : 0.95);
    value.highest = value.median * (wide ? 2.5 : 1.05);
  }
  EXPECT_TRUE(crossovers(explore(data, parse_filter(""), {}).panels[0], true).empty());
}

TEST(Explore, MeasuredAndProjectedDoNotCross) {
  RunData data = crossing(5);
  for (CaseResult& result : data.cases)
    if (result.info.name == "late") result.values[0].provenance = Provenance::projected;
  EXPECT_TRUE(crossovers(explore(data, parse_filter(""), {}).panels[0], true).empty());
}

TEST(Explore, TheRankingComparesLikeWithLikeLargestSizeFirst) {
  const auto ranks = ranking(explore(ladder, parse_filter(""), {}));
  ASSERT_EQ(ranks.size(), 6U);
  EXPECT_EQ(ranks[0].point.value.median, 16);
  EXPECT_EQ(ranks[1].point.value.median, 40);
  EXPECT_DOUBLE_EQ(ranks[1].to_best, 2.5);
  EXPECT_DOUBLE_EQ(ranks[2].to_best, 1);
}

TEST(Explore, OneSizeIsReadTechniqueByTechnique) {
  const auto exploration = explore(ladder, parse_filter("tokens=4k"), {});
  EXPECT_EQ(exploration.axis, "technique");
  EXPECT_FALSE(exploration.numeric);
  EXPECT_EQ(exploration.categories, (std::vector<std::string>{"fast", "slow"}));
  EXPECT_EQ(exploration.filtered_out, 4);
  EXPECT_EQ(ranking(exploration)[0].point.result->info.name, "fast");
}

TEST(Explore, ALineNeverJoinsMeasuredAndProjected) {
  const RunData mixed = run_of({{"a/ring", R"({"ranks":2})", 1},
                                {"a/ring", R"({"ranks":4})", 2, Provenance::projected},
                                {"a/ring", R"({"ranks":8})", 3, Provenance::projected}});
  const auto exploration = explore(mixed, parse_filter(""), {});
  ASSERT_EQ(exploration.panels[0].series.size(), 2U);
  for (const auto& series : exploration.panels[0].series)
    for (const auto& point : series.points) EXPECT_EQ(point.value.provenance, series.provenance);
}

TEST(Explore, WhatVariesBesidesTheAxisGetsPanels) {
  const RunData two = run_of({{"a/fast", R"({"dtype":"bf16","tokens":1024})", 1},
                              {"a/fast", R"({"dtype":"bf16","tokens":2048})", 2},
                              {"a/fast", R"({"dtype":"bf16","tokens":4096})", 3},
                              {"a/fast", R"({"dtype":"fp32","tokens":1024})", 4},
                              {"a/fast", R"({"dtype":"fp32","tokens":2048})", 5},
                              {"a/fast", R"({"dtype":"fp32","tokens":4096})", 6}});
  const auto exploration = explore(two, parse_filter(""), {});
  ASSERT_EQ(exploration.panels.size(), 2U);
  EXPECT_EQ(exploration.panels[0].title, "bf16");
  EXPECT_EQ(exploration.panels[1].title, "fp32");
}

TEST(Explore, ASeriesIsNamedByWhatTellsItFromTheOthersAndByNoMore) {
  const RunData mixed = run_of({{"a/ring", R"({"backward":0,"layout":"zigzag","ranks":2})", 1},
                                {"a/ring", R"({"backward":1,"layout":"zigzag","ranks":2})", 2},
                                {"a/tiled", R"({"isa":"auto","threads":1})", 3},
                                {"a/tiled", R"({"block":64,"isa":"auto","threads":1})", 4}});
  const auto exploration = explore(mixed, parse_filter(""), {.metric = "", .axis = "technique", .most_panels = 1});
  ASSERT_EQ(exploration.panels.size(), 1U);
  std::vector<std::string> names;
  for (const ExploreSeries& series : exploration.panels[0].series) names.push_back(series.name + "|" + series.variant);
  EXPECT_EQ(names, (std::vector<std::string>{"ring|not backward", "ring|backward", "tiled|", "tiled|block 64"}));
}

TEST(CaseText, ACaseIsToldByItsSizeAndByWhatSetsItApart) {
  const RunData mixed = run_of({{"a/alone", R"({"blocks":7,"d":64,"dtype":"bf16","tokens":1024})", 1},
                                {"a/pair", R"({"d":64,"dtype":"bf16","tokens":2048})", 2},
                                {"a/pair", R"({"d":64,"dtype":"fp32","tokens":2048})", 3}});
  std::vector<const CaseInfo*> infos;
  for (const CaseResult& result : mixed.cases) infos.push_back(&result.info);
  const CommonAxes common = common_by_technique(infos);
  const auto told = [&](std::size_t i) { return parameters_text(*infos[i], common.at(infos[i]->record.technique)); };
  EXPECT_EQ(told(0), "tokens 1k, bf16");
  EXPECT_EQ(told(1), "tokens 2k, bf16");
  EXPECT_EQ(told(2), "tokens 2k, fp32");
}

TEST(Palette, ATechniqueHasOneSlotForEver) {
  EXPECT_EQ(palette_slot("attention/flash-attention-2"), 0);
  EXPECT_EQ(palette_slot("attention/flash-attention-1"), 1);
  EXPECT_EQ(palette_slot("attention/naive-attention"), 2);
  EXPECT_EQ(palette_slot("attention/mem-efficient-attention"), 7);
}

TEST(Segments, KeepEveryExtremeOfTenThousandPoints) {
  std::vector<double> x, y;
  for (int i = 0; i < 10'000; ++i) {
    x.push_back(i);
    y.push_back(i == 4321 ? 50.0 : i == 8765 ? -50.0 : i % 7);
  }
  const auto segments = min_max_segments(x, y, 320);
  EXPECT_LE(segments.size(), 320U);
  double low = 0, high = 0;
  for (const Segment& segment : segments) {
    low = std::min(low, segment.low);
    high = std::max(high, segment.high);
    EXPECT_LE(segment.low, segment.first);
    EXPECT_GE(segment.high, segment.last);
  }
  EXPECT_EQ(low, -50);
  EXPECT_EQ(high, 50);
}

}  // namespace
}  // namespace assay::gui
