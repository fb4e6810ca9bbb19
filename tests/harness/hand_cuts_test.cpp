#include "harness/hand_cuts.h"

#include <gtest/gtest.h>

namespace assay::harness {
namespace {

using stats::find_changes;

// Twenty runs around 1, twenty around 1.2.
std::vector<double> two_levels() {
  std::vector<double> values;
  for (int i = 0; i < 40; ++i) values.push_back((i < 20 ? 1.0 : 1.2) * (1 + 0.002 * ((i * 7) % 5 - 2)));
  return values;
}

TEST(HandCuts, ACutMakesTwoLevelsOfOne) {
  const auto values = two_levels();
  const auto found = find_changes(values);
  ASSERT_EQ(found.segments.size(), 2U);
  const auto cut = with_cuts(found, values, {30});
  ASSERT_EQ(cut.segments.size(), 3U);
  EXPECT_EQ(cut.segments[1].first, 20U);
  EXPECT_EQ(cut.segments[1].end, 30U);
  EXPECT_EQ(cut.segments[2].end, 40U);
  ASSERT_EQ(cut.changes.size(), 2U);
  EXPECT_EQ(cut.changes[1].first, 30U);
  EXPECT_EQ(cut.changes[1].before, cut.segments[1].level);
  EXPECT_EQ(cut.changes[1].after, cut.segments[2].level);
  EXPECT_EQ(cut.changes[0].after, cut.segments[1].level);
}

TEST(HandCuts, AChangeAfterTheCutLeadsFromTheLevelBesideIt) {
  const auto values = two_levels();
  const auto cut = with_cuts(find_changes(values), values, {10});
  ASSERT_EQ(cut.changes.size(), 2U);
  EXPECT_EQ(cut.changes[0].first, 10U);
  EXPECT_EQ(cut.changes[1].first, 20U);
  EXPECT_EQ(cut.changes[1].before, cut.segments[1].level);
}

TEST(HandCuts, ACutWhereALevelBeginsAnywayChangesNothing) {
  const auto values = two_levels();
  const auto cut = with_cuts(find_changes(values), values, {0, 20});
  EXPECT_EQ(cut.segments.size(), 2U);
  EXPECT_EQ(cut.changes.size(), 1U);
}

TEST(HandCuts, OnlyCutsOfTheCaseAndMetricCountAndNoneThatWasTakenBack) {
  const auto alert = [](const char* run, std::int64_t case_id, const char* kind, const char* metric,
                        const char* outcome) {
    results_db::AlertRecord made;
    made.run = run;
    made.case_id = case_id;
    made.kind = kind;
    made.metric = metric;
    made.outcome = outcome;
    return made;
  };
  const std::vector<results_db::AlertRecord> alerts = {
      alert("a", 1, "change point", "time", "confirmed"), alert("b", 1, "change point", "time", "noise"),
      alert("c", 2, "change point", "time", "confirmed"), alert("d", 1, "change point", "energy", "confirmed"),
      alert("e", 1, "regression", "time", "confirmed"),   alert("f", 1, "change point", "time", "open")};
  EXPECT_EQ(hand_cuts(alerts, 1, "time"), (std::set<std::string>{"a", "f"}));
}

}  // namespace
}  // namespace assay::harness
