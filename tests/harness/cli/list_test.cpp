#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "results_db/metrics.h"
#include "results_db/store.h"

namespace assay::cli {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

struct Answer {
  int exit_code = -1;
  std::string out;  // standard output, with standard error behind it
};

class List : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) / ("list-" + std::to_string(getpid()));
    fs::create_directories(folder_);
    database_ = (folder_ / "none.db").string();
  }
  void TearDown() override { fs::remove_all(folder_); }

  Answer list(const std::string& arguments, const std::string& environment = "") const {
    Answer answer;
    const std::string command =
        environment + " " + ASSAY_BINARY + " --db '" + database_ + "' list " + arguments + " 2>&1";
    FILE* pipe = popen(command.c_str(), "r");
    std::array<char, 4096> buffer{};
    while (const std::size_t n = fread(buffer.data(), 1, buffer.size(), pipe)) answer.out.append(buffer.data(), n);
    const int status = pclose(pipe);
    answer.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return answer;
  }
  json list_json(const std::string& arguments) const {
    const Answer answer = list(arguments + " --json");
    EXPECT_EQ(answer.exit_code, 0) << answer.out;
    json document = json::parse(answer.out);
    EXPECT_EQ(document.at("schema_version"), 1);
    return document;
  }

  fs::path folder_;
  std::string database_;
};

TEST_F(List, EveryTechniqueHasAxesWithHelpAndDefaults) {
  const json techniques = list_json("techniques").at("techniques");
  ASSERT_FALSE(techniques.empty());
  for (const json& technique : techniques) {
    EXPECT_FALSE(technique.at("title").get<std::string>().empty()) << technique.at("id");
    EXPECT_FALSE(technique.at("summary").get<std::string>().empty()) << technique.at("id");
    for (const json& implementation : technique.at("implementations")) {
      EXPECT_EQ(implementation.at("source_file").get<std::string>().find("impls/"), 0U);
      for (const json& axis : implementation.at("axes")) {
        EXPECT_FALSE(axis.at("help").get<std::string>().empty()) << technique.at("id") << " " << axis.at("name");
        EXPECT_FALSE(axis.at("defaults").empty()) << technique.at("id") << " " << axis.at("name");
      }
    }
  }
}

TEST_F(List, ATechniqueInDetailShowsItsAxesAndWhereItsCodeIs) {
  const Answer answer = list("techniques naive-attention");
  EXPECT_EQ(answer.exit_code, 0);
  for (const char* part : {"attention/naive-attention", "sequence_length", "impls/attention/naive_attention.cpp",
                           "gate: not run in this database"})
    EXPECT_NE(answer.out.find(part), std::string::npos) << part << "\n" << answer.out;
}

TEST_F(List, FamilyNarrowsAndAnUnknownOneListsWhatThereIs) {
  for (const json& technique : list_json("techniques --family attention").at("techniques"))
    EXPECT_EQ(technique.at("family"), "attention");
  const Answer unknown = list("techniques --family astronomy");
  EXPECT_EQ(unknown.exit_code, 2);
  EXPECT_EQ(unknown.out.find("assay: list: no technique of family astronomy; there are: attention"), 0U) << unknown.out;
}

TEST_F(List, UnknownNamesExitWithTheNearest) {
  const Answer technique = list("techniques naive-atention");
  EXPECT_EQ(technique.exit_code, 2);
  EXPECT_EQ(technique.out.find("assay: unknown technique 'naive-atention'; nearest: attention/naive-attention"), 0U)
      << technique.out;
  EXPECT_EQ(list("techniqes").out,
            "assay: list: found 'techniqes', expected one of techniques, suites, claims, devices, metrics; nearest: "
            "techniques\n");
  EXPECT_NE(list("metrics tim").out.find("unknown metric 'tim'; nearest: time"), std::string::npos);
  EXPECT_NE(list("devices a100-80g-sx").out.find("nearest: a100-80g-sxm"), std::string::npos);
  EXPECT_NE(list("suites quik").out.find("unknown suite 'quik'"), std::string::npos);
  for (const char* kind : {"techniqes", "metrics tim", "devices a100-80g-sx", "suites quik"})
    EXPECT_EQ(list(kind).exit_code, 2) << kind;
}

TEST_F(List, TheGatesMutationScoreComesFromTheNewestRunThatHasOne) {
  auto store = results_db::Store::open(database_, results_db::Open::create);
  results_db::CaseRecord record;
  record.technique = "attention/naive-attention";
  record.backend = "cpu";
  record.parameters_json = "{}";
  record.key = "attention/naive-attention cpu";
  const auto add = [&](const std::string& id, std::int64_t at, int caught) {
    results_db::RunRecord run;
    run.id = id;
    run.suite = "quick";
    run.machine.id = "m";
    run.build.id = "b";
    run.started_ns = at;
    run.status = "finished";
    store.begin_run(run);
    results_db::GateRecord gate;
    gate.run = id;
    gate.case_id = store.put_case(record);
    gate.mutants_total = 5;
    gate.mutants_caught = caught;
    store.put_gate(gate);
  };
  store.put_technique(record.technique, "Naive attention", "baseline");
  add("aaaaaaaa-0000-4000-8000-000000000001", 1000, 3);
  add("bbbbbbbb-0000-4000-8000-000000000002", 2000, 5);
  store.close();
  const json technique = list_json("techniques naive-attention").at("techniques").at(0);
  EXPECT_EQ(technique.at("gate").at("mutants_caught"), 5);
  EXPECT_EQ(technique.at("gate").at("run"), "bbbbbbbb-0000-4000-8000-000000000002");
  EXPECT_NE(list("techniques").out.find("5/5"), std::string::npos);
}

TEST_F(List, ADamagedDatabaseIsToldAndTheListStillPrinted) {
  std::ofstream(database_) << "this is no database, and long enough to be looked at as one ........................";
  const Answer answer = list("techniques");
  EXPECT_EQ(answer.exit_code, 0);
  EXPECT_NE(answer.out.find("assay: no mutation scores: "), std::string::npos) << answer.out;
  EXPECT_NE(answer.out.find("attention/naive-attention"), std::string::npos);
}

TEST_F(List, ASuiteThatDoesNotLoadIsListedWithItsReason) {
  std::ofstream(folder_ / "good.toml") << "title = \"Good\"\n[[case]]\ntechnique = \"attention/naive-attention\"\n";
  std::ofstream(folder_ / "bad.toml") << "titel = \"Bad\"\n";
  const std::string here = "ASSAY_SUITES='" + folder_.string() + "'";
  const Answer all = list("suites --json", here);
  EXPECT_EQ(all.exit_code, 0) << all.out;
  const json suites = json::parse(all.out).at("suites");
  ASSERT_EQ(suites.size(), 2U);
  EXPECT_NE(suites.at(0).at("error").get<std::string>().find("bad.toml:1: titel: unknown key; nearest: title"),
            std::string::npos);
  EXPECT_EQ(suites.at(1).at("case_count"), 1);
  const Answer bad = list("suites bad", here);
  EXPECT_EQ(bad.exit_code, 2);
  EXPECT_NE(bad.out.find("unknown key"), std::string::npos);
  EXPECT_NE(list("suites good", here).out.find("attention/naive-attention cpu"), std::string::npos);
}

TEST_F(List, EveryShippedSuiteLoads) {
  const json suites = list_json("suites").at("suites");
  ASSERT_FALSE(suites.empty());
  // Suites of GPUs name techniques that a build without the CUDA Toolkit does not have.
  const bool cuda = list_json("techniques").dump().find("hardware/gpu-roofs") != std::string::npos;
  for (const json& suite : suites) {
    const bool loads = cuda || !suite.at("id").get<std::string>().starts_with("gpu");
    EXPECT_EQ(suite.at("error").is_null(), loads) << suite.at("id") << suite.at("error");
  }
}

TEST_F(List, DevicesAndClustersNameTheSourceOfEveryNumber) {
  const json document = list_json("devices");
  ASSERT_FALSE(document.at("devices").empty());
  ASSERT_FALSE(document.at("clusters").empty());
  for (const json& device : document.at("devices"))
    for (const auto& [name, constant] : device.at("constants").items())
      EXPECT_FALSE(constant.at("source").get<std::string>().empty()) << device.at("id") << " " << name;
  EXPECT_NE(list("devices dgx-a100").out.find("nodes of 8 a100-80g-sxm"), std::string::npos);
}

TEST_F(List, ClaimsOfATechniqueAndOfAFamily) {
  const json claims = list_json("claims flash-attention-2").at("claims");
  ASSERT_FALSE(claims.empty());
  for (const json& claim : claims) EXPECT_EQ(claim.at("technique"), "attention/flash-attention-2");
  const std::string id = claims.at(0).at("id");
  const Answer one = list("claims '" + id + "'");
  EXPECT_EQ(one.exit_code, 0);
  EXPECT_EQ(one.out.find(id), 0U) << one.out;
  EXPECT_GT(list_json("claims --family attention").at("claims").size(), claims.size());
  const Answer unknown = list("claims flash-atention-2");
  EXPECT_EQ(unknown.exit_code, 2);
  EXPECT_NE(unknown.out.find("is called 'flash-atention-2'; nearest: attention/flash-attention-2"), std::string::npos)
      << unknown.out;
}

TEST_F(List, MetricsAreTheClosedRegistry) {
  EXPECT_EQ(list_json("metrics").at("metrics").size(), results_db::metric_registry().size());
  const json time = list_json("metrics time").at("metrics").at(0);
  EXPECT_EQ(time.at("unit"), "s");
  EXPECT_EQ(time.at("better"), "lower");
}

}  // namespace
}  // namespace assay::cli
