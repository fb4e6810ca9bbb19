#include "results_db/import.h"

#include <gtest/gtest.h>

#include "tests/results_db/example_records.h"

namespace assay::results_db {
namespace {

using examples::Scratch;
using examples::user_error;
using examples::write_file;

const char* google_benchmark = R"({
  "context": {"date": "2024-05-06T07:08:09+02:00", "host_name": "lab", "executable": "./gemm_bench", "num_cpus": 16,
              "mhz_per_cpu": 3000, "cpu_scaling_enabled": false, "caches": [], "load_avg": [0.1], "library_build_type": "release"},
  "benchmarks": [
    {"name": "BM_gemm/256/threads:4", "run_name": "BM_gemm/256/threads:4", "run_type": "iteration", "repetitions": 2,
     "repetition_index": 0, "threads": 4, "iterations": 100, "real_time": 12.5, "cpu_time": 50.0, "time_unit": "us",
     "bytes_per_second": 2e9, "tiles": 7},
    {"name": "BM_gemm/256/threads:4", "run_name": "BM_gemm/256/threads:4", "run_type": "iteration", "repetitions": 2,
     "repetition_index": 1, "threads": 4, "iterations": 100, "real_time": 13.0, "cpu_time": 51.0, "time_unit": "us"},
    {"name": "BM_gemm/256/threads:4_median", "run_name": "BM_gemm/256/threads:4", "run_type": "aggregate",
     "aggregate_name": "median", "iterations": 2, "real_time": 12.75, "cpu_time": 50.5, "time_unit": "us"},
    {"name": "BM_broken", "run_name": "BM_broken", "run_type": "iteration", "error_occurred": true, "error_message": "no input",
     "iterations": 0, "real_time": 0, "cpu_time": 0, "time_unit": "ns"},
    {"name": "BM_only_median_median", "run_name": "BM_only_median", "run_type": "aggregate", "aggregate_name": "median",
     "iterations": 9, "real_time": 2.0, "cpu_time": 2.0, "time_unit": "ms"}
  ]})";

TEST(Import, ReadsGoogleBenchmark) {
  const Scratch scratch;
  write_file(scratch.file("bench.json"), google_benchmark);
  Store store = Store::open(scratch.file("a.db"), Open::create);
  const ImportReport report = import_file(store, scratch.file("bench.json"), {ImportFormat::automatic, "", {"base"}});
  EXPECT_EQ(report.format, "google-benchmark");
  EXPECT_EQ(report.cases, 3);
  EXPECT_EQ(report.failed, 1);
  const RunRecord run = store.find_run("base");
  EXPECT_EQ(run.id, report.run);
  EXPECT_EQ(run.machine.name, "lab");
  EXPECT_EQ(run.machine.cores, 16);
  EXPECT_EQ(run.started_ns, 1714972089'000'000'000);  // 05:08:09 UTC
  EXPECT_EQ(run.status, "finished");

  const std::optional<CaseRow> gemm = store.find_case("external/BM_gemm cpu arg0=256 threads=4");
  ASSERT_TRUE(gemm);
  const std::vector<LaunchRecord> launches = store.launches(run.id, gemm->id);
  ASSERT_EQ(launches.size(), 1U);  // repetitions share a process
  ASSERT_EQ(launches[0].samples.size(), 2U);
  EXPECT_DOUBLE_EQ(launches[0].samples[0], 12.5e-6);
  EXPECT_DOUBLE_EQ(launches[0].samples[1], 13.0e-6);
  EXPECT_EQ(launches[0].batch, 100);
  ASSERT_EQ(launches[0].metrics.size(), 4U);
  EXPECT_EQ(launches[0].metrics[0].name, "time");
  EXPECT_DOUBLE_EQ(launches[0].metrics[0].value, 12.75e-6);
  EXPECT_EQ(launches[0].metrics[1].name, "cpu_time");
  EXPECT_DOUBLE_EQ(launches[0].metrics[1].value, 50e-6);
  EXPECT_EQ(launches[0].metrics[2].name, "bytes_rate");
  EXPECT_EQ(launches[0].metrics[3].name, "external:tiles");

  const LaunchRecord broken = store.launches(run.id, store.find_case("external/BM_broken cpu")->id).at(0);
  EXPECT_EQ(broken.status, Status::failed);
  EXPECT_EQ(broken.reason, "no input");
  const LaunchRecord median = store.launches(run.id, store.find_case("external/BM_only_median cpu")->id).at(0);
  EXPECT_TRUE(median.samples.empty());
  EXPECT_EQ(median.metrics.at(0).name, "time");
  EXPECT_DOUBLE_EQ(median.metrics.at(0).value, 2e-3);
  EXPECT_TRUE(store.check().clean());
}

TEST(Import, ChangesNothingTheSecondTime) {
  const Scratch scratch;
  write_file(scratch.file("bench.json"), google_benchmark);
  Store store = Store::open(scratch.file("a.db"), Open::create);
  const ImportReport first = import_file(store, scratch.file("bench.json"));
  const ImportReport second = import_file(store, scratch.file("bench.json"));
  EXPECT_FALSE(first.known);
  EXPECT_TRUE(second.known);
  EXPECT_EQ(second.run, first.run);
  EXPECT_EQ(store.info().runs, 1);
  EXPECT_EQ(store.info().launches, 3);
}

std::string nvbench(const std::string& binary) {
  return R"({"meta": {"argv": ["bench"]}, "devices": [{"id": 0, "name": "NVIDIA A100", "sm_version": 800}],
  "benchmarks": [{"name": "copy", "index": 0, "devices": [0], "axes": [], "states": [
    {"name": "Device=0 Elements=2^20", "device": 0, "axis_values": [{"name": "Elements", "type": "int64", "value": "1048576"}],
     "summaries": [
       {"tag": "nv/cold/time/gpu/mean", "name": "GPU Time", "data": [{"name": "value", "type": "float64", "value": "1.25e-05"}]},
       {"tag": "nv/cold/sample_size", "name": "Samples", "data": [{"name": "value", "type": "int64", "value": "3"}]},
       {"tag": "nv/cold/bw/global/bytes_per_second", "name": "GlobalMem BW",
        "data": [{"name": "value", "type": "float64", "value": "1.2e+12"}]})" +
         binary + R"(],
     "is_skipped": false},
    {"name": "Device=0 Elements=2^40", "device": 0, "axis_values": [{"name": "Elements", "type": "int64", "value": "1099511627776"}],
     "summaries": null, "is_skipped": true, "skip_reason": "does not fit"}]}]})";
}

TEST(Import, ReadsNvbench) {
  const Scratch scratch;
  write_file(scratch.file("nv.json"), nvbench(""));
  Store store = Store::open(scratch.file("a.db"), Open::create);
  const ImportReport report = import_file(store, scratch.file("nv.json"));
  EXPECT_EQ(report.format, "nvbench");
  EXPECT_EQ(report.cases, 2);
  EXPECT_EQ(report.skipped, 1);
  const std::optional<CaseRow> copy = store.find_case("external/copy cuda Elements=1048576 event cold");
  ASSERT_TRUE(copy);
  const LaunchRecord launch = store.launches(report.run, copy->id).at(0);
  EXPECT_EQ(launch.metrics.at(0).name, "time");
  EXPECT_DOUBLE_EQ(launch.metrics.at(0).value, 1.25e-5);
  EXPECT_EQ(launch.metrics.back().name, "bytes_rate");
  EXPECT_EQ(store.find_run("latest").machine.name, "NVIDIA A100");
  const LaunchRecord skipped =
      store.launches(report.run, store.find_case("external/copy cuda Elements=1099511627776 event cold")->id).at(0);
  EXPECT_EQ(skipped.status, Status::skipped);
  EXPECT_EQ(skipped.reason, "does not fit");
}

TEST(Import, ReadsTheSamplesThatNvbenchPutBesideItsJson) {
  const Scratch scratch;
  const std::string pointer = R"(, {"tag": "nv/json/bin:nv/cold/sample_times", "name": "Samples Times File", "data": [
      {"name": "filename", "type": "string", "value": "nv.json-bin/0.bin"}, {"name": "size", "type": "int64", "value": "3"}]})";
  write_file(scratch.file("nv.json"), nvbench(pointer));
  std::filesystem::create_directory(scratch.file("nv.json-bin"));
  const std::vector<float> samples = {1.5e-5F, 1.25e-5F, 1e-5F};
  write_file(scratch.file("nv.json-bin/0.bin"), std::string(reinterpret_cast<const char*>(samples.data()), 12));
  Store store = Store::open(scratch.file("a.db"), Open::create);
  const ImportReport report = import_file(store, scratch.file("nv.json"));
  const std::int64_t id = store.find_case("external/copy cuda Elements=1048576 event cold")->id;
  EXPECT_EQ(store.launches(report.run, id).at(0).samples, std::vector<double>(samples.begin(), samples.end()));

  write_file(scratch.file("nv.json-bin/0.bin"), "short");
  Store other = Store::open(scratch.file("b.db"), Open::create);
  EXPECT_NE(user_error([&] { import_file(other, scratch.file("nv.json")); }).find("cut short: expected 3 samples"),
            std::string::npos);
}

const char* nccl_tests =
    R"(# nThread 1 nGpus 2 minBytes 1024 maxBytes 2048 step: 2(factor) warmup iters: 5 iters: 20 agg iters: 1 validation: 1 graph: 0
#
# Using devices
#  Rank  0 Group  0 Pid  41 on    node7 device  0 [0x07] NVIDIA A100-SXM4-80GB
#  Rank  1 Group  0 Pid  41 on    node7 device  1 [0x0b] NVIDIA A100-SXM4-80GB
node7:41:41 [0] NCCL INFO Bootstrap : Using eth0
#
#                                                              out-of-place                       in-place
#       size         count      type   redop    root     time   algbw   busbw #wrong     time   algbw   busbw #wrong
#        (B)    (elements)                               (us)  (GB/s)  (GB/s)            (us)  (GB/s)  (GB/s)
        1024           256     float     sum      -1    10.00    0.10    0.15      0    12.50    0.08    0.12      0
        2048           512     float     sum      -1    11.00    0.19    0.28      3    12.00    0.17    0.26    N/A
# Out of bounds values : 1 FAILED
# Avg bus bandwidth    : 0.2
)";

TEST(Import, ReadsNcclTests) {
  const Scratch scratch;
  write_file(scratch.file("all_reduce_perf.txt"), nccl_tests);
  Store store = Store::open(scratch.file("a.db"), Open::create);
  const ImportReport report = import_file(store, scratch.file("all_reduce_perf.txt"));
  EXPECT_EQ(report.format, "nccl-tests");
  EXPECT_EQ(report.cases, 4);
  EXPECT_EQ(report.failed, 1);
  EXPECT_EQ(store.find_run("latest").machine.name, "node7");
  const std::string key = "external/nccl-all_reduce cuda/nccl bytes=1024 place=in ranks=2 redop=sum type=float";
  ASSERT_TRUE(store.find_case(key));
  const LaunchRecord in_place = store.launches(report.run, store.find_case(key)->id).at(0);
  ASSERT_EQ(in_place.metrics.size(), 3U);
  EXPECT_DOUBLE_EQ(in_place.metrics[0].value, 12.5e-6);
  EXPECT_DOUBLE_EQ(in_place.metrics[1].value, 0.08e9);
  EXPECT_EQ(in_place.metrics[2].name, "bus_bandwidth");
  EXPECT_DOUBLE_EQ(in_place.metrics[2].value, 0.12e9);
  // A wrong result has no time.
  const LaunchRecord wrong =
      store
          .launches(
              report.run,
              store.find_case("external/nccl-all_reduce cuda/nccl bytes=2048 place=out ranks=2 redop=sum type=float")
                  ->id)
          .at(0);
  EXPECT_EQ(wrong.status, Status::failed);
  EXPECT_EQ(wrong.reason, "nccl-tests found #wrong = 3");
  EXPECT_TRUE(wrong.metrics.empty());
}

TEST(Import, AsksForTheCollectiveWhenNothingNamesIt) {
  const Scratch scratch;
  write_file(scratch.file("out.txt"), nccl_tests);
  Store store = Store::open(scratch.file("a.db"), Open::create);
  EXPECT_EQ(user_error([&] { import_file(store, scratch.file("out.txt")); }),
            scratch.file("out.txt") + ": does not say which collective it measured; name it with --name all_reduce");
  EXPECT_EQ(import_file(store, scratch.file("out.txt"), {ImportFormat::nccl_tests, "all_gather", {}}).cases, 4);
  EXPECT_TRUE(store.find_case("external/nccl-all_gather cuda/nccl bytes=1024 place=in ranks=2 redop=sum type=float"));
}

struct Bad {
  const char* content;
  const char* said;
};

void PrintTo(const Bad& bad, std::ostream* out) { *out << bad.said; }

class ImportRefuses : public testing::TestWithParam<Bad> {};

TEST_P(ImportRefuses, InOneLineAndKeepsNothing) {
  const Scratch scratch;
  const std::string path = scratch.file("bad.json");
  write_file(path, GetParam().content);
  Store store = Store::open(scratch.file("a.db"), Open::create);
  const std::string said = user_error([&] { import_file(store, path); });
  EXPECT_TRUE(said.starts_with(path)) << said;
  EXPECT_NE(said.find(GetParam().said), std::string::npos) << said;
  EXPECT_EQ(said.find('\n'), std::string::npos) << said;
  EXPECT_EQ(store.info().runs, 0);
}

INSTANTIATE_TEST_SUITE_P(
    Files, ImportRefuses,
    testing::Values(
        Bad{"", "not recognised; expected Google Benchmark JSON"}, Bad{"hello", "not recognised"},
        Bad{R"({"context": {}, "benchmarks": [)", "not google-benchmark JSON: parse error at line 1"},
        Bad{R"({"context": {}, "benchmarks": []})", "holds no result"},
        Bad{R"({"context": {}, "benchmarks": [{"run_name": "x"}]})", "benchmarks[0]: name is missing"},
        Bad{R"({"context": {}, "benchmarks": [{"name": "x", "real_time": 1, "time_unit": "parsec"}]})",
            "benchmarks[0]: time_unit: found 'parsec', expected ns, us, ms or s"},
        Bad{R"({"context": {}, "benchmarks": [{"name": "x", "time_unit": "ns"}]})",
            "benchmarks[0]: real_time is missing"},
        Bad{R"({"context": {}, "benchmarks": [{"name": 5}]})", "not google-benchmark JSON: type must be string"},
        Bad{R"({"devices": [], "benchmarks": [{"name": "c", "states": [{"axis_values": null, "summaries": []}]}]})",
            "c state 0: has neither nv/cold/time/gpu/mean nor samples"},
        Bad{"# all_reduce_perf\n# size time algbw busbw #wrong time algbw busbw #wrong\n 8 x 1 1 0 1 1 1 0\n",
            ":3: time: found 'x', expected a number"},
        Bad{"# all_reduce_perf busbw\n 8 1 1 1\n", ":2: a row before the line of headings"},
        Bad{"# all_reduce_perf\n# size time algbw busbw #wrong time algbw busbw #wrong\n 8 1 1\n",
            ":3: found 3 columns, expected 9"}));

TEST(Import, NamesAFileThatIsNotThereAndAFormatThatIsNone) {
  const Scratch scratch;
  Store store = Store::open(scratch.file("a.db"), Open::create);
  EXPECT_EQ(user_error([&] { import_file(store, scratch.file("none.json")); }),
            scratch.file("none.json") + ": cannot be read");
  EXPECT_EQ(user_error([] { import_format_from("xml"); }),
            "--format: found 'xml', expected auto, google-benchmark, nvbench or nccl-tests");
}

}  // namespace
}  // namespace assay::results_db
