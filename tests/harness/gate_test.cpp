// The gate and the histories it stands on, over databases whose truth is planted.
#include "harness/gate.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <optional>

#include "datasets/user_error.h"
#include "harness/gate_self_test.h"
#include "harness/history.h"
#include "impls/substrate/random.h"
#include "reports/gate_files.h"
#include "tests/harness/own_database.h"

namespace assay::harness {
namespace {

using results_db::LaunchRecord;
using stats::Verdict;

struct Night {
  double slow = 1;  // factor on the second of three cases
  int launches = 4;
  int cases = 3;
  std::vector<std::string> tags = {};
  std::string machine = "lab";
  std::string suite = "nightly";
  int expected = 3;
};

class GateTest : public OwnDatabase {
 protected:
  static std::string key_of(int item) { return "pond/duck cpu size=" + std::to_string(item); }

  std::string add(const Night& night) {
    results_db::RunRecord run;
    char id[40];
    std::snprintf(id, sizeof id, "%08x-0000-4000-8000-000000000000", ++nights_);
    run.id = id;
    run.suite = night.suite;
    run.machine = {night.machine + "-id", night.machine, "cpu", 2, 1, "{}"};
    run.build = {"b" + std::to_string(nights_), "commit" + std::to_string(nights_), false, "clang", "", "{}"};
    run.started_ns = nights_ * 86'400'000'000'000LL;
    run.status = "running";
    run.expected_cases = night.expected;
    run.tags = night.tags;
    run.environment_json = "{}";
    store_->begin_run(run);
    for (int item = 0; item < night.cases; ++item) {
      results_db::CaseRecord record;
      record.technique = "pond/duck";
      record.backend = "cpu";
      record.parameters_json = "{\"size\":" + std::to_string(item) + "}";
      record.key = key_of(item);
      const std::int64_t case_id = store_->put_case(record);
      const double level = 1e-3 * (item + 1) * (item == 1 ? night.slow : 1) * std::exp(0.003 * random_.normal());
      for (int ordinal = 0; ordinal < night.launches; ++ordinal) {
        LaunchRecord launch;
        launch.run = run.id;
        launch.case_id = case_id;
        launch.ordinal = ordinal;
        launch.stop_reason = "noise";
        launch.started_ns = run.started_ns + 1 + ordinal;
        launch.code_hash = "code" + std::to_string(nights_);
        const double value = level * std::exp(0.004 * random_.normal());
        launch.samples = {value};
        launch.metrics = {{"time", value, "s", results_db::Provenance::measured, {}, {}}};
        store_->append_launch(launch);
      }
    }
    store_->finish_run(run.id, "finished", run.started_ns + 1000);
    return run.id;
  }

  void add_nights(int count, const Night& night = {}) {
    for (int i = 0; i < count; ++i) add(night);
  }

  int nights_ = 0;
  substrate::Random random_{11};
};

TEST_F(GateTest, ConfirmsAPlantedSlowDownAndNamesItsSizeAndFirstRun) {
  add_nights(6);
  const std::string bad = add({.slow = 1.08, .launches = 12});
  const GateReport report = gate(*store_, {});
  EXPECT_EQ(report.exit_code(UnsurePolicy::pass), 1);
  ASSERT_EQ(report.count(Verdict::slower), 1);
  const GatedCase& worst = report.cases.front();
  EXPECT_EQ(worst.compared.key_b, key_of(1));
  EXPECT_NEAR(worst.compared.decision.ratio, 1.08, 0.015);
  EXPECT_GT(worst.magnitude, stats::Magnitude::none);
  ASSERT_TRUE(worst.since.has_value());
  EXPECT_EQ(worst.since->run, bad);
  EXPECT_EQ(worst.since->commit, "commit7");
  EXPECT_GE(worst.base_runs, 3) << "four launches a night: the nights before stand with the base";
  EXPECT_NE(headline(report).find("1 SLOWER, worst pond/duck cpu size=1 +"), std::string::npos) << headline(report);
  const std::string why = explain(report, worst);
  for (const char* part : {"SLOWER", "first bad run: 00000007, commit commit7", "last good 00000006",
                           "sessions of this case", "environment differs: build.commit"})
    EXPECT_NE(why.find(part), std::string::npos) << part << "\n" << why;
}

TEST_F(GateTest, TheFirstBadRunIsFoundAlsoNightsLater) {
  add_nights(6, {.tags = {"baseline"}});
  const std::string bad = add({.slow = 1.1});
  add({.slow = 1.1});
  add({.slow = 1.1, .launches = 12});
  const GateReport report = gate(*store_, {.base = "baseline"});
  ASSERT_EQ(report.count(Verdict::slower), 1);
  EXPECT_EQ(report.cases.front().since->run, bad);
  add_nights(3, {.slow = 1.1, .launches = 12});
  const GateReport later = gate(*store_, {.base = "baseline"});
  ASSERT_EQ(later.count(Verdict::slower), 1);
  EXPECT_EQ(later.cases.front().since->run, bad);
  EXPECT_EQ(later.cases.front().since->found, "change of level");
}

TEST_F(GateTest, FewLaunchesMakeASuspectThatConfirmingLaunchesDecide) {
  add_nights(6);
  const std::string head = add({.slow = 1.08, .launches = 4});
  const GateReport before = gate(*store_, {.head = head});
  EXPECT_EQ(before.exit_code(UnsurePolicy::pass), 0) << "not confirmed";
  EXPECT_EQ(before.exit_code(UnsurePolicy::fail), 1);
  ASSERT_EQ(before.suspects(), 1);
  EXPECT_EQ(before.cases.front().compared.key_b, key_of(1));
  add({.slow = 1.08, .launches = 8, .tags = {confirm_tag(before.head)}});
  const GateReport after = gate(*store_, {.head = head});
  ASSERT_EQ(after.count(Verdict::slower), 1);
  EXPECT_EQ(after.cases.front().compared.decision.launches_b, 12);
  EXPECT_EQ(after.cases.front().confirm_runs, 1);
}

TEST_F(GateTest, ASuspicionThatDoesNotRepeatIsNoAlarm) {
  add_nights(6);
  const std::string head = add({.slow = 1.08, .launches = 4});
  const GateReport before = gate(*store_, {.head = head});
  ASSERT_EQ(before.suspects(), 1);
  add({.slow = 1.0, .launches = 12, .tags = {confirm_tag(before.head)}});
  const GateReport after = gate(*store_, {.head = head});
  EXPECT_EQ(after.count(Verdict::slower), 0);
  EXPECT_EQ(after.suspects(), 0);
  EXPECT_EQ(after.exit_code(UnsurePolicy::pass), 0);
}

TEST_F(GateTest, NothingComparedAndMissingCasesAreNeitherSuccessNorRegression) {
  add_nights(5);
  add({.cases = 2});
  const GateReport lost = gate(*store_, {});
  EXPECT_EQ(lost.exit_code(UnsurePolicy::pass), 3);
  ASSERT_FALSE(lost.missing.empty());
  EXPECT_EQ(lost.missing.front().first, key_of(2));
  EXPECT_NE(headline(lost).find("missing"), std::string::npos);
  add({.cases = 0});
  const GateReport nothing = gate(*store_, {.base = "latest~2"});
  EXPECT_EQ(nothing.exit_code(UnsurePolicy::pass), 3);
  EXPECT_TRUE(nothing.cases.empty());
  EXPECT_EQ(headline(nothing).find("nothing compared"), 0U);
  EXPECT_NE(reports::gate_junit(nothing, UnsurePolicy::pass).find("errors=\"3\""), std::string::npos);
}

TEST_F(GateTest, ARegressionCountsBeforeWhatIsMissing) {
  add_nights(6);
  add({.slow = 1.2, .launches = 12, .cases = 2});
  EXPECT_EQ(gate(*store_, {}).exit_code(UnsurePolicy::pass), 1);
}

TEST_F(GateTest, BaselinesBelongToMachines) {
  const std::string lab = add({.tags = {"baseline"}});
  add_nights(5);
  add({.tags = {"baseline"}, .machine = "desk"});
  const std::string head = add({.launches = 12});
  EXPECT_EQ(gate(*store_, {.base = "baseline", .head = head}).base.id, lab)
      << "the newer baseline is of another machine";
  add({.machine = "attic", .suite = "other"});
  EXPECT_THROW(gate(*store_, {.base = "latest~1"}), UserError) << "its first run there";
  try {
    gate(*store_, {.base = lab});
    FAIL() << "another machine's run is no baseline";
  } catch (const UserError& refused) {
    EXPECT_EQ(refused.exit_code(), 3);
    EXPECT_NE(std::string(refused.what()).find("taken on lab"), std::string::npos) << refused.what();
  }
}

TEST_F(GateTest, CountingBackSkipsOtherSuitesAndRunsOfComparisons) {
  const std::string night = add({.launches = 12});
  add({.suite = "other"});
  add({.suite = "compare-live"});
  add({.tags = {"planted"}});
  const std::string head = add({.launches = 12});
  EXPECT_EQ(gate(*store_, {.head = head}).base.id, night);
}

TEST_F(GateTest, RecordsEachAlertOnceAndConfirmsItLater) {
  add_nights(6);
  const std::string head = add({.slow = 1.08, .launches = 4});
  const GateReport suspected = gate(*store_, {.head = head});
  EXPECT_EQ(record_alerts(*store_, suspected), 1);
  EXPECT_EQ(record_alerts(*store_, suspected), 0);
  ASSERT_EQ(store_->alerts().size(), 1U);
  EXPECT_EQ(store_->alerts()[0].outcome, "open");
  EXPECT_EQ(store_->alerts()[0].run, head);
  add({.slow = 1.08, .launches = 12, .tags = {confirm_tag(suspected.head)}});
  EXPECT_EQ(record_alerts(*store_, gate(*store_, {.head = head})), 0);
  EXPECT_EQ(store_->alerts().at(0).outcome, "confirmed");
}

TEST_F(GateTest, FilesForCiSayTheSameAsTheReport) {
  add_nights(6);
  add({.slow = 1.08, .launches = 12});
  const GateReport report = gate(*store_, {});
  const std::string junit = reports::gate_junit(report, UnsurePolicy::pass);
  EXPECT_NE(junit.find("tests=\"3\" failures=\"1\" errors=\"0\""), std::string::npos) << junit;
  EXPECT_NE(junit.find("<failure type=\"SLOWER\""), std::string::npos);
  const std::string page = reports::gate_markdown(report);
  EXPECT_EQ(page.find("## 1 SLOWER, worst pond/duck cpu size=1"), 0U) << page;
  EXPECT_NE(page.find("| SLOWER | `pond/duck cpu size=1` |"), std::string::npos) << page;
  EXPECT_NE(page.find("| measured |"), std::string::npos) << "provenance is shown";
}

TEST_F(GateTest, AStepInTheHistoryStartsANewFence) {
  add_nights(8);
  add_nights(8, {.slow = 1.3});
  const auto item = find_case(*store_, "duck size=1");
  const CaseHistory history = read_history(*store_, item, find_machine(*store_, "lab"), "time");
  ASSERT_EQ(history.runs.size(), 16U);
  ASSERT_EQ(history.levels.changes.size(), 1U);
  EXPECT_EQ(history.levels.changes[0].first, 8U);
  EXPECT_NEAR(history.fence.centre, 2e-3 * 1.3, 2e-5);
  EXPECT_EQ(history.fence.runs, 8) << "runs of the level before the step do not count";
  EXPECT_LT(history.fence.allowance(), 0.04);
  EXPECT_FALSE(history.runs[9].fence.known()) << "one run after the step is no past yet";
  EXPECT_TRUE(history.runs[7].fence.holds(history.runs[7].value));
}

TEST_F(GateTest, CasesAndMachinesAreNamedByWhatTellsThemApart) {
  add({});
  EXPECT_EQ(find_case(*store_, key_of(2)).record.key, key_of(2));
  EXPECT_EQ(find_case(*store_, "pond/duck size=2").record.key, key_of(2));
  EXPECT_THROW(find_case(*store_, "pond/duck size=2k"), UserError);
  results_db::CaseRecord long_one;
  long_one.technique = "pond/heron";
  long_one.backend = "cpu";
  long_one.parameters_json = R"({"sequence_length":4096})";
  long_one.key = "pond/heron cpu sequence_length=4096";
  store_->put_case(long_one);
  EXPECT_EQ(find_case(*store_, "heron seq=4k").record.key, long_one.key) << "as a table's head and cells say it";
  EXPECT_THROW(find_case(*store_, "heron seq=8k"), UserError);
  const auto said = [&](const char* words) -> std::string {
    try {
      find_case(*store_, words);
      return "";
    } catch (const UserError& refused) {
      return refused.what();
    }
  };
  EXPECT_NE(said("duck").find("fits 3 cases"), std::string::npos) << said("duck");
  EXPECT_NE(said("duk").find("nearest: duck"), std::string::npos) << said("duk");
  EXPECT_NE(said("").find("no case named"), std::string::npos);
  EXPECT_THROW(find_machine(*store_, "elsewhere"), UserError);
  EXPECT_EQ(find_machine(*store_, "").name, "lab");
}

TEST(GateSelfTest, JudgesItsPlantedNightsRight) {
  const std::string path =
      (std::filesystem::temp_directory_path() / ("gate_self_" + std::to_string(getpid()) + ".db")).string();
  for (const double floor : {0.02, 0.03, 0.10}) {
    stats::DecisionRule rule;
    rule.effect_floor = floor;
    const auto rows = self_test_of_nights(path, rule);
    EXPECT_EQ(rows.size(), 4U);
    for (const SelfTestRow& row : rows) EXPECT_TRUE(row.right) << row.what << ": " << row.found;
  }
  EXPECT_FALSE(std::filesystem::exists(path));
}

// A gate that never alarms, or always does, must fail its own test.
TEST(GateSelfTest, FindsARuleThatCannotBeRight) {
  const std::string path =
      (std::filesystem::temp_directory_path() / ("gate_blind_" + std::to_string(getpid()) + ".db")).string();
  stats::DecisionRule blind;
  blind.false_rate = 0;
  blind.effect_floor = 0.03;
  const auto rows = self_test_of_nights(path, blind);
  EXPECT_FALSE(rows.at(1).right) << rows.at(1).found;
}

TEST(GateSelfTest, SaysWhatNoiseHides) {
  substrate::Random random(5);
  std::vector<double> quiet, loud;
  for (int i = 0; i < 40; ++i) {
    quiet.push_back(1e-3 * std::exp(0.005 * random.normal()));
    loud.push_back(1e-3 * std::exp(0.15 * random.normal()));
  }
  stats::DecisionRule rule;
  const auto fine = self_test_of_launches("quiet", quiet, rule);
  EXPECT_TRUE(fine.at(0).right);
  EXPECT_NEAR(fine.at(1).effect, 0.02, 1e-6);
  const auto hidden = self_test_of_launches("loud", loud, rule);
  EXPECT_TRUE(hidden.at(1).right);
  EXPECT_GT(hidden.at(1).effect, 0.05);
}

}  // namespace
}  // namespace assay::harness
