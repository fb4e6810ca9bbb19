#include "harness/claims/judge.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <stdexcept>

namespace assay::harness::claims {
namespace {

struct Row {
  const char* why;
  Form form;
  Bound bound;
  double value, low, high;
  std::vector<double> ours;
  const char* verdict;
  const char* note = "";
};

void PrintTo(const Row& row, std::ostream* out) { *out << row.why; }

class Rules : public testing::TestWithParam<Row> {};

TEST_P(Rules, AreThoseOfTheMethod) {
  const Row& row = GetParam();
  Claim claim;
  claim.form = row.form;
  claim.bound = row.bound;
  claim.value = row.value;
  claim.low = row.low;
  claim.high = row.high;
  claim.note = row.note;
  EXPECT_STREQ(to_string(judge(claim, row.ours).verdict), row.verdict) << row.why;
}

constexpr auto kRatio = Form::ratio;
constexpr auto kAbsolute = Form::absolute;
constexpr auto kPoint = Bound::point;

// A ratio of 2 has a gain of 1: every boundary stands at the plain number.
INSTANTIATE_TEST_SUITE_P(
    Ratio, Rules,
    testing::Values(Row{"the published ratio", kRatio, kPoint, 2, 0, 0, {2.0}, "reproduced"},
                    Row{"0.8 of the gain", kRatio, kPoint, 2, 0, 0, {1.8}, "reproduced"},
                    Row{"just under 0.8", kRatio, kPoint, 2, 0, 0, {1.799}, "partial"},
                    Row{"1.2 of the gain", kRatio, kPoint, 2, 0, 0, {2.2}, "reproduced"},
                    Row{"just over 1.2", kRatio, kPoint, 2, 0, 0, {2.201}, "exceeded"},
                    Row{"half the gain", kRatio, kPoint, 2, 0, 0, {1.5}, "partial"},
                    Row{"just under half", kRatio, kPoint, 2, 0, 0, {1.499}, "not reproduced"},
                    Row{"no gain at all", kRatio, kPoint, 2, 0, 0, {1.0}, "not reproduced"},
                    Row{"the sign flips", kRatio, kPoint, 2, 0, 0, {0.99}, "contradicted"},
                    Row{"a loss of the same size", kRatio, kPoint, 0.8, 0, 0, {0.8}, "reproduced"},
                    Row{"a larger loss is no success", kRatio, kPoint, 0.8, 0, 0, {0.7}, "not reproduced"},
                    Row{"a loss that is a gain here", kRatio, kPoint, 0.8, 0, 0, {1.1}, "contradicted"},
                    Row{"a gain below 0.05 within 0.02", kRatio, kPoint, 1.03, 0, 0, {1.05}, "reproduced"},
                    Row{"a gain below 0.05 outside 0.02", kRatio, kPoint, 1.03, 0, 0, {1.051}, "not reproduced"},
                    Row{"a small gain lost within 0.02", kRatio, kPoint, 1.01, 0, 0, {0.99}, "reproduced"},
                    Row{"a small gain that flips", kRatio, kPoint, 1.03, 0, 0, {0.97}, "contradicted"},
                    Row{"equality kept", kRatio, kPoint, 1.0, 0, 0, {1.02}, "reproduced"},
                    Row{"equality broken", kRatio, kPoint, 1.0, 0, 0, {1.03}, "not reproduced"},
                    Row{"0.05 is not below 0.05", kRatio, kPoint, 1.05, 0, 0, {1.04}, "reproduced"},
                    Row{"nothing finite", kRatio, kPoint, 2, 0, 0, {std::nan("")}, "not reproduced"}));

INSTANTIATE_TEST_SUITE_P(
    Absolute, Rules,
    testing::Values(Row{"10% above", kAbsolute, kPoint, 100, 0, 0, {110}, "reproduced"},
                    Row{"10% below", kAbsolute, kPoint, 100, 0, 0, {90}, "reproduced"},
                    Row{"over 10%", kAbsolute, kPoint, 100, 0, 0, {110.1}, "partial"},
                    Row{"30%", kAbsolute, kPoint, 100, 0, 0, {70}, "partial"},
                    Row{"over 30%", kAbsolute, kPoint, 100, 0, 0, {69.9}, "not reproduced"},
                    Row{"far above is no success", kAbsolute, kPoint, 100, 0, 0, {200}, "not reproduced"},
                    Row{"zero for zero", kAbsolute, kPoint, 0, 0, 0, {0}, "reproduced"},
                    Row{"something for zero", kAbsolute, kPoint, 0, 0, 0, {1e-9}, "not reproduced"}));

INSTANTIATE_TEST_SUITE_P(
    Exact, Rules,
    testing::Values(Row{"1%", Form::exact, kPoint, 1000, 0, 0, {1010}, "reproduced"},
                    Row{"over 1%", Form::exact, kPoint, 1000, 0, 0, {1010.1}, "not reproduced"},
                    Row{"every point of a grid", Form::exact, kPoint, 10, 0, 0, {10, 10, 10}, "reproduced"},
                    Row{"one point off", Form::exact, kPoint, 10, 0, 0, {10, 11, 10}, "not reproduced"},
                    Row{"true", Form::boolean, kPoint, 1, 0, 0, {1}, "reproduced"},
                    Row{"false for true", Form::boolean, kPoint, 1, 0, 0, {0}, "contradicted"},
                    Row{"true everywhere but once", Form::boolean, kPoint, 1, 0, 0, {1, 0, 1}, "contradicted"}));

INSTANTIATE_TEST_SUITE_P(
    Difference, Rules,
    testing::Values(
        Row{"at the tolerance", Form::difference, kPoint, -0.17, 0, 0, {-0.12}, "reproduced", "tolerance 0.05; x"},
        Row{"outside it", Form::difference, kPoint, -0.17, 0, 0, {-0.1199}, "not reproduced", "tolerance 0.05; x"},
        Row{"the sign flips", Form::difference, kPoint, -0.17, 0, 0, {0.01}, "contradicted", "tolerance 0.05"},
        Row{"tolerance 0 is exact", Form::difference, kPoint, 2, 0, 0, {2}, "reproduced", "tolerance 0"},
        Row{"none stated", Form::difference, kPoint, 2, 0, 0, {2}, "untestable", "absolute tolerance not stated"}));

INSTANTIATE_TEST_SUITE_P(
    Grids, Rules,
    testing::Values(
        Row{"up to: the largest", kRatio, Bound::up_to, 3, 0, 0, {1.1, 3.0, 2.0}, "reproduced"},
        Row{"up to: judged as a point", kRatio, Bound::up_to, 3, 0, 0, {1.1, 4.0}, "exceeded"},
        Row{"typical: the median", kRatio, kPoint, 2, 0, 0, {1.0, 2.0, 9.0}, "reproduced", "a typical value: median"},
        Row{"median of an even grid", kAbsolute, kPoint, 2, 0, 0, {1, 1.9, 2.1, 9}, "reproduced", "median of the grid"},
        Row{"mean", kAbsolute, kPoint, 4, 0, 0, {1.0, 2.0, 9.0}, "reproduced", "mean over the grid"},
        Row{"geometric mean", kAbsolute, kPoint, 4, 0, 0, {2, 8}, "reproduced", "mean: geometric over the grid"},
        Row{"arithmetic named beside geometric",
            kAbsolute,
            kPoint,
            5,
            0,
            0,
            {2, 8},
            "reproduced",
            "mean: arithmetic; geometric mean would be 4"},
        Row{"range: whole grid at its widened ends", kRatio, Bound::range, 0, 2, 4, {1.8, 3, 4.4}, "reproduced"},
        Row{"range: one below", kRatio, Bound::range, 0, 2, 4, {1.79, 3, 4}, "not reproduced"},
        Row{"range: one above", kRatio, Bound::range, 0, 2, 4, {2, 3, 4.41}, "not reproduced"},
        Row{"range: all on the other side of 1", kRatio, Bound::range, 0, 2, 4, {0.5, 0.9}, "contradicted"},
        Row{"range: negative ends widen outwards", kAbsolute, Bound::range, 0, -2, -1, {-2.2, -0.9}, "reproduced"},
        Row{"at least", kRatio, Bound::at_least, 1.5, 0, 0, {1.5}, "reproduced"},
        Row{"at least: the worst point counts", kRatio, Bound::at_least, 1.5, 0, 0, {9, 1.4}, "not reproduced"},
        Row{"at least: flipped", kRatio, Bound::at_least, 1.5, 0, 0, {0.9}, "contradicted"},
        Row{"at most", kAbsolute, Bound::at_most, 10, 0, 0, {10}, "reproduced"},
        Row{"at most: the worst point counts", kAbsolute, Bound::at_most, 10, 0, 0, {1, 10.1}, "not reproduced"}));

TEST(Judge, ReportsTheValueItJudged) {
  Claim claim;
  claim.form = Form::ratio;
  claim.bound = Bound::up_to;
  claim.value = 3;
  EXPECT_DOUBLE_EQ(judge(claim, {1, 2.5, 2}).ours, 2.5);
  claim.bound = Bound::range;
  claim.low = 1;
  claim.high = 3;
  EXPECT_DOUBLE_EQ(judge(claim, {1, 2.5, 2}).ours, 2);
  EXPECT_NE(judge(claim, {1, 9}).reason.find("1 of 2 points inside"), std::string::npos);
}

TEST(Judge, RefusesAnEmptyGrid) { EXPECT_THROW(judge(Claim{}, {}), std::invalid_argument); }

TEST(Judge, EveryVerdictHasAWordThatReadsBack) {
  for (const Verdict verdict : {Verdict::reproduced, Verdict::exceeded, Verdict::partial, Verdict::contradicted,
                                Verdict::not_reproduced, Verdict::untestable}) {
    EXPECT_EQ(verdict_from(to_string(verdict)), verdict);
  }
  EXPECT_FALSE(verdict_from("fine").has_value());
}

TEST(Judge, FindsTheToleranceANoteStates) {
  EXPECT_EQ(stated_tolerance("Vocab-1 minus Vocab-2; tolerance 1.62e+08 B"), 1.62e8);
  EXPECT_EQ(stated_tolerance("no tolerance stated (0.01 taken)"), 0.01);
  EXPECT_EQ(stated_tolerance("absolute tolerance 0.01 (ours); needs a run"), 0.01);
  EXPECT_FALSE(stated_tolerance("needs a run").has_value());
}

}  // namespace
}  // namespace assay::harness::claims
