// assay history, gate, calibrate and selectors of compare as a user types them, over the sample database (planted: the
// tiled kernel at 4096 tokens is 9% slower from the sixth of eight nights on).
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "harness/table.h"
#include "tests/e2e/program.h"

namespace assay::e2e {
namespace {

using nlohmann::json;

bool says(const std::string& text, const std::string& words) { return text.find(words) != std::string::npos; }

class Tracking : public testing::Test {
 protected:
  Tracking() { EXPECT_EQ(scratch_.assay("db sample " + scratch_.path("sample.db").string()).code, 0); }
  Outcome assay(const std::string& arguments) const { return scratch_.assay_on("sample.db", arguments); }
  Scratch scratch_{"tracking"};
};

TEST_F(Tracking, HistoryShowsThePlantedStepInWordsAndAsJson) {
  const Outcome shown = assay("history tiled-attention tokens=4096");
  EXPECT_EQ(shown.code, 0) << shown.err;
  EXPECT_TRUE(says(shown.out, "sample/tiled-attention cpu tokens=4096  time (measured, lower is better)  on sample"))
      << shown.out;
  EXPECT_TRUE(says(shown.out, "from run 5a3b1e06")) << shown.out;
  EXPECT_TRUE(says(shown.out, "worse")) << shown.out;
  std::stringstream lines(shown.out);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(harness::display_width(line), 100) << line;

  const json data = json::parse(assay("--json history tiled-attention tokens=4096").out);
  EXPECT_EQ(data.at("schema_version"), 1);
  EXPECT_EQ(data.at("provenance"), "measured");
  ASSERT_EQ(data.at("runs").size(), 8U);
  ASSERT_EQ(data.at("changes").size(), 1U);
  EXPECT_EQ(data.at("changes")[0].at("first"), 5);
  EXPECT_EQ(data.at("changes")[0].at("effect"), "worse");
  EXPECT_NEAR(data.at("changes")[0].at("ratio").get<double>(), 1.09, 0.03);
  EXPECT_EQ(data.at("runs")[5].at("run"), data.at("changes")[0].at("run"));
}

TEST_F(Tracking, HistoryOfAnUnchangedAndOfAProjectedCaseHasNoChange) {
  for (const char* words : {"naive-attention tokens=1024", "sample/ring"}) {
    const Outcome shown = assay(std::string("history ") + words);
    EXPECT_EQ(shown.code, 0) << shown.err;
    EXPECT_TRUE(says(shown.out, "no change of level in 8 runs")) << shown.out;
  }
  EXPECT_TRUE(says(assay("history sample/ring").out, "(projected,"));
}

TEST_F(Tracking, HistoryRefusesWhatItCannotShow) {
  const auto refused = [&](const std::string& arguments, int code, const std::string& words) {
    const Outcome outcome = assay("history " + arguments);
    EXPECT_EQ(outcome.code, code) << arguments << "\n" << outcome.err;
    EXPECT_TRUE(says(outcome.err, words)) << outcome.err;
    EXPECT_EQ(outcome.err.find('\n'), outcome.err.size() - 1) << "one line: " << outcome.err;
  };
  refused("tiled-attention", 2, "fits 2 cases, expected one");
  refused("tild-attention", 2, "nearest: tiled-attention");
  refused("sample/ring --metric colour", 2, "--metric colour");
  refused("sample/ring --machine moon", 2, "unknown machine 'moon'; those with runs: sample");
  refused("sample/ring --min-effect 0", 2, "--min-effect");
  refused("broken-attention", 3, "nothing measured");
  EXPECT_EQ(scratch_.assay_on("absent.db", "history x").code, 2);
}

TEST_F(Tracking, GateExitsByWhatItFound) {
  // Four launches a night suspect and do not convict.
  const Outcome suspected = assay("gate --base latest~4 --explain");
  EXPECT_EQ(suspected.code, 0) << suspected.out << suspected.err;
  EXPECT_TRUE(says(suspected.out, "SUSPECT")) << suspected.out;
  EXPECT_TRUE(says(suspected.out, "first bad run: 5a3b1e06")) << suspected.out;
  EXPECT_TRUE(says(suspected.out, "1 suspected, not confirmed")) << suspected.out;
  EXPECT_EQ(assay("gate --base latest~4 --unsure=fail").code, 1);
  const json data = json::parse(assay("--json gate --base latest~4").out);
  EXPECT_EQ(data.at("exit_code"), 0);
  EXPECT_EQ(data.at("suspects"), 1);
  EXPECT_EQ(data.at("cases")[0].at("case"), "sample/tiled-attention cpu tokens=4096");
  EXPECT_EQ(data.at("cases")[0].at("first_bad").at("run").get<std::string>().substr(0, 8), "5a3b1e06");
}

TEST_F(Tracking, CompareTakesCommitsMachinesTagsAndSuites) {
  const json data = json::parse(assay("--json compare commit=5a3b1e03,technique=tiled-attention "
                                      "commit=5a3b1e07,technique=tiled-attention")
                                    .out);
  EXPECT_EQ(data.at("a").at("commit"), "5a3b1e03");
  EXPECT_EQ(data.at("b").at("commit"), "5a3b1e07");
  EXPECT_EQ(data.at("cases").size(), 2U) << data.dump(1);
  EXPECT_EQ(json::parse(assay("--json compare latest~2:machine=sample latest:tag=sample,suite=sample").out)
                .at("a")
                .at("commit"),
            "5a3b1e05");
  const auto refused = [&](const std::string& arguments, const std::string& words) {
    const Outcome outcome = assay("compare " + arguments);
    EXPECT_EQ(outcome.code, 2) << arguments;
    EXPECT_TRUE(says(outcome.err, words)) << outcome.err;
  };
  refused("machine=moon latest", "no run has machine=moon");
  refused("latest~9:machine=sample latest", "8 runs have machine=sample");
  refused("5a3b1e01:commit=5a3b1e03 latest", "run 5a3b1e01 does not have commit=5a3b1e03");
  refused("latest~1 latest --explain=moon", "no compared case has all of these words");
}

TEST_F(Tracking, CompareExplainsACaseInWords) {
  const Outcome told = assay("compare latest~4 latest --explain=tiled-attention,tokens=4096");
  EXPECT_EQ(told.code, 0) << told.err;
  for (const char* part : {"sample/tiled-attention cpu tokens=4096\n", "UNSURE: +", "4 of 1 base run, 4 now",
                           "clock: not readable", "environment differs: build.commit"})
    EXPECT_TRUE(says(told.out, part)) << part << "\n" << told.out;
  EXPECT_FALSE(says(told.out, "naive-attention"));
  EXPECT_FALSE(says(told.out, "would have been SLOWER")) << "that is the gate's to work out";
}

TEST_F(Tracking, CalibrateNeedsLaunchesAndAnAim) {
  const Outcome few = assay("calibrate --run latest");
  EXPECT_EQ(few.code, 3) << few.out;
  EXPECT_TRUE(says(few.out, "left out: sample/naive-attention cpu tokens=1024: 4 launches with samples, it takes 20"))
      << few.out;
  EXPECT_TRUE(says(few.err, "nothing calibrated")) << few.err;
  EXPECT_EQ(assay("calibrate").code, 2);
  EXPECT_EQ(assay("calibrate naive-attention --run latest").code, 2);
  EXPECT_EQ(assay("calibrate nonsense").code, 2);
}

TEST_F(Tracking, GateWritesFilesForCi) {
  const Outcome outcome = assay("gate --base latest~4 --junit " + scratch_.path("gate.xml").string() + " --markdown " +
                                scratch_.path("gate.md").string());
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_TRUE(says(read_file(scratch_.path("gate.xml")), "<testsuites name=\"assay gate\" tests=\"5\" failures=\"0\""));
  EXPECT_TRUE(says(read_file(scratch_.path("gate.md")), "| SUSPECT | `sample/tiled-attention cpu tokens=4096` |"));
  EXPECT_EQ(assay("gate --base latest~4 --junit /nowhere/gate.xml").code, 2);
}

TEST_F(Tracking, GateRefusesWhatItCannotJudge) {
  const auto refused = [&](const std::string& arguments, int code, const std::string& words) {
    const Outcome outcome = assay("gate " + arguments);
    EXPECT_EQ(outcome.code, code) << arguments << "\n" << outcome.out << outcome.err;
    EXPECT_TRUE(says(outcome.err, words)) << outcome.err;
  };
  refused("--base latest~99", 3, "has 7 earlier runs of suite sample on sample");
  refused("--base latest", 2, "latest~1 is the one before");
  refused("--base nonsense", 2, "unknown run 'nonsense'");
  refused("--base technique=x", 2, "expected a run, a tag");
  refused("--base 5a3b1e08", 2, "nothing to compare with itself");
  refused("--min-effect 200%", 2, "--min-effect");
  refused("--unsure=maybe", 2, "--unsure");
  refused("--base-binary /bin/true", 2, "needs --confirm");
  refused("--base latest~4 --confirm", 2, "--confirm launches here, but run 5a3b1e08 was taken on sample");
  EXPECT_EQ(scratch_.assay_on("absent.db", "gate").code, 2);
}

TEST_F(Tracking, GateRecordsItsAlertsOnce) {
  EXPECT_TRUE(says(assay("gate --base latest~4 --record").err, "1 new alert recorded"));
  EXPECT_EQ(assay("gate --base latest~4 --record").err, "");
}

TEST_F(Tracking, AlertsAreListedSettledAndCounted) {
  EXPECT_TRUE(says(assay("alerts").out, "no alerts in")) << "before any gate";
  ASSERT_EQ(assay("gate --base latest~4 --record").code, 0);
  const Outcome open = assay("alerts");
  EXPECT_EQ(open.code, 0) << open.err;
  EXPECT_TRUE(says(open.out, "5a3b1e06  open ")) << open.out;
  EXPECT_TRUE(says(open.out, "1 of 1 alerts shown\n")) << open.out;
  EXPECT_TRUE(says(assay("alerts naive").out, "0 of 1 alerts shown")) << "a word of the case selects";

  const json before = json::parse(assay("--json alerts").out);
  ASSERT_EQ(before.at("alerts").size(), 1U);
  const std::string id = std::to_string(before.at("alerts")[0].at("id").get<int>());
  EXPECT_EQ(before.at("alerts")[0].at("case"), "sample/tiled-attention cpu tokens=4096");
  EXPECT_TRUE(before.at("cases")[0].at("precision").is_null()) << "nobody has decided yet";

  EXPECT_EQ(assay("alerts set 99 --to noise").code, 2);
  EXPECT_EQ(assay("alerts set " + id + " 99 --to noise").code, 2);
  EXPECT_EQ(json::parse(assay("--json alerts").out), before) << "one unknown id and nothing is changed";
  EXPECT_EQ(assay("alerts set " + id + " --to maybe").code, 2);

  const Outcome settled = assay("alerts set " + id + " --to noise --note 'a backup ran'");
  EXPECT_EQ(settled.code, 0) << settled.err;
  EXPECT_TRUE(says(settled.out, id + ": open -> noise  sample/tiled-attention cpu tokens=4096")) << settled.out;
  EXPECT_TRUE(
      says(assay("alerts").out, "0 of 1 alerts shown (--all: also noise and fixed); of 1 decided, 0 were real"));
  EXPECT_TRUE(says(assay("alerts --all").out, "a backup ran"));
  const json after = json::parse(assay("--json alerts --outcome noise").out);
  EXPECT_EQ(after.at("cases")[0].at("precision"), 0.0);
  EXPECT_EQ(assay("gate --base latest~4 --record").err, "") << "what was settled does not come back";
}

TEST_F(Tracking, GateSaysWhatItCouldHaveShown) {
  const json data = json::parse(assay("--json gate --base latest~4").out);
  EXPECT_GT(data.at("blind").get<int>(), 0) << "four launches a night show nothing";
  for (const json& item : data.at("cases")) EXPECT_TRUE(item.at("detectable").is_null() || item.at("detectable") > 0);
}

TEST_F(Tracking, GateProvesItselfOnPlantedNights) {
  const Outcome outcome = assay("gate --self-test --no-launches");
  EXPECT_EQ(outcome.code, 0) << outcome.out << outcome.err;
  EXPECT_TRUE(says(outcome.out, "the gate judged everything right")) << outcome.out;
  const json data = json::parse(assay("--json gate --self-test --no-launches").out);
  EXPECT_EQ(data.at("right"), true);
  EXPECT_TRUE(says(data.at("tests")[1].at("found"), "1 SLOWER, worst self-test/kernel cpu size=3")) << data;
}

}  // namespace
}  // namespace assay::e2e
