#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

#include "harness/machine_lock.h"
#include "tests/e2e/program.h"

namespace assay::e2e {
namespace {

TEST(Doctor, ListsNoiseAndPartsAsJson) {
  const Scratch scratch("doctor");
  const Outcome outcome = scratch.assay("doctor --json");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const auto report = nlohmann::json::parse(outcome.out);
  EXPECT_EQ(report.at("schema_version"), 1);
  EXPECT_GE(report.at("machine").at("logical_cores"), 1);
  EXPECT_TRUE(report.at("timed_run").is_null());
  EXPECT_GE(report.at("busy_share"), 0);
  for (const auto& warning : report.at("noise")) EXPECT_FALSE(warning.at("why").get<std::string>().empty());
  std::vector<std::string> names;
  for (const auto& part : report.at("parts")) names.push_back(part.at("name"));
  for (const char* expected :
       {"oneDNN", "AMX bf16", "MPI", "NVIDIA GPU", "CUDA Toolkit", "perf counters", "energy (RAPL)"})
    EXPECT_NE(std::find(names.begin(), names.end(), expected), names.end()) << expected;
}

TEST(Doctor, NamesTheRunThatHoldsTheMachine) {
  const Scratch scratch("doctor-lock");
  const auto lock = harness::MachineLock::try_acquire("assay run nightly", scratch.path("lock"));
  ASSERT_TRUE(lock.has_value());
  const auto report = nlohmann::json::parse(scratch.assay("doctor --json").out);
  EXPECT_EQ(report.at("timed_run").at("pid"), getpid());
  EXPECT_EQ(report.at("timed_run").at("command"), "assay run nightly");
}

TEST(Doctor, FitsAHundredColumnsExceptForLinesToType) {
  const Scratch scratch("doctor-width");
  const Outcome outcome = scratch.assay("doctor");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  std::stringstream lines(outcome.out);
  for (std::string line; std::getline(lines, line);)
    if (line.find("mend: ") == std::string::npos) EXPECT_LE(line.size(), 103U) << line;  // an ellipsis is 3 bytes
}

}  // namespace
}  // namespace assay::e2e
