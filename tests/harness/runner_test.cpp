#include "harness/runner.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <thread>

#include "datasets/user_error.h"
#include "harness/case_state.h"
#include "harness/stats/median.h"
#include "harness/timing.h"

namespace assay::harness {
namespace {

using results_db::Status;

Job doubling(JobKind kind, const std::string& fault) {
  Job job;
  job.kind = kind;
  job.technique = "fixture/doubling";
  job.backend = "cpu";
  job.timer = "host";
  job.cache = "hot";
  job.params.set("n", std::int64_t{1024});
  job.params.set("fault", fault);
  job.seed = 17;
  job.plan.budget_seconds = 0.01;
  job.plan.warmup_seconds = 0.001;
  return job;
}

Reply in_worker(const Job& job, WorkerLimits limits = {}) {
  WorkerProcess worker(ASSAY_FIXTURE_WORKER);
  return worker.run(job, limits, {}, {}).value();
}

TEST(Gate, PassesACorrectTechniqueAndRejectsEveryMutant) {
  const Reply reply = run_job(doubling(JobKind::gate, "none"));
  EXPECT_EQ(reply.status, Status::ok) << reply.reason;
  EXPECT_EQ(reply.gate.mutants_total, 3);
  EXPECT_EQ(reply.gate.mutants_caught, 3);
  EXPECT_LE(reply.gate.error, 1);
  EXPECT_EQ(reply.gate.coverage, 1);
}

TEST(Gate, FailsAWrongResult) {
  const Reply reply = run_job(doubling(JobKind::gate, "wrong"));
  EXPECT_EQ(reply.status, Status::failed);
  EXPECT_NE(reply.reason.find("differs from the oracle"), std::string::npos) << reply.reason;
}

TEST(Gate, FailsACheckThatAcceptsMutants) {
  const Reply reply = run_job(doubling(JobKind::gate, "weak-check"));
  EXPECT_EQ(reply.status, Status::failed);
  EXPECT_EQ(reply.gate.mutants_caught, 0);
  EXPECT_NE(reply.reason.find("null, stale, last-element-skipped"), std::string::npos) << reply.reason;
}

TEST(Gate, SaysWhenMutantsWereLeftOut) {
  Job job = doubling(JobKind::gate, "none");
  job.mutant_budget_seconds = 0;
  const Reply reply = run_job(job);
  EXPECT_EQ(reply.status, Status::ok);
  EXPECT_EQ(reply.gate.mutants_total, 0);
  EXPECT_NE(reply.gate.detail_json.find("left out"), std::string::npos) << reply.gate.detail_json;
}

TEST(Timing, KeepsEverySampleInOrderAndDeclaresWork) {
  Job job = doubling(JobKind::time, "none");
  job.params.set("n", std::int64_t{16});  // far below 10 us, under a sanitizer too
  const Reply reply = run_job(job);
  ASSERT_EQ(reply.status, Status::ok) << reply.reason;
  const auto& launch = reply.launch;
  EXPECT_GT(launch.samples.size(), static_cast<std::size_t>(launch.warmup));
  EXPECT_EQ(launch.samples.size(), launch.sample_at_ns.size());
  EXPECT_TRUE(std::is_sorted(launch.sample_at_ns.begin(), launch.sample_at_ns.end()));
  EXPECT_GT(launch.batch, 1) << "a region below 10 us is timed in batches";
  EXPECT_FALSE(launch.stop_reason.empty());
  double time = 0;
  double rate = 0;
  for (const auto& metric : launch.metrics) {
    if (metric.name == "time") time = metric.value;
    if (metric.name == "flops_rate") rate = metric.value;
  }
  const std::span<const double> kept(launch.samples.data() + launch.warmup,
                                     launch.samples.size() - static_cast<std::size_t>(launch.warmup));
  EXPECT_DOUBLE_EQ(time, stats::median(kept));
  EXPECT_DOUBLE_EQ(rate, 16 / time);
}

TEST(Timing, ASlowFirstCallDoesNotDecideHowManyMakeASample) {
  int calls = 0;
  const auto region = [&] {
    if (++calls <= 1) std::this_thread::sleep_for(std::chrono::milliseconds(3));
  };
  const TimingPlan plan{.budget_seconds = 0.01, .warmup_seconds = 0.001};
  const TimingResult result = time_region(region, plan);
  EXPECT_GT(result.batch, 1);
  EXPECT_GT(result.warmup, 1) << "the samples before the batch was settled are warm-up";
  EXPECT_GT(result.samples.size(), static_cast<std::size_t>(result.warmup));
  EXPECT_TRUE(std::is_sorted(result.at_ns.begin(), result.at_ns.end()));
}

TEST(Timing, StopsAtTheLimitOfSamples) {
  Job job = doubling(JobKind::time, "none");
  job.plan.noise_target = 0;
  job.plan.budget_seconds = 100;
  job.plan.max_samples = 40;
  const Reply reply = run_job(job);
  EXPECT_EQ(reply.launch.stop_reason, "samples");
  const std::size_t kept = reply.launch.samples.size() - static_cast<std::size_t>(reply.launch.warmup);
  EXPECT_LE(kept, 40U);
  EXPECT_GE(kept, 20U) << "at most half of them is flagged as not settled yet";
}

TEST(Describe, TimesNothing) {
  const Reply reply = run_job(doubling(JobKind::describe, "crash"));
  EXPECT_EQ(reply.status, Status::ok);
  EXPECT_EQ(reply.work.flops, 1024);
  EXPECT_TRUE(reply.launch.samples.empty());
}

TEST(Job, SurvivesItsJourneyAsJson) {
  Job job = doubling(JobKind::gate, "none");
  job.plan.noise_target = 0.0123456789;
  job.pin = {1, 3};
  job.seed = 0xfedcba9876543210ULL;
  const Job back = job_from_json(to_json_line(job));
  EXPECT_EQ(to_json_line(back), to_json_line(job));
  EXPECT_EQ(back.seed, job.seed);
  EXPECT_EQ(back.params, job.params);
}

TEST(Reply, CarriesNonFiniteNumbersAndOddBytes) {
  Reply reply;
  reply.status = Status::failed;
  reply.reason = "bad byte \xff and\nnewline";
  reply.gate.error = HUGE_VAL;
  reply.launch.metrics.push_back({"time", __builtin_nan(""), "s", results_db::Provenance::measured, {}, {}});
  const std::string line = to_json_line(reply);
  EXPECT_EQ(line.find('\n'), std::string::npos);
  const Reply back = reply_from_json(line);
  EXPECT_TRUE(std::isinf(back.gate.error));
  EXPECT_TRUE(std::isnan(back.launch.metrics.at(0).value));
}

TEST(Worker, TurnsACrashIntoAFailedReplyWithSignalAndStderr) {
  const Reply reply = in_worker(doubling(JobKind::time, "crash-when-timed"));
  EXPECT_EQ(reply.status, Status::failed);
  EXPECT_NE(reply.reason.find("signal 11"), std::string::npos) << reply.reason;
  EXPECT_NE(reply.launch.stderr_tail.find("about to crash"), std::string::npos) << reply.launch.stderr_tail;
}

TEST(Worker, TurnsAnExitIntoAFailedReply) {
  EXPECT_NE(in_worker(doubling(JobKind::time, "exit")).reason.find("exited with code 7"), std::string::npos);
}

TEST(Worker, EndsAHang) {
  const Reply reply = in_worker(doubling(JobKind::time, "hang"), {.timeout_seconds = 0.3, .memory_bytes = 0});
  EXPECT_NE(reply.reason.find("hung"), std::string::npos) << reply.reason;
}

TEST(Worker, EndsAProcessThatTakesTooMuchMemory) {
  const Reply reply =
      in_worker(doubling(JobKind::time, "greedy"), {.timeout_seconds = 60, .memory_bytes = 512LL << 20});
  EXPECT_NE(reply.reason.find("memory"), std::string::npos) << reply.reason;
}

TEST(Worker, KeepsWhatATechniquePrintsOutOfTheProtocol) {
  EXPECT_EQ(in_worker(doubling(JobKind::time, "noisy")).status, Status::ok);
}

TEST(Worker, ReportsAWrongParameterAsTheUsersToMend) {
  const Reply reply = in_worker(doubling(JobKind::describe, "bad-parameter"));
  EXPECT_TRUE(reply.user_error);
  EXPECT_NE(reply.reason.find("multiple of 8"), std::string::npos);
}

class RunnerTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / ("assay-runner-" + std::to_string(getpid()));
    std::filesystem::create_directories(folder_);
    setenv("ASSAY_LOCK", (folder_ / "lock").c_str(), 1);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string database() const { return (folder_ / "test.db").string(); }
  static Suite suite_of(const std::string& faults, int launches = 2) {
    Suite suite = suite_of_technique(*find_technique("fixture/doubling"), {parse_axis_override("fault=" + faults)});
    suite.settings.launches = launches;
    suite.settings.time_budget_seconds = 0.005;
    suite.roofs = false;
    return suite;
  }
  static RunOptions options() {
    RunOptions made;
    made.program = ASSAY_FIXTURE_WORKER;
    made.ignore_load = true;
    made.seed = 5;
    return made;
  }

  std::filesystem::path folder_;
};

TEST_F(RunnerTest, StoresEveryLaunchInItsOwnProcess) {
  auto store = results_db::Store::open(database(), results_db::Open::create);
  const RunSummary summary = run_suite(store, suite_of("none,noisy", 3), options());
  EXPECT_EQ(summary.ok, 2U);
  const auto items = store.cases_of(summary.run_id);
  ASSERT_EQ(items.size(), 2U);
  for (const auto& item : items) {
    const auto launches = store.launches(summary.run_id, item.id);
    ASSERT_EQ(launches.size(), 3U);
    EXPECT_NE(launches[0].pid, launches[1].pid);
    EXPECT_NE(launches[1].pid, launches[2].pid);
    EXPECT_EQ(store.gate(summary.run_id, item.id)->mutants_caught, 3);
  }
  EXPECT_EQ(store.find_run(summary.run_id).status, "finished");
}

TEST_F(RunnerTest, GoesOnAfterEveryKindOfFailureAndSaysWhy) {
  auto store = results_db::Store::open(database(), results_db::Open::create);
  const RunSummary summary = run_suite(store, suite_of("crash,wrong,absent,throw,crash-when-timed,none"), options());
  EXPECT_EQ(summary.ok, 1U);
  EXPECT_EQ(summary.failed, 4U);
  EXPECT_EQ(summary.skipped, 1U);
  for (const auto& item : store.cases_of(summary.run_id)) {
    const auto launches = store.launches(summary.run_id, item.id);
    ASSERT_FALSE(launches.empty()) << item.record.key;
    const bool good = item.record.key.find("fault=none") != std::string::npos;
    EXPECT_EQ(launches.front().status == Status::ok, good) << item.record.key;
    if (!good) {
      EXPECT_FALSE(launches.front().reason.empty());
      EXPECT_TRUE(launches.front().samples.empty()) << "a failed case has no time";
    }
  }
}

TEST_F(RunnerTest, CasesForAGpuThatIsNotHereAreSkippedRowsWithoutAGate) {
  auto store = results_db::Store::open(database(), results_db::Open::create);
  const RunSummary summary = run_suite(store, suite_of_technique(*find_technique("fixture/on-gpu")), options());
  EXPECT_EQ(summary.skipped, 2U);
  EXPECT_EQ(summary.failed, 0U);
  for (const auto& item : store.cases_of(summary.run_id)) {
    const auto launches = store.launches(summary.run_id, item.id);
    ASSERT_EQ(launches.size(), 1U);
    EXPECT_EQ(launches[0].status, Status::skipped);
    EXPECT_TRUE(launches[0].reason == "there is a GPU" || launches[0].reason.starts_with("no device: "))
        << launches[0].reason;
    EXPECT_FALSE(store.gate(summary.run_id, item.id).has_value());
  }
}

TEST_F(RunnerTest, ADeviceFaultIsOneFailedRowAndTheNextCaseRuns) {
  auto store = results_db::Store::open(database(), results_db::Open::create);
  const RunSummary summary = run_suite(store, suite_of("device-fault,none"), options());
  EXPECT_EQ(summary.failed, 1U);
  EXPECT_EQ(summary.ok, 1U);
}

TEST(Worker, IsReplacedAfterADeviceFault) {
  WorkerProcess worker(ASSAY_FIXTURE_WORKER);
  const auto never = [] { return false; };
  const auto reply = worker.run(doubling(JobKind::time, "device-fault"), {}, {}, never);
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->reason, "cudaErrorIllegalAddress: an illegal memory access was encountered (in the region)");
  EXPECT_FALSE(worker.alive()) << "nothing works in a process after a fault of its device";
}

TEST_F(RunnerTest, CheckOnlyGatesEveryCaseAndTimesNone) {
  auto store = results_db::Store::open(database(), results_db::Open::create);
  RunOptions checking = options();
  checking.check_only = true;
  const RunSummary summary = run_suite(store, suite_of("none,wrong", 3), checking);
  EXPECT_EQ(summary.ok, 1U);
  EXPECT_EQ(summary.failed, 1U);
  for (const auto& item : store.cases_of(summary.run_id)) {
    const bool good = item.record.key.find("fault=none") != std::string::npos;
    ASSERT_TRUE(store.gate(summary.run_id, item.id).has_value());
    EXPECT_EQ(store.launches(summary.run_id, item.id).empty(), good) << "only a failure leaves a row";
  }
}

TEST_F(RunnerTest, RefusesAWrongParameterBeforeAnythingIsRecorded) {
  auto store = results_db::Store::open(database(), results_db::Open::create);
  EXPECT_THROW(run_suite(store, suite_of("none,bad-parameter"), options()), UserError);
  EXPECT_TRUE(store.runs().empty());
}

TEST_F(RunnerTest, StopsInOrderOnInterruptAndResumesWhatIsMissing) {
  auto store = results_db::Store::open(database(), results_db::Open::create);
  const Suite suite = suite_of("none,noisy", 3);
  int stored = 0;
  const RunSummary first = run_suite(store, suite, options(), [&](const Progress& now) {
    if (now.finished != nullptr && ++stored == 2) raise(SIGINT);
  });
  EXPECT_TRUE(first.interrupted);
  EXPECT_EQ(store.find_run(first.run_id).status, "interrupted");
  std::size_t kept = 0;
  for (const auto& item : store.cases_of(first.run_id)) kept += store.launches(first.run_id, item.id).size();
  EXPECT_EQ(kept, 2U);

  RunOptions resume = options();
  resume.resume = first.run_id;
  const RunSummary second = run_suite(store, suite, resume);
  EXPECT_FALSE(second.interrupted);
  EXPECT_EQ(second.run_id, first.run_id);
  EXPECT_EQ(store.runs().size(), 1U);
  for (const auto& item : store.cases_of(first.run_id))
    EXPECT_EQ(store.launches(first.run_id, item.id).size(), 3U) << item.record.key;
  EXPECT_EQ(store.find_run(first.run_id).status, "finished");
}

TEST_F(RunnerTest, NamesTheCasesThatAnInterruptedRunDidNotReach) {
  auto store = results_db::Store::open(database(), results_db::Open::create);
  RunOptions checking = options();
  checking.check_only = true;
  const RunSummary summary = run_suite(store, suite_of("none,wrong,noisy,absent"), checking, [&](const Progress& now) {
    if (now.gated != nullptr && now.case_key.find("fault=wrong") != std::string::npos) raise(SIGINT);
  });
  ASSERT_TRUE(summary.interrupted);
  ASSERT_EQ(summary.not_reached.size(), 2U);
  EXPECT_NE(summary.not_reached[0].find("fault=noisy"), std::string::npos) << summary.not_reached[0];
  EXPECT_NE(summary.not_reached[1].find("fault=absent"), std::string::npos) << summary.not_reached[1];
  EXPECT_TRUE(run_suite(store, suite_of("none"), checking).not_reached.empty());
}

TEST_F(RunnerTest, ResumeDoesNotTimeWhatFailedBefore) {
  auto store = results_db::Store::open(database(), results_db::Open::create);
  const Suite suite = suite_of("wrong,crash-when-timed,absent,none", 3);
  const RunSummary first = run_suite(store, suite, options(), [](const Progress& now) {
    if (now.finished != nullptr && now.finished->status == Status::ok) raise(SIGINT);
  });
  ASSERT_TRUE(first.interrupted);
  RunOptions resume = options();
  resume.resume = first.run_id;
  const RunSummary second = run_suite(store, suite, resume);
  EXPECT_EQ(second.ok, 1U);
  EXPECT_EQ(second.failed, 2U);
  EXPECT_EQ(second.skipped, 1U);
  for (const auto& item : store.cases_of(first.run_id)) {
    const bool good = item.record.key.find("fault=none") != std::string::npos;
    for (const auto& launch : store.launches(first.run_id, item.id))
      EXPECT_EQ(launch.status == Status::ok, good) << item.record.key << " launch " << launch.ordinal;
  }
}

TEST_F(RunnerTest, ResumingACompleteRunChangesNothing) {
  auto store = results_db::Store::open(database(), results_db::Open::create);
  const Suite suite = suite_of("none", 2);
  const RunSummary first = run_suite(store, suite, options());
  EXPECT_EQ(first.jobs, 3U);  // a gate and two launches
  const std::int64_t finished = store.find_run(first.run_id).finished_ns;
  RunOptions resume = options();
  resume.resume = first.run_id;
  const RunSummary second = run_suite(store, suite, resume);
  EXPECT_EQ(second.jobs, 0U);
  EXPECT_EQ(second.ok, 1U);
  EXPECT_EQ(store.find_run(first.run_id).finished_ns, finished);
}

TEST_F(RunnerTest, RefusesASecondRunOnTheMachine) {
  auto store = results_db::Store::open(database(), results_db::Open::create);
  bool refused = false;
  run_suite(store, suite_of("none", 1), options(), [&](const Progress&) {
    if (refused) return;
    auto other = results_db::Store::open((folder_ / "other.db").string(), results_db::Open::create);
    try {
      run_suite(other, suite_of("none", 1), options());
    } catch (const UserError& wrong) {
      refused = true;
    }
  });
  EXPECT_TRUE(refused);
}

TEST_F(RunnerTest, TakesProjectionsOnceAndWithoutAGate) {
  auto store = results_db::Store::open(database(), results_db::Open::create);
  Suite suite = suite_of_technique(*find_technique("fixture/projected"), {}, "", "cluster");
  suite.settings.launches = 5;
  const RunSummary summary = run_suite(store, suite, options());
  const auto items = store.cases_of(summary.run_id);
  ASSERT_EQ(items.size(), 1U);
  const auto launches = store.launches(summary.run_id, items[0].id);
  ASSERT_EQ(launches.size(), 1U);
  EXPECT_EQ(launches[0].metrics.at(0).provenance, results_db::Provenance::projected);
  EXPECT_EQ(launches[0].descriptors_json, R"({"device:toy":"abc"})");
  EXPECT_FALSE(store.gate(summary.run_id, items[0].id).has_value());
}

TEST_F(RunnerTest, CallsNoResultAnError) {
  auto store = results_db::Store::open(database(), results_db::Open::create);
  const RunSummary summary =
      run_suite(store, suite_of_technique(*find_technique("fixture/silent"), {}, "", "cluster"), options());
  EXPECT_EQ(summary.failed, 1U);
}

}  // namespace
}  // namespace assay::harness
