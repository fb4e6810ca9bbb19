// assay compare on stored runs with known values: tables, JSON, exit codes and what it says when nothing is compared.
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "harness/table.h"
#include "results_db/store.h"
#include "tests/e2e/program.h"

namespace assay::e2e {
namespace {

using nlohmann::json;
using results_db::LaunchRecord;
using results_db::Store;

class Compare : public testing::Test {
 protected:
  Compare() : store_(Store::open(scratch_.database(), results_db::Open::create)) {}

  std::string add_run(const std::string& tag, const std::string& commit = "c0ffee") {
    results_db::RunRecord run;
    run.id = "0000000" + std::to_string(++runs_) + "-0000-4000-8000-000000000000";
    run.suite = "pond";
    run.suite_toml = "title = \"pond\"";
    run.command = "test";
    run.machine = {"m", "lab", "a processor", 2, 1LL << 30, "{}"};
    run.build = {commit, commit, false, "clang", "-O3", "{}"};
    run.started_ns = 1'000'000'000LL * runs_;
    run.status = "running";
    run.tags = {tag};
    run.environment_json = "{}";
    store_.begin_run(run);
    store_.finish_run(run.id, "finished", run.started_ns + 1);
    return run.id;
  }

  // Launches of `seconds`, a thousandth apart from each other so that no rank test meets ties alone. `first_ns` and the
  // step say when they were taken: 2 apart from each other, so that a second side fits between.
  void add_case(const std::string& run, const std::string& technique, int tokens, double seconds, int launches,
                std::int64_t first_ns = 1'000'000) {
    const std::int64_t id = store_.put_case(record(technique, tokens));
    for (int i = 0; i < launches; ++i) {
      LaunchRecord launch;
      launch.run = run;
      launch.case_id = id;
      launch.ordinal = i;
      launch.stop_reason = "noise";
      launch.started_ns = first_ns + 2 * i;
      launch.samples = {seconds * (1 + 1e-3 * (i * 7 % 5)), seconds * (1 + 1e-3 * (i * 7 % 5))};
      launch.metrics = {{"time", launch.samples[0], "s", results_db::Provenance::measured, {}, {}}};
      store_.append_launch(launch);
    }
  }

  void add_failure(const std::string& run, const std::string& technique, int tokens, const std::string& reason) {
    LaunchRecord launch;
    launch.run = run;
    launch.case_id = store_.put_case(record(technique, tokens));
    launch.status = results_db::Status::failed;
    launch.reason = reason;
    launch.started_ns = 1;
    store_.append_launch(launch);
  }

  static results_db::CaseRecord record(const std::string& technique, int tokens) {
    results_db::CaseRecord made;
    made.technique = technique;
    made.backend = "cpu";
    made.timer = "host";
    made.cache = "hot";
    made.parameters_json = json{{"batch", 1}, {"causal", 1}, {"dtype", "bf16"}, {"tokens", tokens}}.dump();
    made.key = technique + " cpu batch=1 causal=1 dtype=bf16 tokens=" + std::to_string(tokens);
    return made;
  }

  Outcome compare(const std::string& arguments) {
    store_.close();
    return scratch_.assay("compare " + arguments);
  }

  static void expect_readable(const std::string& text) {
    EXPECT_EQ(text.find('\x1b'), std::string::npos) << "no escape codes in a file";
    std::stringstream lines(text);
    for (std::string line; std::getline(lines, line);) EXPECT_LE(harness::display_width(line), 100) << line;
  }

  Scratch scratch_{"compare"};
  Store store_;
  int runs_ = 0;
};

bool says(const std::string& text, const std::string& words) { return text.find(words) != std::string::npos; }

TEST_F(Compare, TellsFasterSlowerAndUnsureOfStoredRuns) {
  const std::string before = add_run("before");
  const std::string after = add_run("after", "decade");
  add_case(before, "attention/flash-attention-2", 1024, 1e-3, 10);
  add_case(after, "attention/flash-attention-2", 1024, 1.5e-3, 10, 2'000'000);
  add_case(before, "attention/flash-attention-2", 4096, 8e-3, 10);
  add_case(after, "attention/flash-attention-2", 4096, 4e-3, 10, 2'000'000);
  add_case(before, "attention/naive-attention", 1024, 3e-3, 3);
  add_case(after, "attention/naive-attention", 1024, 6e-3, 3, 2'000'000);
  const Outcome outcome = compare("before after");
  EXPECT_EQ(outcome.code, 1) << "something is slower\n" << outcome.out << outcome.err;
  expect_readable(outcome.out);
  EXPECT_TRUE(says(outcome.out, "3 compared: 1 SLOWER, 1 FASTER, 0 SAME, 1 UNSURE")) << outcome.out;
  EXPECT_TRUE(says(outcome.out, "all: measured cpu batch=1 causal=1 dtype=bf16\n")) << outcome.out;
  EXPECT_TRUE(says(outcome.out, "SLOWER   flash-attention-2  tokens=1024  1.00 ms  1.50 ms  1.500x")) << outcome.out;
  EXPECT_TRUE(says(outcome.out, "FASTER   flash-attention-2  tokens=4096")) << outcome.out;
  EXPECT_TRUE(says(outcome.out, "UNSURE   naive-attention    tokens=1024")) << outcome.out;
  EXPECT_TRUE(says(outcome.out, "needs 7 more launches a side")) << outcome.out;
  EXPECT_TRUE(says(outcome.out, "build.commit")) << outcome.out;
  EXPECT_FALSE(says(outcome.out, "nothing ")) << outcome.out;

  const Outcome only = scratch_.assay("compare before after --only faster");
  EXPECT_EQ(only.code, 1) << "what is hidden counts";
  EXPECT_TRUE(says(only.out, "2 rows hidden by --only"));
  EXPECT_FALSE(says(only.out, "SLOWER   flash")) << only.out;
}

TEST_F(Compare, SameIsShownOfLaunchesTakenInTurns) {
  const std::string run = add_run("night");
  add_case(run, "attention/flash-attention-1", 1024, 1e-3, 12, 1'000'000);
  add_case(run, "attention/flash-attention-2", 1024, 1e-3, 12, 1'000'001);
  const Outcome outcome = compare("night:technique=flash-attention-1 night:technique=flash-attention-2 --unsure=fail");
  EXPECT_EQ(outcome.code, 0) << outcome.out << outcome.err;
  EXPECT_TRUE(says(outcome.out, "SAME     flash-attention-1 vs flash-attention-2 ")) << outcome.out;
  EXPECT_TRUE(says(outcome.out, "nothing significant: no difference shown among 1 compared")) << outcome.out;
  expect_readable(outcome.out);
}

TEST_F(Compare, ALoneCaseNamesItsTechnique) {
  const std::string before = add_run("before");
  const std::string after = add_run("after");
  add_case(before, "attention/mem-efficient-attention", 1024, 1e-3, 10);
  add_case(after, "attention/mem-efficient-attention", 1024, 1e-3, 10, 2'000'000);
  const Outcome outcome = compare("before after");
  EXPECT_EQ(outcome.code, 0);
  EXPECT_TRUE(says(outcome.out,
                   "all: measured attention/mem-efficient-attention cpu batch=1 causal=1 dtype=bf16 tokens=1024\n"))
      << outcome.out;
  EXPECT_TRUE(says(outcome.out, "UNSURE   mem-efficient-attention ")) << outcome.out;
  EXPECT_TRUE(says(outcome.out, "compare --live")) << "taken at separate times\n" << outcome.out;
  expect_readable(outcome.out);
  expect_readable(scratch_.assay("compare before after --min-effect 9%").out);
}

TEST_F(Compare, UnsurePassesUnlessToldToFail) {
  const std::string before = add_run("before");
  const std::string after = add_run("after");
  add_case(before, "attention/naive-attention", 1024, 1e-3, 2);
  add_case(after, "attention/naive-attention", 1024, 9e-3, 2, 2'000'000);
  EXPECT_EQ(compare("before after").code, 0);
  EXPECT_EQ(scratch_.assay("compare before after --unsure=pass").code, 0);
  EXPECT_EQ(scratch_.assay("compare before after --unsure=fail").code, 1);
  const Outcome rerun = scratch_.assay("compare before after --unsure=rerun");
  EXPECT_EQ(rerun.code, 2);
  EXPECT_TRUE(says(rerun.err, "--live")) << rerun.err;
}

TEST_F(Compare, JsonCarriesEverythingTheTableHas) {
  const std::string before = add_run("before");
  const std::string after = add_run("after");
  add_case(before, "attention/naive-attention", 1024, 1e-3, 10);
  add_case(after, "attention/naive-attention", 1024, 2e-3, 10, 2'000'000);
  add_failure(before, "attention/naive-attention", 4096, "signal 11");
  add_case(after, "attention/naive-attention", 4096, 1e-3, 10, 2'000'000);
  add_case(after, "attention/naive-attention", 8192, 1e-3, 10, 2'000'000);
  const Outcome outcome = compare("before after --json");
  EXPECT_EQ(outcome.code, 1);
  const json report = json::parse(outcome.out);
  EXPECT_EQ(report.at("schema_version"), 1);
  EXPECT_EQ(report.at("exit_code"), 1);
  EXPECT_EQ(report.at("a").at("id"), before);
  EXPECT_EQ(report.at("b").at("id"), after);
  EXPECT_EQ(report.at("matched"), 2);
  EXPECT_EQ(report.at("counts").at("SLOWER"), 1);
  ASSERT_EQ(report.at("cases").size(), 1U);
  const json& row = report.at("cases").at(0);
  EXPECT_EQ(row.at("verdict"), "SLOWER");
  EXPECT_EQ(row.at("metric"), "time");
  EXPECT_EQ(row.at("provenance"), "measured");
  EXPECT_NEAR(row.at("ratio"), 2, 1e-2);
  EXPECT_LT(row.at("low"), row.at("ratio"));
  EXPECT_GT(row.at("high"), row.at("ratio"));
  EXPECT_EQ(row.at("launches_a"), 10);
  ASSERT_EQ(report.at("not_compared").size(), 1U);
  EXPECT_TRUE(says(report.at("not_compared").at(0).at("why"), "signal 11"));
  EXPECT_EQ(report.at("only_b").size(), 1U);
}

TEST_F(Compare, NothingMatchedIsNeitherSuccessNorRegression) {
  add_case(add_run("before"), "attention/naive-attention", 1024, 1e-3, 10);
  add_case(add_run("after"), "attention/naive-attention", 4096, 1e-3, 10);
  const Outcome outcome = compare("before after");
  EXPECT_EQ(outcome.code, 3);
  EXPECT_TRUE(says(outcome.out, "nothing matched: no case of A has a counterpart in B (1 only in A, 1 only in B)"))
      << outcome.out;
  EXPECT_TRUE(says(outcome.out, "only in A 1: attention/naive-attention cpu")) << outcome.out;
  const Outcome as_json = scratch_.assay("compare before after --json");
  EXPECT_EQ(as_json.code, 3);
  EXPECT_EQ(json::parse(as_json.out).at("exit_code"), 3);
}

TEST_F(Compare, NothingMeasuredSaysWhy) {
  const std::string before = add_run("before");
  const std::string after = add_run("after");
  add_case(before, "attention/naive-attention", 1024, 1e-3, 10);
  add_failure(after, "attention/naive-attention", 1024, "oracle: error 37 times the tolerance");
  const Outcome outcome = compare("before after");
  EXPECT_EQ(outcome.code, 3);
  EXPECT_TRUE(says(outcome.out, "nothing measured: 1 matched, none with a value on both sides")) << outcome.out;
  EXPECT_TRUE(says(outcome.out, "B failed: oracle: error 37 times the tolerance")) << outcome.out;
}

TEST_F(Compare, BadSelectorsAreOneLineAndExitTwo) {
  add_case(add_run("only"), "attention/naive-attention", 1024, 1e-3, 10);
  store_.close();
  const std::pair<const char*, const char*> wrong[] = {
      {"tokens= latest", "KEY=VALUE"},
      {"=1024 latest", "KEY=VALUE"},
      {":tokens=1 latest", "names no run"},
      {"no-such-run latest", "no-such-run"},
      {"latest latest", "itself"},
      {"latest latest --metric speediness", "speediness"},
      {"latest latest --min-effect 3s", "--min-effect"},
  };
  for (const auto& [arguments, said] : wrong) {
    const Outcome outcome = scratch_.assay(std::string("compare ") + arguments);
    EXPECT_EQ(outcome.code, 2) << arguments;
    EXPECT_EQ(outcome.out, "") << arguments;
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
    EXPECT_TRUE(says(outcome.err, said)) << outcome.err;
  }
}

TEST_F(Compare, MarkdownAndExplainShowTheSameRows) {
  const std::string before = add_run("before");
  const std::string after = add_run("after");
  for (const int tokens : {1024, 2048}) {
    add_case(before, "attention/naive-attention", tokens, 1e-3, 10);
    add_case(after, "attention/naive-attention", tokens, 2e-3, 10, 2'000'000);
  }
  const Outcome markdown = compare("before after --markdown");
  EXPECT_TRUE(says(markdown.out, "| SLOWER | tokens=2048 | 1.00 ms | 2.00 ms |")) << markdown.out;
  EXPECT_TRUE(says(markdown.out, "| ---: |"));
  const Outcome explained = scratch_.assay("compare before after --explain");
  EXPECT_TRUE(says(explained.out, "separate")) << explained.out;
}

TEST_F(Compare, WorksOnTheSampleDatabase) {
  ASSERT_EQ(scratch_.assay("db sample " + scratch_.path("sample.db").string()).code, 0);
  const Outcome outcome = scratch_.assay_on("sample.db", "compare latest~7 latest");
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_TRUE(says(outcome.out, "5 compared: 0 SLOWER, 0 FASTER, 1 SAME, 4 UNSURE")) << outcome.out;
  EXPECT_TRUE(says(outcome.out, "UNSURE   tiled-attention  tokens=4096")) << outcome.out;
  EXPECT_TRUE(says(outcome.out, "all: projected sample/ring cpu/cluster ranks=4 virtual\n")) << outcome.out;
  EXPECT_TRUE(says(outcome.out, "SAME     ring ")) << "not in a table with what was measured\n" << outcome.out;
  EXPECT_TRUE(says(outcome.out, "not compared: sample/broken-attention")) << outcome.out;
  EXPECT_TRUE(says(outcome.out, "A skipped: no device")) << outcome.out;
}

}  // namespace
}  // namespace assay::e2e
