#include "results_db/export.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "results_db/sample_database.h"
#include "tests/results_db/example_records.h"

namespace assay::results_db {
namespace {

using examples::attention_case;
using examples::launch;
using examples::run;
using examples::Scratch;
using examples::user_error;
using nlohmann::json;

// RFC 4180, enough of it: quoted cells, doubled quotes, CRLF.
std::vector<std::vector<std::string>> parse_csv(const std::string& text) {
  std::vector<std::vector<std::string>> rows(1, {""});
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted && c == '"' && i + 1 < text.size() && text[i + 1] == '"') {
      rows.back().back() += '"';
      ++i;
    } else if (c == '"') {
      quoted = !quoted;
    } else if (!quoted && c == ',') {
      rows.back().emplace_back();
    } else if (!quoted && c == '\n') {
      rows.push_back({""});
    } else if (quoted || c != '\r') {
      rows.back().back() += c;
    }
  }
  rows.pop_back();
  return rows;
}

TEST(Export, WritesCsvThatReadsBack) {
  const Scratch scratch;
  Store store = Store::open(scratch.file("a.db"), Open::create);
  store.begin_run(run("r1"));
  const std::int64_t id = store.put_case(attention_case());
  LaunchRecord good = launch("r1", id, 0);
  good.metrics = {{"flops_rate", 0.1 + 0.2, "FLOP/s", Provenance::derived, 0.25, {}}};
  store.append_launch(good);
  LaunchRecord bad = launch("r1", id, 1);
  bad.samples.clear();
  bad.warmup = 0;
  bad.status = Status::failed;
  bad.reason = "said \"no\", twice\nand left";
  store.append_launch(bad);
  std::ostringstream out;
  export_csv(store, store.runs(), out);
  const auto rows = parse_csv(out.str());
  ASSERT_EQ(rows.size(), 4U);  // headings, the metric, the median of the samples, the failure
  const auto cell = [&](std::size_t row, const std::string& name) {
    const auto at = std::find(rows[0].begin(), rows[0].end(), name) - rows[0].begin();
    return rows[row].at(static_cast<std::size_t>(at));
  };
  for (const auto& row : rows) EXPECT_EQ(row.size(), rows[0].size());
  EXPECT_EQ(cell(1, "metric"), "flops_rate");
  EXPECT_EQ(std::stod(cell(1, "value")), 0.1 + 0.2);
  EXPECT_EQ(cell(1, "low"), "0.25");
  EXPECT_EQ(cell(1, "high"), "");
  EXPECT_EQ(cell(1, "parameters"), R"({"tokens":1024})");
  EXPECT_EQ(cell(2, "metric"), "time");
  EXPECT_EQ(cell(2, "provenance"), "measured");
  EXPECT_EQ(std::stod(cell(2, "value")), 2.5e-3);
  EXPECT_EQ(cell(3, "reason"), bad.reason);
  EXPECT_EQ(cell(3, "metric"), "");
}

TEST(Export, WritesJsonWithSamplesOnlyWhenAsked) {
  const Scratch scratch;
  Store store = Store::open(scratch.file("a.db"), Open::create);
  RunRecord given = run("r1");
  given.tags = {"nightly"};
  store.begin_run(given);
  LaunchRecord odd = launch("r1", store.put_case(attention_case()));
  odd.samples = {1.0 / 3, std::nextafter(1.0, 2.0)};
  odd.warmup = 0;
  odd.stderr_tail = "bytes \xff\xfe that are no text";
  store.append_launch(odd);
  std::ostringstream without, with;
  export_json(store, store.runs(), false, without);
  export_json(store, store.runs(), true, with);
  const json plain = json::parse(without.str()), full = json::parse(with.str());
  EXPECT_EQ(plain["schema_version"], export_schema_version);
  EXPECT_EQ(plain["runs"][0]["tags"], json({"nightly"}));
  EXPECT_EQ(plain["runs"][0]["machine"]["facts"]["numa"], 2);
  const json& launch_json = plain["runs"][0]["cases"][0]["launches"][0];
  EXPECT_FALSE(launch_json.contains("samples"));
  EXPECT_EQ(launch_json["distribution"]["n"], 2);
  EXPECT_EQ(full["runs"][0]["cases"][0]["launches"][0]["samples"].get<std::vector<double>>(), odd.samples);
}

TEST(Export, WritesEveryRunCaseAndVerdictOfTheSample) {
  const Scratch scratch;
  write_sample_database(scratch.file("s.db"));
  Store store = Store::open(scratch.file("s.db"), Open::read_only);
  std::ostringstream out;
  export_json(store, store.runs(), false, out);
  const json document = json::parse(out.str());
  EXPECT_EQ(document["runs"].size(), 8U);
  EXPECT_EQ(document["runs"][0]["cases"].size(), 7U);
  EXPECT_EQ(document["runs"][0]["cases"][0]["gate"]["status"], "ok");
  EXPECT_EQ(document["verdicts"].size(), 3U);
}

TEST(Export, WritesAChromeTraceInExactMicroseconds) {
  const Scratch scratch;
  Store store = Store::open(scratch.file("a.db"), Open::create);
  store.begin_run(run("r1"));
  LaunchRecord timeline = launch("r1", store.put_case(attention_case()));
  timeline.intervals = {{"rank 0 / compute", "block \"0\"", 0, 1'500'001},
                        {"rank 1 / compute", "block 1", 2'000'000, 5'000'000}};
  store.append_launch(timeline);
  std::ostringstream out;
  export_trace(store, store.runs(), out);
  const json trace = json::parse(out.str());
  std::vector<json> spans, names;
  for (const json& event : trace["traceEvents"]) (event["ph"] == "X" ? spans : names).push_back(event);
  ASSERT_EQ(spans.size(), 2U);
  EXPECT_EQ(spans[0]["name"], "block \"0\"");
  EXPECT_DOUBLE_EQ(spans[0]["dur"].get<double>(), 1.500001);
  EXPECT_DOUBLE_EQ(spans[1]["ts"].get<double>(), 2);
  EXPECT_NE(spans[0]["tid"], spans[1]["tid"]);
  ASSERT_EQ(names.size(), 3U);  // the launch and two lanes
  EXPECT_EQ(names[1]["args"]["name"], "rank 0 / compute");
}

TEST(Export, DrawsAMessageFromTheSendToTheReceive) {
  const Scratch scratch;
  Store store = Store::open(scratch.file("a.db"), Open::create);
  store.begin_run(run("r1"));
  LaunchRecord timeline = launch("r1", store.put_case(attention_case()));
  timeline.intervals = {{"rank 0 / send", "kv", 1'000'000, 2'000'000, "rank 1", 4096, "node", 500'000, 250'000},
                        {"rank 1 / receive", "kv", 1'000'000, 2'500'000, "rank 0"}};
  store.append_launch(timeline);
  std::ostringstream out;
  export_trace(store, store.runs(), out);
  std::map<std::string, json> of;
  const json trace = json::parse(out.str());
  for (const json& event : trace["traceEvents"])
    of[event["ph"].get<std::string>() + (event["ph"] == "X" ? std::to_string(event["tid"].get<int>()) : "")] = event;
  ASSERT_TRUE(of.contains("s") && of.contains("f"));
  EXPECT_EQ(of["s"]["id"], of["f"]["id"]);
  EXPECT_EQ(of["s"]["tid"], 1);
  EXPECT_EQ(of["f"]["tid"], 2);
  EXPECT_EQ(of["f"]["bp"], "e");
  EXPECT_DOUBLE_EQ(of["s"]["ts"].get<double>(), 1);
  const json half = of["X1"]["args"];
  EXPECT_EQ(half["peer"], "rank 1");
  EXPECT_EQ(half["bytes"], 4096);
  EXPECT_EQ(half["link"], "node");
  EXPECT_DOUBLE_EQ(half["posted_us"].get<double>(), 0.5);
  EXPECT_DOUBLE_EQ(half["exposed_us"].get<double>(), 0.25);
}

TEST(Export, SaysWhenThereIsNoTimeline) {
  const Scratch scratch;
  Store store = Store::open(scratch.file("a.db"), Open::create);
  store.begin_run(run("r1"));
  std::ostringstream out;
  EXPECT_NE(user_error([&] { export_trace(store, store.runs(), out); }).find("no timeline"), std::string::npos);
}

}  // namespace
}  // namespace assay::results_db
