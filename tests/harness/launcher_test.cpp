#include "harness/launcher.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>

#include "datasets/user_error.h"
#include "harness/runner.h"

namespace assay::harness {
namespace {

using results_db::Status;
using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Sets a variable, or with null takes it away, until the end of the test.
class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) {
    if (const char* before = std::getenv(name)) before_ = before;
    value == nullptr ? unsetenv(name) : setenv(name, value, 1);
  }
  ~Variable() { before_ ? setenv(name_, before_->c_str(), 1) : unsetenv(name_); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* name_;
  std::optional<std::string> before_;
};

std::string message_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const UserError& wrong) {
    return wrong.what();
  }
  return "nothing was refused";
}

TEST(Launcher, ANamedOneThatCannotBeExecutedIsRefusedInOneLine) {
  EXPECT_EQ(message_of([] { find_launcher("/nowhere/mpirun -v", "/bin/true"); }),
            "--launcher: found '/nowhere/mpirun -v', expected a program that can be executed (mpirun, mpiexec, srun)");
  const Variable named("ASSAY_MPIRUN", "no-such-launcher");
  EXPECT_THAT(message_of([] { find_launcher("", "/bin/true"); }), HasSubstr("ASSAY_MPIRUN: found 'no-such-launcher'"));
}

TEST(Launcher, WithoutOneTheProblemSaysWhatToInstall) {
  const Variable named("ASSAY_MPIRUN", nullptr);
  const Variable path("PATH", "/nowhere");
  EXPECT_THAT(find_launcher("", "/bin/true").problem, HasSubstr("no mpirun, mpiexec or srun on PATH"));
}

TEST(Launcher, ABuildWithoutMpiIsAProblemToo) {
  EXPECT_THAT(find_launcher("/bin/true", "/nowhere/assay-mpi").problem, HasSubstr("assay-mpi is missing"));
}

TEST(Launcher, KeepsTheArgumentsOfANamedOne) {
  const Launcher launcher = find_launcher("/bin/true --map-by node", "/bin/true");
  const WorkerCommand command = job_command(launcher, "/opt/assay-mpi", 8);
  EXPECT_THAT(command.arguments, ElementsAre("/bin/true", "--map-by", "node", "-n", "8", "/opt/assay-mpi", "worker"));
  EXPECT_TRUE(command.starts_ranks);
}

TEST(Launcher, SlurmGivesStandardInputToTheFirstRankAndPmixToAll) {
  const Launcher launcher{.words = {"srun"}, .path = "/usr/bin/srun", .problem = ""};
  const WorkerCommand command = job_command(launcher, "/opt/assay-mpi", 2);
  EXPECT_THAT(command.arguments,
              ElementsAre("/usr/bin/srun", "--input=0", "--unbuffered", "-n", "2", "/opt/assay-mpi", "worker"));
  const std::map<std::string, std::string> environment(command.environment.begin(), command.environment.end());
  EXPECT_EQ(environment.at("SLURM_MPI_TYPE"), "pmix");
  EXPECT_EQ(environment.at("SLURM_OVERCOMMIT"), "1");
  EXPECT_EQ(environment.at("SLURM_KILL_BAD_EXIT"), "1");
}

TEST(Launcher, RootAndMoreRanksThanCoresNeedNoFlagsOfTheUser) {
  const Launcher launcher{.words = {"mpirun"}, .path = "/usr/bin/mpirun", .problem = ""};
  const auto variables = job_command(launcher, "/opt/assay-mpi", 100000).environment;
  const std::map<std::string, std::string> found(variables.begin(), variables.end());
  EXPECT_EQ(found.at("OMPI_ALLOW_RUN_AS_ROOT"), "1");
  EXPECT_EQ(found.at("OMPI_MCA_rmaps_base_oversubscribe"), "1");
  EXPECT_EQ(found.at("OMPI_MCA_mpi_yield_when_idle"), "1");
}

TEST(Launcher, ARunUnderALauncherIsRefused) {
  const Variable rank("OMPI_COMM_WORLD_RANK", "1");
  EXPECT_THAT(message_of(refuse_to_be_launched), HasSubstr("started under a launcher (OMPI_COMM_WORLD_RANK is set)"));
}

// Why jobs cannot be started here; empty where they can.
std::string no_jobs() {
  if (*ASSAY_FIXTURE_RANK == '\0') return "this build has no MPI";
  return find_launcher("", ASSAY_FIXTURE_RANK).problem;
}

class LaunchedJob : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / ("assay-launched-" + std::to_string(getpid()));
    std::filesystem::create_directories(folder_);
    setenv("ASSAY_LOCK", (folder_ / "lock").c_str(), 1);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string database() const { return (folder_ / "test.db").string(); }
  static Suite suite_of(const std::string& faults) {
    Suite suite = suite_of_technique(*find_technique("fixture/spread"), {parse_axis_override("fault=" + faults)});
    suite.settings.launches = 2;
    suite.settings.time_budget_seconds = 0.005;
    suite.roofs = false;
    return suite;
  }
  static RunOptions options() {
    RunOptions made;
    made.program = ASSAY_FIXTURE_WORKER;
    made.rank_program = ASSAY_FIXTURE_RANK;
    made.ignore_load = true;
    made.seed = 5;
    return made;
  }

  std::filesystem::path folder_;
};

TEST_F(LaunchedJob, IsOneLaunchOfItsCaseInTheDatabase) {
  if (const std::string why = no_jobs(); !why.empty()) GTEST_SKIP() << why;
  auto store = results_db::Store::open(database(), results_db::Open::create);
  const RunSummary summary = run_suite(store, suite_of("none"), options());
  EXPECT_EQ(summary.ok, 1U);
  const auto items = store.cases_of(summary.run_id);
  ASSERT_EQ(items.size(), 1U);
  EXPECT_EQ(items[0].record.fabric, "mpi");
  const auto launches = store.launches(summary.run_id, items[0].id);
  ASSERT_EQ(launches.size(), 2U);
  for (const auto& launch : launches) {
    EXPECT_EQ(launch.status, Status::ok) << launch.reason << launch.stderr_tail;
    EXPECT_GT(launch.samples.size(), static_cast<std::size_t>(launch.warmup));
  }
  EXPECT_NE(launches[0].pid, launches[1].pid);
  EXPECT_EQ(store.gate(summary.run_id, items[0].id)->mutants_caught, 2);
}

TEST_F(LaunchedJob, LosesItsOwnCaseWhenARankDiesAndNoOther) {
  if (const std::string why = no_jobs(); !why.empty()) GTEST_SKIP() << why;
  auto store = results_db::Store::open(database(), results_db::Open::create);
  const RunSummary summary = run_suite(store, suite_of("dies,wrong,draw-throws,exits,none"), options());
  EXPECT_EQ(summary.ok, 1U);
  EXPECT_EQ(summary.failed, 4U);
  // Open MPI mostly, but not always, gets to name the rank; srun (ASSAY_MPIRUN=srun in an allocation) does.
  const std::map<std::string, ::testing::Matcher<std::string>> reasons = {
      {"dies",
       AnyOf(HasSubstr("a rank died: process rank 2"), HasSubstr("a rank died: signal "), HasSubstr("task 2: Killed"))},
      {"wrong", HasSubstr("gate: differs from the oracle")},
      {"draw-throws", HasSubstr("rank 2 failed: no memory for the inputs")},
      {"exits", HasSubstr("a rank died: ")}};
  for (const auto& item : store.cases_of(summary.run_id)) {
    const auto launches = store.launches(summary.run_id, item.id);
    ASSERT_FALSE(launches.empty());
    for (const auto& [fault, reason] : reasons)
      if (item.record.key.find("fault=" + fault) != std::string::npos)
        EXPECT_THAT(launches.front().reason, reason) << launches.front().stderr_tail;
    if (item.record.key.find("fault=none") != std::string::npos) EXPECT_EQ(launches.size(), 2U);
  }
}

TEST_F(LaunchedJob, IsEndedByTheTimeLimitWhenARankHangs) {
  if (const std::string why = no_jobs(); !why.empty()) GTEST_SKIP() << why;
  auto store = results_db::Store::open(database(), results_db::Open::create);
  RunOptions limited = options();
  limited.limits.timeout_seconds = 6;
  const RunSummary summary = run_suite(store, suite_of("hangs"), limited);
  EXPECT_EQ(summary.failed, 1U);
  const auto item = store.cases_of(summary.run_id).at(0);
  const auto launch = store.launches(summary.run_id, item.id).at(0);
  EXPECT_THAT(launch.reason, HasSubstr("hung: no answer after 6 s"));
  const auto gate = store.gate(summary.run_id, item.id);
  EXPECT_EQ(gate->status, Status::ok) << "the check came before the hang and is kept";
}

TEST_F(LaunchedJob, WithoutALauncherASuiteOfNothingElseIsRefused) {
  const Variable named("ASSAY_MPIRUN", nullptr);
  const Variable path("PATH", "/nowhere");
  auto store = results_db::Store::open(database(), results_db::Open::create);
  EXPECT_THAT(message_of([&] { run_suite(store, suite_of("none"), options()); }), HasSubstr("no mpirun"));
  EXPECT_TRUE(store.runs().empty());
}

TEST_F(LaunchedJob, WithoutALauncherAMixedSuiteSkipsItWithTheReason) {
  const Variable named("ASSAY_MPIRUN", nullptr);
  const Variable path("PATH", "/nowhere");
  auto store = results_db::Store::open(database(), results_db::Open::create);
  Suite suite = suite_of("none");
  const Suite other = suite_of_technique(*find_technique("fixture/doubling"));
  suite.entries.insert(suite.entries.end(), other.entries.begin(), other.entries.end());
  const RunSummary summary = run_suite(store, suite, options());
  EXPECT_EQ(summary.ok, 1U);
  EXPECT_EQ(summary.skipped, 1U);
  for (const auto& item : store.cases_of(summary.run_id))
    if (item.record.fabric == "mpi")
      EXPECT_THAT(store.launches(summary.run_id, item.id).at(0).reason, HasSubstr("no mpirun"));
}

}  // namespace
}  // namespace assay::harness
