// Check, merge, prune and the stable views.
#include <SQLiteCpp/SQLiteCpp.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "results_db/connection.h"
#include "results_db/distribution.h"
#include "results_db/sample_database.h"
#include "results_db/schema.h"
#include "tests/results_db/example_records.h"

namespace assay::results_db {
namespace {

using examples::attention_case;
using examples::launch;
using examples::read_file;
using examples::run;
using examples::Scratch;
using examples::user_error;

// -- distributions

TEST(Distribution, HasTheQuantilesOfItsSamples) {
  std::vector<double> samples;
  for (int i = 100; i >= 0; --i) samples.push_back(i);  // 0 .. 100, so that a quantile is its level
  const Distribution d = describe(samples);
  EXPECT_EQ(d.n, 101);
  EXPECT_DOUBLE_EQ(d.minimum, 0);
  EXPECT_DOUBLE_EQ(d.maximum, 100);
  EXPECT_DOUBLE_EQ(d.mean, 50);
  EXPECT_NEAR(d.deviation, 29.300170647967224, 1e-12);  // sqrt(101 * 102 / 12)
  EXPECT_DOUBLE_EQ(d.median, 50);
  ASSERT_EQ(d.quantiles.size(), distribution_levels().size());
  for (std::size_t i = 0; i < d.quantiles.size(); ++i)
    EXPECT_NEAR(d.quantiles[i], 100 * distribution_levels()[i], 1e-9);
}

TEST(Distribution, InterpolatesBetweenTwoSamples) {
  const Distribution d = describe(std::vector<double>{4, 1, 3, 2});
  EXPECT_DOUBLE_EQ(d.median, 2.5);
  EXPECT_DOUBLE_EQ(d.quantiles[3], 1.75);  // type 7, level 0.25
}

TEST(Distribution, LeavesOutWhatIsNotANumber) {
  const double nan = std::nan("");
  EXPECT_EQ(describe(std::vector<double>{nan, 2, nan, 4}).median, 3);
  EXPECT_EQ(describe(std::vector<double>{nan, nan}).n, 0);
  EXPECT_EQ(describe({}).n, 0);
  EXPECT_EQ(describe(std::vector<double>{7}).deviation, 0);
  const double infinity = std::numeric_limits<double>::infinity();
  EXPECT_EQ(describe(std::vector<double>{infinity, infinity, infinity}).median, infinity);
}

TEST(Distribution, CountsEverySampleInABucketNoWiderThanTwoPercent) {
  std::vector<double> samples;
  for (int i = 1; i <= 1000; ++i) samples.push_back(1e-6 * i * i);
  Distribution d = describe(samples);
  add_histogram(d, samples);
  std::int64_t total = 0;
  for (const auto& [bucket, count] : d.histogram) total += count;
  EXPECT_EQ(total, 1000);
  for (const double sample : samples) {
    const std::int32_t bucket = bucket_of(sample);
    EXPECT_LE(bucket_low(bucket), sample);
    EXPECT_GT(bucket_low(bucket + 1), sample);
    EXPECT_LT(bucket_low(bucket + 1) / bucket_low(bucket), 1.0157);
  }
}

// -- check

// A database with one run of three launches, changed behind the store's back.
CheckReport check_after(const Scratch& scratch, const std::string& change) {
  const std::string path = scratch.file("checked.db");
  std::filesystem::remove(path);
  {
    Store store = Store::open(path, Open::create);
    store.begin_run(run("r1"));
    const std::int64_t id = store.put_case(attention_case());
    for (int i = 0; i < 3; ++i) store.append_launch(launch("r1", id, i));
    store.finish_run("r1", "finished", run("r1").started_ns + 1);
  }
  {
    SQLite::Database raw(path, SQLite::OPEN_READWRITE);
    raw.exec("PRAGMA ignore_check_constraints = ON; PRAGMA foreign_keys = OFF");
    raw.exec(change);
  }
  return Store::open(path, Open::read_only).check();
}

TEST(Check, FindsNothingInASoundDatabase) {
  const Scratch scratch;
  const CheckReport report = check_after(scratch, "");
  EXPECT_TRUE(report.clean());
}

TEST(Check, NotesARunThatNeverFinished) {
  const Scratch scratch;
  const CheckReport report = check_after(scratch, "UPDATE run SET status = 'running', finished_ns = NULL");
  EXPECT_TRUE(report.clean());
  ASSERT_FALSE(report.notes.empty());
  EXPECT_EQ(report.notes[0], "run r1 (quick) never finished");
}

struct Sabotage {
  const char* change;
  const char* said;
};

class CheckFinds : public testing::TestWithParam<Sabotage> {};

TEST_P(CheckFinds, TheBrokenInvariant) {
  const Scratch scratch;
  const CheckReport report = check_after(scratch, GetParam().change);
  EXPECT_FALSE(report.clean());
  bool found = false;
  for (const std::string& problem : report.problems)
    found = found || problem.find(GetParam().said) != std::string::npos;
  EXPECT_TRUE(found) << testing::PrintToString(report.problems);
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, CheckFinds,
    testing::Values(Sabotage{"UPDATE sample SET n = 4 WHERE launch_id = 2",
                             "launch 2 time has a sample blob of another length"},
                    Sabotage{"UPDATE sample SET at_ns = x'00'", "has times of day that do not match"},
                    Sabotage{"UPDATE sample SET warmup = 9", "has more warm-up than samples"},
                    Sabotage{"UPDATE sample SET data = zeroblob(40) WHERE launch_id = 3",
                             "launch 3 time has a distribution that its samples contradict"},
                    Sabotage{"DELETE FROM distribution WHERE launch_id = 1",
                             "launch 1 time has a distribution that its samples contradict"},
                    Sabotage{"DELETE FROM result WHERE launch_id = 1", "launch 1 has no result"},
                    Sabotage{"DELETE FROM sample; DELETE FROM distribution", "is ok and holds no sample and no value"},
                    Sabotage{"DELETE FROM case_", "launch row 1: points to a case_ that is not there"},
                    Sabotage{"UPDATE run SET finished_ns = NULL", "has a status that contradicts its end"},
                    Sabotage{"UPDATE run SET finished_ns = 5", "run r1 ended before it began"},
                    Sabotage{"UPDATE case_ SET parameters = '{'", "has parameters that are not JSON"}));

TEST(Check, FindsAPageThatIsNoLongerOne) {
  const Scratch scratch;
  const std::string path = scratch.file("checked.db");
  check_after(scratch, "");
  std::size_t root = 0;
  {
    SQLite::Database raw(path, SQLite::OPEN_READONLY);
    root = raw.execAndGet("SELECT rootpage FROM sqlite_schema WHERE name = 'sample'").getUInt();
  }
  std::string bytes = read_file(path);
  bytes[(root - 1) * 4096] = 0x55;  // the type byte of the b-tree page
  examples::write_file(path, bytes);
  EXPECT_FALSE(Store::open(path, Open::read_only).check().clean());
}

// -- merge

std::string dump_of(const std::string& path) {
  SQLite::Database db(path, SQLite::OPEN_READONLY);
  std::string text;
  for (const char* sql :
       {"SELECT run, suite, status, tags, cases, launches, failed FROM v_runs ORDER BY run",
        "SELECT run, case_key, ordinal, status, metric, value, coverage FROM v_results ORDER BY 1, 2, 3, 5",
        "SELECT run, case_key, ordinal, n, median, raw_kept FROM v_samples_summary ORDER BY 1, 2, 3",
        "SELECT claim, verdict, ours FROM v_claims ORDER BY 1",
        "SELECT l.run_id, c.key, l.ordinal, hex(s.data) FROM sample s JOIN launch l ON "
        "l.id = s.launch_id JOIN case_ c ON c.id = l.case_id ORDER BY 1, 2, 3",
        "SELECT run_id, c.key, i.ordinal, lane, i.name, start_ps, end_ps, peer, bytes, link, posted_ps, exposed_ps "
        "FROM interval i JOIN launch l ON l.id = "
        "launch_id JOIN case_ c "
        "ON c.id = case_id ORDER BY 1, 2, 3",
        "SELECT configuration_id, text FROM assumption ORDER BY 1, ordinal"}) {
    SQLite::Statement rows(db, sql);
    while (rows.executeStep()) {
      for (int i = 0; i < rows.getColumnCount(); ++i) text += rows.getColumn(i).getString() + "|";
      text += "\n";
    }
  }
  return text;
}

TEST(Merge, BringsEverythingOverAndChangesNothingTheSecondTime) {
  const Scratch scratch;
  const std::string sample = scratch.file("sample.db"), target = scratch.file("all.db");
  write_sample_database(sample);
  Store store = Store::open(target, Open::create);
  const MergeReport first = store.merge(sample);
  EXPECT_EQ(first.runs_added, 8);
  EXPECT_GT(first.launches_added, 100);
  EXPECT_EQ(first.verdicts_added, 3);
  EXPECT_EQ(dump_of(target), dump_of(sample));
  const MergeReport second = store.merge(sample);
  EXPECT_EQ(second.runs_added, 0);
  EXPECT_EQ(second.runs_known, 8);
  EXPECT_EQ(second.cases_added, 0);
  EXPECT_EQ(second.launches_added, 0);
  EXPECT_EQ(second.verdicts_added, 0);
  EXPECT_EQ(dump_of(target), dump_of(sample));
  EXPECT_TRUE(store.check().clean());
}

TEST(Merge, RenumbersCasesThatBothKnow) {
  const Scratch scratch;
  const auto make = [&](const std::string& name, const std::string& run_id, const std::vector<std::string>& sizes) {
    Store store = Store::open(scratch.file(name), Open::create);
    store.begin_run(run(run_id));
    for (const std::string& size : sizes) {
      LaunchRecord l = launch(run_id, store.put_case(attention_case(size)));
      l.warmup = 0;
      l.samples = {std::stod(size)};
      store.append_launch(l);
    }
  };
  make("a.db", "ra", {"1", "2", "3"});
  make("b.db", "rb", {"3", "4", "1"});
  Store store = Store::open(scratch.file("a.db"), Open::read_write);
  const MergeReport report = store.merge(scratch.file("b.db"));
  EXPECT_EQ(report.cases_added, 1);
  EXPECT_EQ(report.launches_added, 3);
  ASSERT_EQ(store.cases_of("rb").size(), 3U);
  for (const CaseRow& row : store.cases_of("rb"))
    EXPECT_EQ(
        row.record.parameters_json,
        "{\"tokens\":" + std::to_string(static_cast<int>(store.launches("rb", row.id).at(0).samples.at(0))) + "}");
}

TEST(Merge, CompletesARunThatWasCopiedWhileItRan) {
  const Scratch scratch;
  Store source = Store::open(scratch.file("lab.db"), Open::create);
  source.begin_run(run("r1"));
  const std::int64_t id = source.put_case(attention_case());
  source.append_launch(launch("r1", id, 0));
  Store target = Store::open(scratch.file("all.db"), Open::create);
  target.merge(scratch.file("lab.db"));
  source.append_launch(launch("r1", id, 1));
  source.finish_run("r1", "finished", run("r1").started_ns + 9);
  EXPECT_EQ(target.merge(scratch.file("lab.db")).launches_added, 1);
  EXPECT_EQ(target.find_run("r1").status, "finished");
  EXPECT_EQ(target.launches("r1", target.cases_of("r1").at(0).id).size(), 2U);
}

TEST(Merge, FollowsARenamedCase) {
  const Scratch scratch;
  {
    Store old = Store::open(scratch.file("old.db"), Open::create);
    old.begin_run(run("r1"));
    CaseRecord record = attention_case();
    record.key = "the old key";
    old.append_launch(launch("r1", old.put_case(record)));
  }
  Store store = Store::open(scratch.file("new.db"), Open::create);
  const std::int64_t id = store.put_case(attention_case());
  store.put_alias("the old key", id);
  EXPECT_EQ(store.merge(scratch.file("old.db")).cases_added, 0);
  EXPECT_EQ(store.launches("r1", id).size(), 1U);
}

TEST(Merge, RefusesItselfAndWhatIsNoDatabase) {
  const Scratch scratch;
  Store store = Store::open(scratch.file("a.db"), Open::create);
  EXPECT_EQ(user_error([&] { store.merge(scratch.file("a.db")); }),
            scratch.file("a.db") + ": cannot be merged into itself");
  EXPECT_NE(user_error([&] { store.merge(scratch.file("none.db")); }).find("no such results database"),
            std::string::npos);
  store.begin_run(run("r1"));  // still usable
}

// -- prune

TEST(Prune, DropsOldSamplesAndKeepsWhatTheySaid) {
  const Scratch scratch;
  const std::string path = scratch.file("a.db");
  Store store = Store::open(path, Open::create);
  store.begin_run(run("r1", 1000));
  const std::int64_t id = store.put_case(attention_case());
  for (int i = 0; i < 2; ++i) {
    LaunchRecord l = launch("r1", id, i);
    l.started_ns = i == 0 ? 1000 : 3000;
    l.samples.assign(20'000, 0.0);
    for (std::size_t s = 0; s < l.samples.size(); ++s) l.samples[s] = 1e-3 * static_cast<double>(1 + s % 97);
    l.metrics = {{"flops_rate", 5, "FLOP/s", Provenance::derived, {}, {}}};
    store.append_launch(l);
  }
  const std::vector<LaunchRecord> before = store.launches("r1", id);

  const PruneReport rehearsal = store.prune(2000, true);
  EXPECT_EQ(rehearsal.launches, 1);
  EXPECT_EQ(rehearsal.samples, 20'000);
  EXPECT_EQ(rehearsal.bytes, 160'000);
  EXPECT_EQ(store.launches("r1", id)[0].samples.size(), 20'000U);

  const PruneReport report = store.prune(2000, false);
  EXPECT_EQ(report.launches, 1);
  EXPECT_LT(report.file_bytes_after, report.file_bytes_before - 150'000);
  const std::vector<LaunchRecord> after = store.launches("r1", id);
  EXPECT_TRUE(after[0].samples.empty());
  EXPECT_EQ(after[0].warmup, before[0].warmup);
  ASSERT_TRUE(after[0].distribution);
  EXPECT_EQ(after[0].distribution->median, before[0].distribution->median);
  EXPECT_EQ(after[0].distribution->quantiles, before[0].distribution->quantiles);
  std::int64_t counted = 0;
  for (const auto& [bucket, count] : after[0].distribution->histogram) counted += count;
  EXPECT_EQ(counted, 19'999);  // without the warm-up sample
  EXPECT_EQ(after[0].metrics.size(), 1U);
  EXPECT_EQ(after[1].samples, before[1].samples);
  EXPECT_EQ(store.prune(2000, false).launches, 0);
  EXPECT_TRUE(store.check().clean());
  EXPECT_EQ(store.info().pruned_launches, 1);
}

// -- the sample database and the views over it

TEST(SampleDatabase, IsSmallSoundAndLabelledAsMadeUp) {
  const Scratch scratch;
  const std::string path = scratch.file("sample.db");
  write_sample_database(path);
  EXPECT_LT(std::filesystem::file_size(path), 300U * 1024);
  Store store = Store::open(path, Open::read_only);
  EXPECT_TRUE(store.check().clean());
  for (const RunRecord& record : store.runs()) {
    EXPECT_EQ(record.machine.name, "sample");
    EXPECT_EQ(record.tags, std::vector<std::string>{"sample"});
  }
  for (const CaseRow& row : store.cases()) EXPECT_TRUE(row.record.technique.starts_with("sample/"));
  EXPECT_EQ(user_error([&] { write_sample_database(path); }), path + ": exists already; name a new file");
}

TEST(Views, AnswerTheQueriesOfTheGuide) {
  const Scratch scratch;
  const std::string path = scratch.file("sample.db");
  write_sample_database(path);
  SQLite::Database db(path, SQLite::OPEN_READONLY);
  const auto number = [&](const std::string& sql) { return db.execAndGet(sql).getDouble(); };
  EXPECT_EQ(number("SELECT count(*) FROM v_runs WHERE status = 'finished' AND cases = expected_cases"), 8);
  EXPECT_EQ(number("SELECT count(DISTINCT case_key) FROM v_latest"), 5);
  EXPECT_EQ(number("SELECT count(DISTINCT run) FROM v_latest"), 1);
  // A failed or skipped launch is one row without a metric.
  EXPECT_EQ(number("SELECT count(*) FROM v_results WHERE status <> 'ok' AND metric IS NULL"), 16);
  EXPECT_EQ(number("SELECT count(*) FROM v_results WHERE metric = 'time' AND provenance = 'projected'"), 8);
  EXPECT_EQ(number("SELECT count(*) FROM v_results WHERE metric = 'time' AND provenance = 'measured'"), 8 * 4 * 4);
  // The planted slow-down of the sixth night.
  const auto median = [&](int night) {
    return number(
        "SELECT median FROM v_case_medians WHERE case_key = 'sample/tiled-attention cpu tokens=4096' ORDER BY run "
        "LIMIT 1 OFFSET " +
        std::to_string(night));
  };
  EXPECT_GT(median(5) / median(4), 1.05);
  EXPECT_EQ(number("SELECT count(*) FROM v_claims WHERE verdict = 'reproduced'"), 1);
  EXPECT_EQ(number("SELECT count(*) FROM v_breakdown"), 16);
}

TEST(Views, GiveTheMedianOfTheLaunchesMedians) {
  const Scratch scratch;
  const std::string path = scratch.file("a.db");
  {
    Store store = Store::open(path, Open::create);
    store.begin_run(run("r1"));
    const std::int64_t odd = store.put_case(attention_case("1")), even = store.put_case(attention_case("2"));
    int ordinal = 0;
    for (const double value : {9.0, 1.0, 4.0, 100.0}) {
      LaunchRecord l = launch("r1", even, ordinal++);
      l.samples = {value};
      l.warmup = 0;
      store.append_launch(l);
      l.case_id = odd;
      if (ordinal == 4) l.status = Status::failed;
      store.append_launch(l);
    }
  }
  SQLite::Database db(path, SQLite::OPEN_READONLY);
  EXPECT_EQ(db.execAndGet("SELECT median FROM v_case_medians WHERE case_key LIKE '%=1'").getDouble(), 4);
  EXPECT_EQ(db.execAndGet("SELECT median FROM v_case_medians WHERE case_key LIKE '%=2'").getDouble(), 6.5);
}

}  // namespace
}  // namespace assay::results_db
