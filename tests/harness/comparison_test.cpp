#include "harness/comparison.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "datasets/user_error.h"
#include "impls/substrate/random.h"
#include "tests/harness/own_database.h"

namespace assay::harness {
namespace {

using results_db::CaseRecord;
using results_db::LaunchRecord;
using results_db::Provenance;
using stats::Verdict;

// A database of its own with runs put together by hand.
class ComparisonTest : public OwnDatabase {
 protected:
  std::string add_run(const std::string& tag, const std::string& commit = "c0ffee",
                      const std::string& governor = "performance") {
    results_db::RunRecord run;
    run.id = std::string(8, static_cast<char>('a' + runs_)) + "-0000-4000-8000-00000000000" + std::to_string(runs_);
    run.suite = "test";
    run.machine = {.id = "machine", .name = "host", .cpu = "cpu", .cores = 2, .memory_bytes = 1, .facts_json = "{}"};
    run.build = {
        .id = commit, .commit = commit, .dirty = false, .compiler = "clang", .flags = "-O3", .facts_json = "{}"};
    run.started_ns = 1'000'000'000LL * ++runs_;
    run.status = "running";
    run.tags = {tag};
    run.environment_json = R"({"governor":")" + governor + R"(","load":[)" + std::to_string(runs_) + "]}";
    store_->begin_run(run);
    store_->finish_run(run.id, "finished", run.started_ns + 1);
    return run.id;
  }

  static CaseRecord case_of(const std::string& technique, const std::string& parameters) {
    CaseRecord record;
    record.technique = technique;
    record.backend = "cpu";
    record.parameters_json = parameters;
    record.key = technique + " cpu " + parameters;
    return record;
  }

  struct Made {
    double seconds = 1e-3;
    int launches = 10;
    std::int64_t first_ns = 1'000'000;  // launch k starts at first_ns + k * step_ns
    std::int64_t step_ns = 1000;
    double flops = 0;
    Provenance provenance = Provenance::measured;
    std::string metric = "time";
    std::string code = "code";
  };

  void add_case(const std::string& run, const CaseRecord& record, const Made& made) {
    const std::int64_t id = store_->put_case(record);
    for (int k = 0; k < made.launches; ++k) {
      LaunchRecord launch;
      launch.run = run;
      launch.case_id = id;
      launch.ordinal = k;
      launch.started_ns = made.first_ns + k * made.step_ns;
      launch.code_hash = made.code;
      const double seconds = made.seconds * std::exp(0.003 * random_.normal());
      launch.metrics = {{made.metric, seconds, "s", made.provenance, {}, {}}};
      if (made.flops > 0) {
        launch.metrics.push_back({"flops", made.flops, "FLOP", Provenance::derived, {}, {}});
        launch.metrics.push_back({"flops_rate", made.flops / seconds, "FLOP/s", made.provenance, {}, {}});
      }
      store_->append_launch(launch);
    }
  }

  void add_failed(const std::string& run, const CaseRecord& record, const std::string& reason) {
    LaunchRecord launch;
    launch.run = run;
    launch.case_id = store_->put_case(record);
    launch.status = results_db::Status::failed;
    launch.reason = reason;
    launch.started_ns = 1;
    store_->append_launch(launch);
  }

  Comparison compare_text(const std::string& a, const std::string& b, const std::string& metric = "") {
    return compare(*store_, parse_selector(a), parse_selector(b), {}, metric);
  }

  substrate::Random random_{42};
  int runs_ = 0;
};

TEST(Selector, IsARunOrTermsOrBoth) {
  EXPECT_EQ(parse_selector("latest~1").run, "latest~1");
  EXPECT_TRUE(parse_selector("main").names_run);
  const Selector terms = parse_selector("technique=attention/naive,head_dim=64");
  EXPECT_EQ(terms.run, "latest");
  EXPECT_FALSE(terms.names_run);
  ASSERT_EQ(terms.where.size(), 2U);
  EXPECT_EQ(terms.where[1], (std::pair<std::string, std::string>{"head_dim", "64"}));
  EXPECT_EQ(parse_selector("seq=4k").where[0].first, "sequence_length") << "as tables shorten it";
  const Selector both = parse_selector("main:dtype=bf16");
  EXPECT_EQ(both.run, "main");
  EXPECT_EQ(both.where.size(), 1U);
}

TEST(Selector, RefusesTermsThatAreNone) {
  EXPECT_THROW(parse_selector("main:dtype"), UserError);
  EXPECT_THROW(parse_selector("main:=bf16"), UserError);
  EXPECT_THROW(parse_selector("dtype="), UserError);
  EXPECT_THROW(parse_selector(""), UserError);
}

TEST_F(ComparisonTest, TwoRunsAreJoinedOnTheWholeCase) {
  const std::string a = add_run("before");
  const std::string b = add_run("after");
  const CaseRecord small = case_of("attention/naive", R"({"tokens":1024})");
  const CaseRecord large = case_of("attention/naive", R"({"tokens":4096})");
  // Interleaved in time: A at even, B at odd moments.
  add_case(a, small, {.seconds = 1e-3, .first_ns = 1000, .step_ns = 2000});
  add_case(b, small, {.seconds = 1.2e-3, .first_ns = 2000, .step_ns = 2000});
  add_case(a, large, {.seconds = 8e-3, .first_ns = 1000, .step_ns = 2000});
  add_case(b, large, {.seconds = 8e-3, .first_ns = 2000, .step_ns = 2000});
  const Comparison comparison = compare_text("before", "after");
  ASSERT_EQ(comparison.cases.size(), 2U);
  EXPECT_EQ(comparison.cases[0].name, "tokens=1024");
  EXPECT_EQ(comparison.cases[0].decision.verdict, Verdict::slower);
  EXPECT_NEAR(comparison.cases[0].decision.ratio, 1.2, 0.01);
  EXPECT_EQ(comparison.cases[0].decision.design, stats::Design::interleaved);
  EXPECT_EQ(comparison.cases[1].decision.verdict, Verdict::same);
  EXPECT_EQ(comparison.count(Verdict::slower), 1);
}

TEST_F(ComparisonTest, RunsOneAfterTheOtherNeedMoreThanSessionsDifferBy) {
  const std::string a = add_run("before");
  const std::string b = add_run("after");
  const CaseRecord item = case_of("attention/naive", "{}");
  add_case(a, item, {.seconds = 1e-3, .first_ns = 1000});
  add_case(b, item, {.seconds = 1.04e-3, .first_ns = 900'000});
  const Comparison comparison = compare_text("before", "after");
  EXPECT_EQ(comparison.cases.at(0).decision.design, stats::Design::separate);
  EXPECT_EQ(comparison.cases.at(0).decision.verdict, Verdict::unsure);
}

TEST_F(ComparisonTest, SelectorsOfOneRunAreJoinedOnTheRest) {
  const std::string run = add_run("only");
  for (const char* tokens : {"1024", "4096"}) {
    const std::string parameters = std::string(R"({"dtype":"bf16","tokens":)") + tokens + "}";
    add_case(run, case_of("attention/one", parameters), {.seconds = 2e-3, .first_ns = 1000, .step_ns = 2000});
    add_case(run, case_of("attention/two", parameters), {.seconds = 1e-3, .first_ns = 2000, .step_ns = 2000});
  }
  const Comparison comparison = compare_text("technique=one", "latest:technique=attention/two");
  ASSERT_EQ(comparison.cases.size(), 2U);
  for (const ComparedCase& row : comparison.cases) EXPECT_EQ(row.decision.verdict, Verdict::faster);
  EXPECT_TRUE(comparison.environment.empty());
  // Numbers as people write them select too.
  EXPECT_EQ(compare_text("technique=one,tokens=4k", "technique=two,tokens=4k").cases.size(), 1U);
}

TEST_F(ComparisonTest, AnAxisOfOneSideOnlyDoesNotPreventTheJoin) {
  const std::string run = add_run("only");
  add_case(run, case_of("attention/naive", R"({"tokens":1024})"), {});
  add_case(run, case_of("attention/tiled", R"({"rows":64,"tokens":1024})"), {.seconds = 5e-4});
  EXPECT_EQ(compare_text("technique=naive", "technique=tiled").cases.size(), 1U);
  add_case(run, case_of("attention/tiled", R"({"rows":128,"tokens":1024})"), {.seconds = 5e-4});
  try {
    compare_text("technique=naive", "technique=tiled");
    FAIL() << "two counterparts were taken";
  } catch (const UserError& wrong) {
    EXPECT_NE(std::string(wrong.what()).find("pin rows="), std::string::npos) << wrong.what();
  }
  EXPECT_EQ(compare_text("technique=naive", "technique=tiled,rows=128").cases.size(), 1U);
}

TEST_F(ComparisonTest, WhatHasNoCounterpartIsNamed) {
  const std::string a = add_run("before");
  const std::string b = add_run("after");
  add_case(a, case_of("attention/naive", R"({"tokens":1})"), {});
  add_case(a, case_of("attention/naive", R"({"tokens":2})"), {});
  add_case(b, case_of("attention/naive", R"({"tokens":2})"), {});
  add_case(b, case_of("attention/naive", R"({"tokens":3})"), {});
  const Comparison comparison = compare_text("before", "after");
  EXPECT_EQ(comparison.cases.size(), 1U);
  EXPECT_EQ(comparison.only_a, (std::vector<std::string>{R"(attention/naive cpu {"tokens":1})"}));
  EXPECT_EQ(comparison.only_b, (std::vector<std::string>{R"(attention/naive cpu {"tokens":3})"}));
}

TEST_F(ComparisonTest, FailedCasesAreNotComparedAndSayWhy) {
  const std::string a = add_run("before");
  const std::string b = add_run("after");
  const CaseRecord item = case_of("attention/naive", "{}");
  add_case(a, item, {});
  add_failed(b, item, "oracle: error 3.2 of the tolerance");
  const Comparison comparison = compare_text("before", "after");
  EXPECT_EQ(comparison.matched, 1U);
  EXPECT_TRUE(comparison.cases.empty());
  ASSERT_EQ(comparison.not_compared.size(), 1U);
  EXPECT_NE(comparison.not_compared[0].second.find("B failed: oracle"), std::string::npos);
}

TEST_F(ComparisonTest, DifferentDeclaredWorkIsComparedByRate) {
  const std::string a = add_run("before");
  const std::string b = add_run("after");
  const CaseRecord item = case_of("attention/naive", "{}");
  add_case(a, item, {.seconds = 1e-3, .first_ns = 1000, .step_ns = 2000, .flops = 1e6});
  add_case(b, item, {.seconds = 1.5e-3, .first_ns = 2000, .step_ns = 2000, .flops = 2e6});
  const Comparison comparison = compare_text("before", "after");
  EXPECT_EQ(comparison.cases.at(0).metric, "flops_rate");
  EXPECT_EQ(comparison.cases.at(0).decision.verdict, Verdict::faster);
  EXPECT_NE(comparison.cases.at(0).note.find("declared work differs"), std::string::npos);
  // Asked for by name, time it is.
  EXPECT_EQ(compare_text("before", "after", "time").cases.at(0).decision.verdict, Verdict::slower);
}

TEST_F(ComparisonTest, MeasuredAndProjectedAreNeverCompared) {
  const std::string a = add_run("before");
  const std::string b = add_run("after");
  const CaseRecord item = case_of("attention/naive", "{}");
  add_case(a, item, {});
  add_case(b, item, {.launches = 1, .provenance = Provenance::projected});
  const Comparison comparison = compare_text("before", "after");
  EXPECT_TRUE(comparison.cases.empty());
  EXPECT_EQ(comparison.not_compared.at(0).second, "A is measured, B is projected");
}

TEST_F(ComparisonTest, OneProjectionASideIsEnough) {
  const std::string a = add_run("before");
  const std::string b = add_run("after");
  const CaseRecord item = case_of("sequence/ring", "{}");
  add_case(a, item, {.seconds = 1, .launches = 1, .provenance = Provenance::projected, .metric = "step_time"});
  add_case(b, item, {.seconds = 2, .launches = 1, .provenance = Provenance::projected, .metric = "step_time"});
  const Comparison comparison = compare_text("before", "after");
  EXPECT_EQ(comparison.cases.at(0).decision.design, stats::Design::exact);
  EXPECT_EQ(comparison.cases.at(0).decision.verdict, Verdict::slower);
}

TEST_F(ComparisonTest, EnvironmentDifferencesLeaveOutWhatMovesByTheMinute) {
  add_run("before", "c0ffee", "performance");
  add_run("after", "decade", "powersave");
  const Comparison comparison = compare_text("before", "after");
  ASSERT_EQ(comparison.environment.size(), 2U);
  EXPECT_EQ(comparison.environment[0].what, "build.commit");
  EXPECT_EQ(comparison.environment[1].what, "governor");
  EXPECT_EQ(comparison.environment[1].b, "powersave");
}

TEST_F(ComparisonTest, EqualCodeIsMarked) {
  const std::string a = add_run("before");
  const std::string b = add_run("after");
  add_case(a, case_of("attention/naive", R"({"tokens":1})"), {.code = "x"});
  add_case(b, case_of("attention/naive", R"({"tokens":1})"), {.code = "x"});
  add_case(a, case_of("attention/naive", R"({"tokens":2})"), {.code = "x"});
  add_case(b, case_of("attention/naive", R"({"tokens":2})"), {.code = "y"});
  const Comparison comparison = compare_text("before", "after");
  EXPECT_TRUE(comparison.cases.at(0).same_code);
  EXPECT_FALSE(comparison.cases.at(1).same_code);
}

TEST_F(ComparisonTest, ACaseIsNotComparedWithItself) {
  add_case(add_run("only"), case_of("attention/naive", "{}"), {});
  EXPECT_THROW(compare_text("latest", "only"), UserError);
}

TEST_F(ComparisonTest, AMetricNeedsABetterDirection) {
  add_run("only");
  EXPECT_THROW(compare_text("latest", "latest", "intensity"), UserError);
  EXPECT_THROW(compare_text("latest", "latest", "no-such-metric"), UserError);
}

}  // namespace
}  // namespace assay::harness
