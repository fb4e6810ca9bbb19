// assay report: every form says what the database says, and the HTML file does so when a browser has rendered it.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <regex>

#include "datasets/quantity.h"
#include "harness/stats/median.h"
#include "results_db/store.h"
#include "tests/e2e/program.h"

namespace assay::e2e {
namespace {

bool says(const std::string& text, const std::string& words) { return text.find(words) != std::string::npos; }

struct Shown {
  double value = 0;
  std::string text;
};

// Cells of the results table by case: <tr data-case="KEY"> ... <td ... data-value="V">TEXT</td>, the first of a row.
std::map<std::string, Shown> shown_values(const std::string& page) {
  std::map<std::string, Shown> out;
  static const std::regex row("<tr data-case=\"([^\"]*)\"><td class=\"case\">([^\\n]*?)</tr>");
  static const std::regex cell("data-value=\"([^\"]*)\">([^<]*)<");
  for (std::sregex_iterator at(page.begin(), page.end(), row), end; at != end; ++at) {
    const std::string cells = (*at)[2];
    std::smatch found;
    if (std::regex_search(cells, found, cell)) out[(*at)[1]] = {std::stod(found[1]), found[2]};
  }
  return out;
}

// The same from the store: the median over ok launches of the reported times.
std::map<std::string, double> stored_values(const std::string& database) {
  auto store = results_db::Store::open(database, results_db::Open::read_only);
  const auto run = store.find_run("latest");
  std::map<std::string, double> out;
  for (const auto& row : store.cases_of(run.id)) {
    std::vector<double> values;
    for (const auto& launch : store.launches(run.id, row.id))
      for (const auto& metric : launch.metrics)
        if (metric.name == "time" && launch.status == results_db::Status::ok) values.push_back(metric.value);
    if (!values.empty()) out[row.record.key] = harness::stats::median(values);
  }
  return out;
}

void expect_same_numbers(const std::string& page, const std::string& database) {
  const auto shown = shown_values(page);
  const auto stored = stored_values(database);
  EXPECT_EQ(shown.size(), stored.size());
  for (const auto& [key, value] : stored) {
    ASSERT_TRUE(shown.contains(key)) << key;
    EXPECT_DOUBLE_EQ(shown.at(key).value, value) << key;
    EXPECT_EQ(shown.at(key).text, datasets::format_si(value, "s")) << key;
  }
}

class Report : public testing::Test {
 protected:
  Report() { EXPECT_EQ(scratch_.assay("db sample " + database()).code, 0); }
  std::string database() const { return scratch_.path("sample.db").string(); }
  Outcome report(const std::string& arguments) const { return scratch_.assay_on("sample.db", "report " + arguments); }
  std::string page_at(const std::string& name, const std::string& more = "") const {
    const Outcome outcome = report("-o " + scratch_.path(name).string() + " " + more);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return read_file(scratch_.path(name));
  }
  Scratch scratch_{"report"};
};

TEST_F(Report, HtmlHasTheNumbersOfTheDatabaseInItsTables) {
  const std::string page = page_at("run.html", "--base latest~4");
  expect_same_numbers(page, database());
  for (const char* words : {"1 suspected, not confirmed", "<span class=\"from projected\">projected</span>",
                            "<span class=\"from measured\">measured</span>", "oracle: largest error 37.5 times",
                            "no device", "@media print", "prefers-color-scheme: dark"})
    EXPECT_TRUE(says(page, words)) << words;
  // Self-contained: nothing is fetched. (Addresses inside Chart.js's licence comment are no references.)
  static const std::regex fetched("(src|href)=[\"']|@import|url\\(http");
  const std::string without_script = page.substr(0, page.find("<script"));
  EXPECT_FALSE(std::regex_search(without_script, fetched));
  EXPECT_FALSE(says(page, "<script src"));
}

TEST_F(Report, ABrowserRendersTheNumbersOfTheDatabase) {
  if (std::system("command -v chromium > /dev/null") != 0)
    GTEST_SKIP() << "chromium is not installed (Debian: chromium)";
  const std::string page = page_at("run.html");
  const std::string dom_file = scratch_.path("dom.html");
  const std::string line = "HOME=" + scratch_.path("").string() +
                           " timeout 120 chromium --headless=new --no-sandbox --disable-gpu --user-data-dir=" +
                           scratch_.path("profile").string() + " --dump-dom file://" +
                           scratch_.path("run.html").string() + " > " + dom_file + " 2> " +
                           scratch_.path("chromium.txt").string();
  ASSERT_EQ(std::system(line.c_str()), 0) << read_file(scratch_.path("chromium.txt"));
  const std::string dom = read_file(dom_file);
  expect_same_numbers(dom, database());
  EXPECT_TRUE(says(dom, "data-claim=\"sample/tiled-attention#speed\" data-verdict=\"reproduced\""));
  if (says(page, "built without Chart.js"))
    GTEST_SKIP() << "no charts: built without Chart.js (Debian: libjs-chart.js)";
  // The script says how many points it drew; the four measured cases are one chart.
  static const std::regex canvas("<canvas id=\"chart-[0-9]+\"[^>]*data-points=\"([0-9]+)\"");
  std::smatch drawn;
  ASSERT_TRUE(std::regex_search(dom, drawn, canvas)) << "no chart was drawn";
  EXPECT_EQ(drawn[1], "4");
  EXPECT_FALSE(says(dom, "class=\"no-script\""));
}

TEST_F(Report, HtmlHasTheVerdictsOnClaimsAboutItsTechniques) {
  const std::string page = page_at("run.html");
  auto store = results_db::Store::open(database(), results_db::Open::read_only);
  const auto verdicts = store.verdicts();
  ASSERT_EQ(verdicts.size(), 3U);
  for (const auto& verdict : verdicts) {
    EXPECT_TRUE(says(page, "<tr data-claim=\"" + verdict.claim + "\" data-verdict=\"" + verdict.verdict + "\">"));
    if (verdict.ours) EXPECT_TRUE(says(page, fmt::format("data-value=\"{}\">{:.3g}x<", *verdict.ours, *verdict.ours)));
    EXPECT_TRUE(says(page, verdict.reason)) << verdict.reason;
  }
  EXPECT_TRUE(says(page_at("run.md"), "| reproduced | tiled-attention: speed | 3.2x | 3.36x | measured |"));
}

TEST_F(Report, CasesStandUnderTheRoofsOfTheirRun) {
  auto store = results_db::Store::open(scratch_.path("roofs.db"), results_db::Open::create);
  auto run = results_db::Store::open(database(), results_db::Open::read_only).find_run("latest");
  store.begin_run(run);
  const auto add = [&](const std::string& technique, const std::string& parameters,
                       std::vector<results_db::Metric> metrics) {
    results_db::CaseRecord record;
    record.technique = technique;
    record.backend = "cpu";
    record.parameters_json = parameters;
    record.key = technique + " cpu " + parameters;
    results_db::LaunchRecord launch;
    launch.run = run.id;
    launch.case_id = store.put_case(record);
    launch.metrics = std::move(metrics);
    store.append_launch(launch);
  };
  using enum results_db::Provenance;
  add("hardware/cpu-roofs", R"({"probe":"fp32-fma"})", {{"flops_rate", 100e9, "FLOP/s", measured, {}, {}}});
  add("hardware/cpu-roofs", R"({"probe":"memory-read","working_set":16777216})",
      {{"bandwidth", 50e9, "B/s", measured, {}, {}}});
  for (const bool real : {true, false})
    add(real ? "made/real" : "made/projected", R"({"n":1})",
        {{"time", 1, "s", real ? measured : projected, {}, {}},
         {"flops_rate", 25e9, "FLOP/s", real ? measured : projected, {}, {}},
         {"intensity", 1.5, "FLOP/B", derived, {}, {}},
         {"roof_share", 0.25, "1", measured, {}, {}}});
  store.close();
  const Outcome made = scratch_.assay_on("roofs.db", "report -o " + scratch_.path("roofs.html").string());
  ASSERT_EQ(made.code, 0) << made.err;
  const std::string page = read_file(scratch_.path("roofs.html"));
  EXPECT_TRUE(says(page, "fp32 fma: 100 GFLOP/s"));
  EXPECT_TRUE(says(page, "memory read, 16 MiB: 50.0 GB/s"));
  EXPECT_TRUE(says(page,
                   "data-value=\"25000000000\">25.0 GFLOP/s</td><td class=\"number\" data-value=\"1.5\">1.5</td>"
                   "<td class=\"number\">25.0%</td>"));
  static const std::regex circle("<circle cx=\"[0-9.]+\" cy=\"[0-9.]+\" r=\"5\"");
  EXPECT_EQ(std::distance(std::sregex_iterator(page.begin(), page.end(), circle), std::sregex_iterator()), 1)
      << "a projection has no place under measured roofs";
}

TEST_F(Report, TextOfACaseCannotBreakOutOfThePage) {
  auto store = results_db::Store::open(scratch_.path("evil.db"), results_db::Open::create);
  results_db::RunRecord run;
  run.id = "e0000000-0000-4000-8000-000000000000";
  run.suite = "<b>suite</b>";
  run.command = "x && <script>alert(1)</script>";
  run.machine = {"m", "host\"'", "cpu", 1, 1, "{}"};
  run.build = {"b", "c", false, "clang", "", "{}"};
  run.started_ns = 1'000'000'000;
  run.status = "running";
  run.environment_json = "{}";
  store.begin_run(run);
  for (int i = 0; i < 2; ++i) {
    results_db::CaseRecord record;
    record.technique = "evil/kernel";
    record.backend = "cpu";
    record.parameters_json = nlohmann::json{{"name", "</script><i>" + std::to_string(i)}}.dump();
    record.key = "evil/kernel cpu name=</script><i>" + std::to_string(i);
    results_db::LaunchRecord launch;
    launch.run = run.id;
    launch.case_id = store.put_case(record);
    launch.started_ns = 1'000'000'001;
    launch.samples = {1e-3};
    launch.metrics = {{"time", 1e-3, "s", results_db::Provenance::measured, {}, {}}};
    store.append_launch(launch);
  }
  store.close();
  const Outcome made = scratch_.assay_on("evil.db", "report -o " + scratch_.path("evil.html").string());
  ASSERT_EQ(made.code, 0) << made.err;
  const std::string page = read_file(scratch_.path("evil.html"));
  EXPECT_FALSE(says(page, "</script><i>"));
  EXPECT_FALSE(says(page, "<script>alert"));
  EXPECT_TRUE(says(page, "&lt;b&gt;suite&lt;/b&gt;"));
}

TEST_F(Report, OtherFormsSayTheSame) {
  const std::string markdown = page_at("run.md");
  EXPECT_TRUE(says(markdown, "7 cases, 5 ok, 1 failed, 1 skipped")) << markdown;
  EXPECT_TRUE(says(
      markdown, "| `sample/ring cpu/cluster ranks=4 virtual` | time | 3.20 ms | 2.90 ms .. 3.60 ms | 1 | projected |"))
      << markdown;
  const std::string junit = page_at("run.xml");
  EXPECT_TRUE(says(junit, "tests=\"7\" failures=\"1\" errors=\"0\" skipped=\"1\"")) << junit;
  EXPECT_TRUE(says(page_at("run.csv"), "sample/tiled-attention"));
  EXPECT_TRUE(nlohmann::json::parse(page_at("run.json")).is_object());
  EXPECT_EQ(report("--format markdown").out, markdown);
}

TEST_F(Report, RefusesWhatItCannotWrite) {
  EXPECT_EQ(report("").code, 2);
  EXPECT_TRUE(says(report("-o run.pdf").err, "found ending 'pdf', expected .html"));
  EXPECT_EQ(report("-o /nowhere/run.html").code, 2);
  EXPECT_EQ(report("nonsense -o run.html").code, 2);
  EXPECT_EQ(report("-o run.html --base nonsense").code, 2);
  EXPECT_EQ(report("-o run.html --min-effect 0").code, 2);
}

}  // namespace
}  // namespace assay::e2e
