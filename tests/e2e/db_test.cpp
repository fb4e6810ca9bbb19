// assay db: what each sub-command prints, writes and exits with, on the sample database.
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>

#include "tests/e2e/program.h"

namespace assay::e2e {
namespace {

using nlohmann::json;

bool says(const std::string& text, const std::string& words) { return text.find(words) != std::string::npos; }

// RFC 4180, as another program would read it.
std::vector<std::vector<std::string>> read_csv(const std::string& text) {
  std::vector<std::vector<std::string>> rows(1, {""});
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    std::string& cell = rows.back().back();
    if (quoted && c == '"' && i + 1 < text.size() && text[i + 1] == '"') {
      cell += '"';
      ++i;
    } else if (c == '"') {
      quoted = !quoted;
    } else if (!quoted && c == ',') {
      rows.back().emplace_back();
    } else if (!quoted && c == '\n') {
      rows.push_back({""});
    } else if (c != '\r' || quoted) {
      cell += c;
    }
  }
  if (rows.back() == std::vector<std::string>{""}) rows.pop_back();
  return rows;
}

class Database : public testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(scratch_.assay("db sample " + scratch_.database()).code, 0); }

  bool exists(const std::string& name) const { return std::filesystem::exists(scratch_.path(name)); }

  Scratch scratch_{"db"};
};

TEST_F(Database, InfoCountsWhatIsThere) {
  const Outcome outcome = scratch_.assay("db info --json");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const json info = json::parse(outcome.out);
  EXPECT_EQ(info.at("schema_version"), 1);
  EXPECT_EQ(info.at("runs"), 8);
  EXPECT_EQ(info.at("unfinished_runs"), 0);
  EXPECT_EQ(info.at("cases"), 7);
  EXPECT_EQ(info.at("launches"), 8 * (4 * 4 + 3));
  EXPECT_EQ(info.at("failed_launches"), 8);
  EXPECT_EQ(info.at("samples"), 8 * 4 * 4 * 20);
  EXPECT_EQ(info.at("claims"), 3);
  const Outcome text = scratch_.assay("db info");
  EXPECT_TRUE(says(text.out, "8 (0 unfinished) on 1 machines, 2026-01-01 to 2026-01-08")) << text.out;
}

TEST_F(Database, CheckPassesASoundFileAndExitsTwoForADamagedOne) {
  const Outcome sound = scratch_.assay("db check");
  EXPECT_EQ(sound.code, 0);
  EXPECT_TRUE(says(sound.out, "clean (8 runs, 152 launches, 2560 samples)")) << sound.out;
  EXPECT_TRUE(json::parse(scratch_.assay("db check --json").out).at("clean"));

  // A page in the middle overwritten: the header still says that this is a database.
  {
    std::fstream file(scratch_.database(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(4096 * 9);
    file << std::string(4096 * 12, '\x5a');
  }
  const Outcome damaged = scratch_.assay("db check");
  EXPECT_EQ(damaged.code, 2) << damaged.out;
}

TEST_F(Database, CsvReadsBackWithOneRowALaunchAndMetric) {
  const Outcome outcome = scratch_.assay("db export latest");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const auto rows = read_csv(outcome.out);
  const std::vector<std::string>& header = rows.at(0);
  std::map<std::string, std::size_t> column;
  for (std::size_t i = 0; i < header.size(); ++i) column[header[i]] = i;
  for (const char* name : {"run", "technique", "status", "metric", "value", "unit", "provenance"})
    ASSERT_TRUE(column.contains(name)) << name;
  // 16 timed launches with three metrics, one projection with three, one failed and one skipped launch without.
  EXPECT_EQ(rows.size() - 1, 16U * 3 + 3 + 2);
  std::size_t failed = 0;
  for (std::size_t i = 1; i < rows.size(); ++i) {
    ASSERT_EQ(rows[i].size(), header.size()) << "row " << i;
    failed += rows[i][column["status"]] == "failed" ? 1 : 0;
    if (rows[i][column["metric"]] == "time") EXPECT_GT(std::stod(rows[i][column["value"]]), 0);
  }
  EXPECT_EQ(failed, 1U);
  EXPECT_EQ(read_csv(scratch_.assay("db export").out).size() - 1, 8U * (16 * 3 + 3 + 2));
}

TEST_F(Database, JsonReadsBackWithSamplesWhenAskedFor) {
  const std::string file = scratch_.path("latest.json");
  ASSERT_EQ(scratch_.assay("db export latest --format json --samples -o " + file).code, 0);
  const json exported = json::parse(read_file(file));
  EXPECT_EQ(exported.at("schema_version"), 1);
  EXPECT_EQ(exported.at("kind"), "assay-export");
  ASSERT_EQ(exported.at("runs").size(), 1U);
  EXPECT_EQ(exported.at("runs").at(0).at("cases").size(), 7U);
  std::size_t samples = 0;
  for (const json& item : exported.at("runs").at(0).at("cases"))
    for (const json& launch : item.at("launches"))
      if (launch.contains("samples")) samples += launch.at("samples").size();
  EXPECT_EQ(samples, 16U * 20);
  EXPECT_EQ(exported.at("verdicts").size(), 3U);
  EXPECT_FALSE(says(scratch_.assay("db export latest --format json").out, "\"samples\":["));
}

TEST_F(Database, TraceReadsBackWithEveryInterval) {
  const Outcome outcome = scratch_.assay("db export latest --format trace");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  int intervals = 0;
  double end = 0;
  const json trace = json::parse(outcome.out);
  for (const json& event : trace.at("traceEvents")) {
    if (event.at("ph") != "X") continue;
    ++intervals;
    end = std::max(end, event.at("ts").get<double>() + event.at("dur").get<double>());
  }
  EXPECT_EQ(intervals, 4 * (4 + 3)) << "four ranks, four blocks and three sends each";
  EXPECT_DOUBLE_EQ(end, 3200) << "microseconds: four blocks of 0.8 ms";
}

TEST_F(Database, ExportRefusesWhatItCannotGive) {
  EXPECT_EQ(scratch_.assay("db export --format xml").code, 2);
  EXPECT_EQ(scratch_.assay("db export --samples").code, 2);
  EXPECT_EQ(scratch_.assay("db export no-such-run").code, 2);
  EXPECT_EQ(scratch_.assay("db export -o " + scratch_.path("no/such/folder.csv").string()).code, 2);
  EXPECT_EQ(scratch_.assay_on("absent.db", "db export").code, 2);
}

TEST_F(Database, MergingTwiceAddsNothingTheSecondTime) {
  const std::string merge = "db merge " + scratch_.database();
  const Outcome first = scratch_.assay_on("all.db", merge);
  ASSERT_EQ(first.code, 0) << first.err;
  EXPECT_TRUE(says(first.out, "8 runs added, 0 known already")) << first.out;
  const Outcome second = scratch_.assay_on("all.db", merge + " --json");
  ASSERT_EQ(second.code, 0) << second.err;
  const json report = json::parse(second.out).at("merged").at(0);
  EXPECT_EQ(report.at("runs_added"), 0);
  EXPECT_EQ(report.at("runs_known"), 8);
  EXPECT_EQ(report.at("launches_added"), 0);
  EXPECT_EQ(scratch_.assay_on("all.db", "db export").out, scratch_.assay("db export").out) << "every value arrived";
  EXPECT_EQ(scratch_.assay_on("all.db", "db check").code, 0);
}

TEST_F(Database, MergingAMissingFileLeavesNoDatabaseBehind) {
  EXPECT_EQ(scratch_.assay_on("all.db", "db merge " + scratch_.path("missing.db").string()).code, 2);
  EXPECT_FALSE(exists("all.db"));
}

TEST_F(Database, PruneDropsSamplesAndNothingElse) {
  const std::string metrics = scratch_.assay("db export").out;
  const std::string table = scratch_.assay("show").out;
  const Outcome rehearsal = scratch_.assay("db prune --keep-days 0 --dry-run --json");
  ASSERT_EQ(rehearsal.code, 0) << rehearsal.err;
  EXPECT_EQ(json::parse(rehearsal.out).at("samples"), 2560);
  EXPECT_EQ(json::parse(scratch_.assay("db info --json").out).at("samples"), 2560) << "a rehearsal changes nothing";

  ASSERT_EQ(scratch_.assay("db prune --keep-days 0").code, 0);
  const json info = json::parse(scratch_.assay("db info --json").out);
  EXPECT_EQ(info.at("samples"), 0);
  EXPECT_EQ(info.at("pruned_launches"), 128);
  EXPECT_EQ(scratch_.assay("db export").out, metrics);
  EXPECT_EQ(scratch_.assay("show").out, table);
  EXPECT_EQ(scratch_.assay("db check").code, 0);
  EXPECT_EQ(scratch_.assay("db prune --keep-days -1").code, 2);
}

const char* google_benchmark = R"({
  "context": {"date": "2024-05-06T07:08:09+02:00", "host_name": "lab", "executable": "./gemm", "num_cpus": 16,
              "mhz_per_cpu": 3000, "cpu_scaling_enabled": false, "caches": [], "load_avg": [0.1],
              "library_build_type": "release"},
  "benchmarks": [
    {"name": "BM_gemm/256", "run_name": "BM_gemm/256", "run_type": "iteration", "repetitions": 1,
     "repetition_index": 0, "threads": 1, "iterations": 100, "real_time": 12.5, "cpu_time": 12.4, "time_unit": "us"}
  ]})";

TEST_F(Database, ImportsGoogleBenchmarkOnce) {
  const std::string file = scratch_.write("bench.json", google_benchmark);
  const Outcome first = scratch_.assay_on("new.db", "db import " + file + " --tag base");
  ASSERT_EQ(first.code, 0) << first.err;
  EXPECT_TRUE(says(first.out, "google-benchmark")) << first.out;
  EXPECT_TRUE(says(first.out, "1 cases, 1 launches (0 failed, 0 skipped)")) << first.out;
  const Outcome second = scratch_.assay_on("new.db", "db import " + file);
  EXPECT_EQ(second.code, 0);
  EXPECT_TRUE(says(second.out, "imported before")) << second.out;
  const json run = json::parse(scratch_.assay_on("new.db", "show base --json").out);
  EXPECT_EQ(run.at("cases").at(0).at("key"), "external/BM_gemm cpu arg0=256");
  bool timed = false;
  for (const json& metric : run.at("cases").at(0).at("launches").at(0).at("metrics"))
    if (metric.at("name") == "time") {
      timed = true;
      EXPECT_DOUBLE_EQ(metric.at("value"), 12.5e-6);
    }
  EXPECT_TRUE(timed);
}

TEST_F(Database, AFailedImportLeavesTheDatabaseAsItWas) {
  const std::string good = scratch_.write("good.json", google_benchmark);
  const std::string broken =
      scratch_.write("broken.json", R"({"context": {}, "benchmarks": [{"name": "BM_x", "real_time": "fast"}]})");
  for (const std::string& arguments :
       {"db import " + broken, "db import " + good + " " + broken, "db import " + scratch_.path("none.json").string(),
        "db import " + scratch_.write("prose.txt", "nothing of the kind\n").string()}) {
    const Outcome outcome = scratch_.assay_on("new.db", arguments);
    EXPECT_EQ(outcome.code, 2) << arguments;
    EXPECT_EQ(outcome.out, "") << arguments;
    EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
    EXPECT_FALSE(exists("new.db")) << arguments;
  }
  EXPECT_EQ(scratch_.assay("db import " + good + " " + broken).code, 2);
  EXPECT_EQ(json::parse(scratch_.assay("db info --json").out).at("runs"), 8);
}

TEST_F(Database, SampleDoesNotOverwrite) {
  const Outcome outcome = scratch_.assay("db sample " + scratch_.database());
  EXPECT_EQ(outcome.code, 2);
  EXPECT_TRUE(says(outcome.err, "exists already")) << outcome.err;
}

}  // namespace
}  // namespace assay::e2e
