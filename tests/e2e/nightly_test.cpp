// ci/nightly as cron runs it: three nights of a toy suite, the third with a planted slow-down.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "results_db/store.h"
#include "tests/e2e/program.h"

namespace assay::e2e {
namespace {

bool says(const std::string& text, const std::string& words) { return text.find(words) != std::string::npos; }

class Nightly : public testing::Test {
 protected:
  void SetUp() override {
    suite_ = scratch_.write("toy.toml",
                            "title = \"toy\"\nlaunches = 10\ntime_budget = \"2ms\"\nmax_samples = 20\n"
                            "expected_cases = 2\n[[case]]\ntechnique = [\"toy/plain\", \"toy/planted\"]\n");
  }

  Outcome night(double milliseconds, const std::string& more = "") const {
    const std::string out = scratch_.path("out.txt");
    const std::string err = scratch_.path("err.txt");
    const std::string line = "ASSAY_TOY_MILLISECONDS=" + std::to_string(milliseconds) + " " + ASSAY_SOURCE_DIR +
                             "/ci/nightly --binary " + ASSAY_TOY_BINARY + " --suite " + suite_.string() + " --db " +
                             database() + " --out " + scratch_.path("reports").string() +
                             " --metric latency --ignore-load " + more + " > " + out + " 2> " + err;
    const int status = std::system(line.c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, read_file(out), read_file(err)};
  }
  std::string database() const { return scratch_.path("history.db").string(); }
  std::string report(const std::string& name) const { return read_file(scratch_.path("reports") / name); }

  Scratch scratch_{"nightly"};
  std::filesystem::path suite_;
};

TEST_F(Nightly, AlarmsInTheThirdNightAndNamesTheCaseThatWasSlowedDown) {
  const Outcome first = night(1.0);
  EXPECT_EQ(first.code, 0) << first.out << first.err;
  EXPECT_TRUE(says(first.out, "baseline")) << first.out;
  const Outcome second = night(1.0);
  EXPECT_EQ(second.code, 0) << second.out << second.err;
  EXPECT_TRUE(says(second.out, "nightly: no regression")) << second.out;
  const Outcome third = night(1.25);
  EXPECT_EQ(third.code, 1) << third.out << third.err;
  EXPECT_TRUE(says(third.out, "1 SLOWER, worst toy/planted cpu +2")) << third.out;
  EXPECT_TRUE(says(third.out, "nightly: ALARM")) << third.out;
  EXPECT_TRUE(says(report("gate.xml"), "failures=\"1\"")) << report("gate.xml");
  EXPECT_TRUE(says(report("gate.md"), "| SLOWER | `toy/planted cpu` |")) << report("gate.md");
  EXPECT_TRUE(says(report("report.html"), "toy/planted cpu"));

  auto store = results_db::Store::open(database(), results_db::Open::read_only);
  EXPECT_EQ(store.runs().size(), 3U) << "every night is in the history";
  const auto alerts = store.alerts();
  ASSERT_EQ(alerts.size(), 1U);
  EXPECT_EQ(alerts[0].outcome, "confirmed");
  EXPECT_EQ(alerts[0].run, store.find_run("latest").id) << "the night in which it began";
  EXPECT_EQ(alerts[0].case_id, store.find_case("toy/planted cpu")->id);
  EXPECT_NEAR(*alerts[0].effect, 0.25, 0.02);
}

TEST_F(Nightly, ARunLaunchesWhatLooksSlowerAgainBeforeItSaysSo) {
  const std::string few = scratch_.write("few.toml",
                                         "title = \"few\"\nlaunches = 5\ntime_budget = \"2ms\"\nmax_samples = 20\n"
                                         "[[case]]\ntechnique = [\"toy/plain\", \"toy/planted\"]\n");
  const auto run = [&](double milliseconds, const std::string& more) {
    return scratch_.shell("ASSAY_TOY_MILLISECONDS=" + std::to_string(milliseconds) + " " + ASSAY_TOY_BINARY + " --db " +
                          database() + " run " + few + " --ignore-load --quiet --confirm --metric latency " + more);
  };
  const Outcome first = run(1.0, "");
  EXPECT_EQ(first.code, 0) << first.out << first.err;
  EXPECT_TRUE(says(first.err, "has 0 earlier runs of suite few")) << first.err;
  const Outcome second = run(1.0, "");
  EXPECT_EQ(second.code, 0) << second.out << second.err;
  EXPECT_TRUE(says(second.out, "no confirmed regression among 2 compared; 2 could not have shown 10%")) << second.out;
  const Outcome mistyped = run(1.0, "--base tonight");
  EXPECT_EQ(mistyped.code, 2);
  EXPECT_TRUE(says(mistyped.err, "unknown run 'tonight'")) << mistyped.err;
  const Outcome third = run(1.25, "");
  EXPECT_EQ(third.code, 1) << third.out << third.err;
  EXPECT_TRUE(says(third.err, "launching 1 suspect again")) << third.err;
  EXPECT_TRUE(says(third.out, "1 SLOWER, worst toy/planted cpu +2")) << third.out;
  EXPECT_TRUE(says(third.out, "(1 confirming run)")) << third.out;

  auto store = results_db::Store::open(database(), results_db::Open::read_only);
  EXPECT_EQ(store.runs().size(), 4U) << "three runs and one that confirms; a mistyped base measures nothing";
}

TEST_F(Nightly, KeepsSummariesWhenRawSamplesGo) {
  EXPECT_EQ(night(1.0, "--keep-days 0").code, 0);
  auto store = results_db::Store::open(database(), results_db::Open::read_only);
  const auto summaries = store.summaries(store.find_run("latest").id);
  ASSERT_EQ(summaries.size(), 20U);
  for (const auto& launch : summaries) {
    EXPECT_FALSE(launch.has_samples);
    EXPECT_TRUE(launch.distribution.has_value());
  }
}

TEST_F(Nightly, ANewBaselineEndsAnAlarmThatIsMeant) {
  EXPECT_EQ(night(1.0).code, 0);
  EXPECT_EQ(night(1.25).code, 1);
  EXPECT_EQ(night(1.25, "--new-baseline").code, 0);
  const Outcome after = night(1.25);
  EXPECT_EQ(after.code, 0) << after.out << after.err;
}

TEST_F(Nightly, RefusesWhatItCannotDo) {
  EXPECT_EQ(night(1.0, "--keep-days soon").code, 2);
  EXPECT_EQ(night(1.0, "--colour red").code, 2);
  EXPECT_EQ(night(1.0, "--suite absent").code, 2);
  EXPECT_EQ(night(1.0, "--binary /absent").code, 2);
}

}  // namespace
}  // namespace assay::e2e
