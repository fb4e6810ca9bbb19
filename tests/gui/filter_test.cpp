#include "gui/model/filter.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace assay::gui {
namespace {

CaseResult made(const std::string& technique, const std::string& parameters, const std::string& fabric = {}) {
  CaseResult result;
  results_db::CaseRecord record;
  record.technique = technique;
  record.backend = "cpu";
  record.fabric = fabric;
  record.parameters_json = parameters;
  record.key = technique + " cpu " + parameters;
  result.info = case_info(1, record);
  return result;
}

const CaseResult flash = made("attention/flash-attention-2", R"({"causal":1,"dtype":"bf16","sequence_length":4096})");
const CaseResult naive = made("attention/naive-attention", R"({"causal":0,"dtype":"fp32","sequence_length":512})");

bool holds(const std::string& text, const CaseResult& result) { return matches(parse_filter(text), result); }

TEST(Filter, WordsAreFoundInTheKeyAndInTheWrittenParameters) {
  EXPECT_TRUE(holds("flash", flash));
  EXPECT_TRUE(holds("FLASH 4k", flash));
  EXPECT_FALSE(holds("flash 8k", flash));
  EXPECT_FALSE(holds("-flash", flash));
  EXPECT_TRUE(holds("-flash", naive));
}

TEST(Filter, FieldsTakeAlternatives) {
  EXPECT_TRUE(holds("dtype=bf16,fp16", flash));
  EXPECT_FALSE(holds("dtype=bf16,fp16", naive));
  EXPECT_TRUE(holds("dtype!=bf16", naive));
  EXPECT_TRUE(holds("technique=flash-attention-2", flash));
  EXPECT_TRUE(holds("family=attention", naive));
}

TEST(Filter, NumbersAreWrittenAsPeopleWriteThem) {
  EXPECT_TRUE(holds("seq=4k", flash));
  EXPECT_TRUE(holds("seq=4096", flash));
  EXPECT_TRUE(holds("seq>=4k", flash));
  EXPECT_FALSE(holds("seq>4k", flash));
  EXPECT_TRUE(holds("sequence_length=1k..8k", flash));
  EXPECT_FALSE(holds("sequence_length=1k..8k", naive));
  EXPECT_TRUE(holds("seq<1k", naive));
}

TEST(Filter, AValueStillBeingTypedHidesNothing) {
  EXPECT_TRUE(holds("dtype=", flash) && holds("-dtype=", flash) && holds("seq>=", flash));
}

TEST(Filter, AnAxisThatACaseHasNotIsNoMatch) { EXPECT_FALSE(holds("ranks=4", flash)); }

TEST(Filter, RegularExpressionsLookAtTheKey) {
  EXPECT_TRUE(holds("/flash-.*-2/", flash));
  EXPECT_FALSE(holds("/^naive/", naive));
}

TEST(Filter, WhatCannotBeReadIsSaidAndLeftOut) {
  const Filter broken = parse_filter("/(/ flash");
  EXPECT_NE(broken.problem.find("/(/"), std::string::npos);
  EXPECT_TRUE(matches(broken, flash));
  EXPECT_FALSE(matches(broken, naive));
  EXPECT_NE(parse_filter("seq>=many").problem.find("many"), std::string::npos);
}

std::vector<std::string> offered(const std::string& text, const RunData& data,
                                 const std::vector<results_db::RunRecord>& runs = {}) {
  return completions(text, vocabulary(data, parse_filter(words_before_last(text)), runs));
}

TEST(Filter, CompletionOffersOnlyWhatTheWordsBeforeLeaveOver) {
  RunData data;
  data.cases = {flash, naive};
  EXPECT_EQ(offered("dt", data), std::vector<std::string>{"dtype="});
  EXPECT_EQ(offered("dtype=", data), (std::vector<std::string>{"dtype=bf16", "dtype=fp32"}));
  EXPECT_EQ(offered("flash dtype=", data), std::vector<std::string>{"flash dtype=bf16"});
  EXPECT_EQ(offered("seq=", data), (std::vector<std::string>{"sequence_length=4k", "sequence_length=512"}));
  const auto by_value = offered("bf", data);
  EXPECT_NE(std::find(by_value.begin(), by_value.end(), "dtype=bf16"), by_value.end());
}

TEST(Filter, CompletionKnowsMetricsAndTheTagsOfRuns) {
  RunData data;
  data.cases = {flash, naive};
  data.cases[0].values.push_back({.metric = "flops_rate", .unit = "FLOP/s"});
  results_db::RunRecord tagged;
  tagged.suite = "quick";
  tagged.tags = {"nightly"};
  EXPECT_EQ(offered("metric=", data), std::vector<std::string>{"metric=flops_rate"});
  EXPECT_EQ(offered("tag=n", data, {tagged}), std::vector<std::string>{"tag=nightly"});
  EXPECT_EQ(offered("flash night", data, {tagged}), std::vector<std::string>{"flash tag=nightly"});
}

TEST(Filter, AMetricKeepsTheCasesThatHaveIt) {
  CaseResult fast = flash;
  fast.values.push_back({.metric = "flops_rate", .unit = "FLOP/s"});
  EXPECT_TRUE(holds("metric=flops_rate", fast));
  EXPECT_TRUE(holds("metric=mfu,FLOPS_rate", fast));
  EXPECT_FALSE(holds("metric=flops_rate", naive));
  EXPECT_FALSE(holds("-metric=flops_rate", fast));
  EXPECT_TRUE(holds("metric!=mfu", fast));
}

TEST(Filter, ARelationHasToHoldForOneSideOfAPair) {
  const auto keeps = [&](const std::string& text, const CaseResult* a, const CaseResult* b) {
    return matches(parse_filter(text), Pair{a, b, "attention/flash", "flash slower", "SLOWER"});
  };
  EXPECT_TRUE(keeps("dtype=bf16", &flash, &naive) && keeps("dtype=fp32", &flash, &naive));
  EXPECT_FALSE(keeps("dtype=fp32", &flash, &flash));
  EXPECT_FALSE(keeps("-dtype=fp32", &flash, &naive));  // one side has what is to be hidden
  EXPECT_TRUE(keeps("seq>=4k", &flash, nullptr));
  EXPECT_TRUE(keeps("seq>=4k", nullptr, nullptr));  // nothing is known of them
  EXPECT_TRUE(keeps("SLOWER /flash$/ tag=other", &flash, &flash));
  EXPECT_FALSE(keeps("faster", &flash, &flash));
}

TEST(Filter, AVerdictIsOfAComparisonAndHidesNothingElsewhere) {
  const Pair slower{&flash, &flash, "", "", "SLOWER"};
  EXPECT_TRUE(matches(parse_filter("verdict=slower"), slower) &&
              matches(parse_filter("verdict=faster,slower"), slower));
  EXPECT_FALSE(matches(parse_filter("verdict=unsure"), slower) || matches(parse_filter("-verdict=slower"), slower) ||
               matches(parse_filter("verdict!=slower"), slower));
  EXPECT_TRUE(matches(parse_filter("verdict="), slower));
  EXPECT_TRUE(holds("verdict=slower", flash));
  EXPECT_TRUE(matches_text(parse_filter("verdict=slower"), "a run"));
  EXPECT_TRUE(matches_text(parse_filter("-verdict=slower"), "a run"));
  EXPECT_FALSE(matches_text(parse_filter("verdict=partial"), "a claim", "reproduced"));
}

TEST(Filter, WordsAboutRunsChooseRunsAndHideNoCase) {
  results_db::RunRecord run;
  run.suite = "quick";
  run.tags = {"nightly", "Baseline"};
  run.build.commit = "c0ffee12";
  const auto keeps = [&](const std::string& text) { return matches_run(parse_filter(text), run); };
  EXPECT_TRUE(keeps("tag=nightly") && keeps("tag=baseline,other") && keeps("suite=quick commit=c0ff"));
  EXPECT_FALSE(keeps("tag=other") || keeps("-tag=nightly") || keeps("tag!=nightly") || keeps("suite=long"));
  EXPECT_TRUE(keeps("flash dtype=bf16"));  // about cases
  EXPECT_TRUE(holds("tag=other", flash));
  EXPECT_EQ(run_words(parse_filter("flash tag=a,b -suite=quick")), "tag=a,b -suite=quick ");
}

}  // namespace
}  // namespace assay::gui
