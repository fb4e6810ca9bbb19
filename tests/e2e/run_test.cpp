// assay run, show and rerun from the outside: exit codes, tables, JSON, what is stored and what is said.
#include <gtest/gtest.h>
#include <pty.h>

#include <nlohmann/json.hpp>

#include "harness/table.h"
#include "tests/e2e/program.h"

namespace assay::e2e {
namespace {

using nlohmann::json;

bool says(const std::string& text, const std::string& words) { return text.find(words) != std::string::npos; }

// The smallest real case: microseconds, checked all the same.
const std::string tiny_axes =
    " --axis sequence_length=32 --axis heads=1 --axis kv_heads=1 --axis head_dim=64 --axis batch=1";
const std::string tiny = "naive-attention --no-roofs --ignore-load --set time_budget=2ms --set launches=2" + tiny_axes;
const std::string ring = "ring-attention --fabric cluster --ignore-load --axis ranks=16";

void expect_plain(const Outcome& outcome) {
  EXPECT_EQ(outcome.out.find('\x1b'), std::string::npos) << "no escape codes in a file\n" << outcome.out;
  EXPECT_EQ(outcome.err.find('\x1b'), std::string::npos) << outcome.err;
  EXPECT_EQ(outcome.err.find('\r'), std::string::npos) << outcome.err;
  std::stringstream lines(outcome.out);
  for (std::string line; std::getline(lines, line);) EXPECT_LE(harness::display_width(line), 100) << line;
}

class RunProgram : public testing::Test {
 protected:
  json edited_capsule(const std::string& row, const std::string& name) {
    const std::string file = scratch_.path(name);
    EXPECT_EQ(scratch_.assay("rerun " + row + " --capsule " + file).code, 0);
    return json::parse(read_file(file));
  }
  // In a database of its own: a capsule needs nothing else.
  Outcome rerun(const json& capsule, const std::string& options = "") {
    const std::string file = scratch_.write("capsule.json", capsule.dump());
    return scratch_.assay_on("elsewhere.db", "rerun " + file + " " + options);
  }

  Scratch scratch_{"run"};
};

TEST_F(RunProgram, ChecksTimesStoresAndShows) {
  const Outcome run = scratch_.assay("run " + tiny + " --axis causal=0,1 --axis dtype=fp32,bf16 --tag first");
  ASSERT_EQ(run.code, 0) << run.err;
  expect_plain(run);
  EXPECT_TRUE(says(run.out, "4 of 4 cases ok")) << run.out;
  EXPECT_TRUE(says(run.out, "measured")) << "the provenance is shown\n" << run.out;
  EXPECT_TRUE(says(run.out, "finished")) << run.out;

  const Outcome show = scratch_.assay("show");
  EXPECT_EQ(show.code, 0);
  EXPECT_EQ(show.out, run.out) << "the same table";
  EXPECT_EQ(scratch_.assay("show first").out, run.out);

  const Outcome as_json = scratch_.assay("show --json");
  const json report = json::parse(as_json.out);
  EXPECT_EQ(report.at("schema_version"), 1);
  ASSERT_EQ(report.at("cases").size(), 4U);
  for (const json& item : report.at("cases")) {
    EXPECT_EQ(item.at("status"), "ok");
    ASSERT_EQ(item.at("launches").size(), 2U);
    EXPECT_GE(item.at("launches").at(0).at("samples"), 5);
    EXPECT_GE(item.at("gate").at("mutants_caught"), 4) << item.at("key");
    EXPECT_EQ(item.at("gate").at("mutants_caught"), item.at("gate").at("mutants_total"));
    EXPECT_LE(item.at("gate").at("error"), 1);
  }
}

TEST_F(RunProgram, PrintsJsonWhenAskedTo) {
  const Outcome run = scratch_.assay("run " + tiny + " --json --quiet");
  ASSERT_EQ(run.code, 0) << run.err;
  const json report = json::parse(run.out);
  EXPECT_EQ(report.at("schema_version"), 1);
  EXPECT_EQ(report.at("run").at("status"), "finished");
  EXPECT_EQ(report.at("cases").size(), 1U);
}

TEST_F(RunProgram, RehearsesWithoutRunning) {
  const Outcome run = scratch_.assay("run naive-attention --axis sequence_length=1k..8k:x2 --dry-run");
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_TRUE(says(run.out, "sequence_length=1024")) << run.out;
  EXPECT_TRUE(says(run.out, "sequence_length=8192")) << run.out;
  EXPECT_TRUE(says(run.out, "\n4 cases\n")) << run.out;
  EXPECT_FALSE(std::filesystem::exists(scratch_.database()));
}

TEST_F(RunProgram, ColoursATerminalUnlessToldNotTo) {
  ASSERT_EQ(scratch_.assay("db sample " + scratch_.database()).code, 0);
  const auto shown_on_terminal = [&](bool no_color) {
    winsize size{24, 100, 0, 0};
    int terminal = -1;
    const std::string database = scratch_.database();
    const pid_t child = forkpty(&terminal, nullptr, nullptr, &size);
    if (child == 0) {
      no_color ? setenv("NO_COLOR", "1", 1) : unsetenv("NO_COLOR");
      execl(ASSAY_BINARY, ASSAY_BINARY, "--db", database.c_str(), "show", nullptr);
      _exit(127);
    }
    std::string text;
    char buffer[4096];
    for (ssize_t got = 0; (got = read(terminal, buffer, sizeof buffer)) > 0;)
      text.append(buffer, static_cast<std::size_t>(got));
    close(terminal);
    int status = 0;
    waitpid(child, &status, 0);
    EXPECT_EQ(WEXITSTATUS(status), 0) << text;
    return text;
  };
  EXPECT_TRUE(says(shown_on_terminal(false), "\x1b["));
  const std::string plain = shown_on_terminal(true);
  EXPECT_TRUE(says(plain, "5 of 7 cases ok")) << plain;
  EXPECT_FALSE(says(plain, "\x1b")) << plain;
}

TEST_F(RunProgram, ResumingACompleteRunSaysSo) {
  ASSERT_EQ(scratch_.assay("run " + tiny).code, 0);
  const std::string before = scratch_.assay("show").out;
  const Outcome resumed = scratch_.assay("run --resume latest --ignore-load");
  EXPECT_EQ(resumed.code, 0) << resumed.err;
  EXPECT_TRUE(says(resumed.err, "nothing to resume")) << resumed.err;
  EXPECT_EQ(resumed.out, before);
  EXPECT_EQ(json::parse(scratch_.assay("db info --json").out).at("runs"), 1);
}

// The kernel ends the worker of the case that computes for longer than a second; everything after that is assay's.
TEST_F(RunProgram, OneCaseThatDiesFailsTheRunAndNoOtherCase) {
  const auto suite = scratch_.write("dies.toml",
                                    "title = \"one dies\"\nlaunches = 1\ntime_budget = \"2ms\"\nisolate = \"case\"\n"
                                    "[[case]]\ntechnique = \"naive-attention\"\ntime_budget = \"60s\"\n"
                                    "noise_target = 1e-9\nmax_samples = 1000000000\n"
                                    "axes = { sequence_length = 1024, heads = 4, kv_heads = 1, head_dim = 64 }\n"
                                    "[[case]]\ntechnique = \"naive-attention\"\n"
                                    "axes = { sequence_length = 32, heads = 1, kv_heads = 1, head_dim = 64 }\n");
  const std::string line = "(ulimit -t 1; " + std::string(ASSAY_BINARY) + " --db " + scratch_.database() + " run " +
                           suite.string() + " --ignore-load > " + scratch_.path("table").string() + " 2> /dev/null)";
  const int status = std::system(line.c_str());
  EXPECT_EQ(WEXITSTATUS(status), 1);
  const std::string table = read_file(scratch_.path("table"));
  EXPECT_TRUE(says(table, "1 of 2 cases ok")) << table;
  EXPECT_TRUE(says(table, "failed: attention/naive-attention cpu")) << table;
  EXPECT_TRUE(says(table, "crashed: signal")) << table;
  const json report = json::parse(scratch_.assay("show --json").out);
  for (const json& item : report.at("cases")) {
    const bool died = item.at("parameters").at("sequence_length") == 1024;
    EXPECT_EQ(item.at("status"), died ? "failed" : "ok");
    if (died) EXPECT_TRUE(item.at("launches").at(0).at("metrics").empty()) << "a failed case has no time";
  }
  EXPECT_EQ(scratch_.assay("db check").code, 0);
}

TEST_F(RunProgram, AProjectionRunAgainIsTheSameToTheBit) {
  ASSERT_EQ(scratch_.assay("run " + ring).code, 0);
  const Outcome again = scratch_.assay("rerun ring-attention");
  EXPECT_EQ(again.code, 0) << again.err;
  EXPECT_EQ(again.out.rfind("SAME: parallelism/sequence/ring-attention", 0), 0U) << again.out;

  json capsule = edited_capsule("ring-attention", "ring.json");
  EXPECT_EQ(capsule.at("schema_version"), 1);
  EXPECT_FALSE(capsule.at("descriptors").empty()) << "the machine it was projected on";
  const Outcome elsewhere = rerun(capsule, "--json");
  EXPECT_EQ(elsewhere.code, 0) << elsewhere.err;
  const json outcome = json::parse(elsewhere.out);
  EXPECT_EQ(outcome.at("schema_version"), 1);
  EXPECT_EQ(outcome.at("outcome"), "SAME");
  EXPECT_EQ(outcome.at("then"), outcome.at("now"));

  json slower = capsule;
  slower["values"][0] = slower["values"][0].get<double>() * (1 + 1e-12);
  const Outcome different = rerun(slower);
  EXPECT_EQ(different.code, 1);
  EXPECT_EQ(different.out.rfind("DIFFERENT", 0), 0U) << different.out;

  for (json& metric : capsule["metrics"])
    if (metric["name"] == "comm_messages") metric["value"] = metric["value"].get<double>() + 1;
  const Outcome miscounted = rerun(capsule);
  EXPECT_EQ(miscounted.code, 1);
  EXPECT_TRUE(says(miscounted.out, "comm_messages")) << miscounted.out;
}

TEST_F(RunProgram, AMeasuredRowRunAgainIsJudgedAsAnyComparison) {
  ASSERT_EQ(scratch_.assay("run " + tiny).code, 0);
  const Outcome unsure = scratch_.assay("rerun naive-attention");
  EXPECT_EQ(unsure.code, 0) << unsure.err;
  EXPECT_EQ(unsure.out.rfind("UNSURE: attention/naive-attention", 0), 0U) << unsure.out;
  EXPECT_TRUE(says(unsure.out, "needs 8 more launches a side")) << unsure.out;

  json capsule = edited_capsule("naive-attention", "naive.json");
  const double value = capsule["values"][0];
  capsule["values"] = json::array();
  for (int i = 0; i < 10; ++i) capsule["values"].push_back(value * (1 + 0.001 * i) / 1000);
  const Outcome different = rerun(capsule, "--launches 10");
  EXPECT_EQ(different.code, 1) << different.err;
  EXPECT_EQ(different.out.rfind("DIFFERENT", 0), 0U) << different.out;

  capsule["machine"]["id"] = "another";
  const Outcome other = rerun(capsule, "--launches 1");
  EXPECT_EQ(other.code, 0) << other.err;
  EXPECT_EQ(other.out.rfind("OTHER MACHINE", 0), 0U) << other.out;
}

TEST_F(RunProgram, RerunRefusesWhatItCannotName) {
  ASSERT_EQ(scratch_.assay("run " + tiny + " --axis causal=0,1").code, 0);
  EXPECT_EQ(scratch_.assay("rerun no-such-row").code, 2);
  const Outcome two = scratch_.assay("rerun naive-attention");
  EXPECT_EQ(two.code, 2);
  EXPECT_TRUE(says(two.err, "names 2 rows")) << two.err;
  const Outcome no_capsule = scratch_.assay("rerun " + scratch_.write("x.json", "{}").string());
  EXPECT_EQ(no_capsule.code, 2);
  EXPECT_TRUE(says(no_capsule.err, "not a capsule")) << no_capsule.err;
}

TEST_F(RunProgram, SetTakesAnAxisOfTheTechniqueAsWell) {
  const Outcome cases = scratch_.assay("run ring-attention --dry-run --fabric cluster --set ranks=4 --set launches=2");
  EXPECT_EQ(cases.code, 0) << cases.err;
  EXPECT_TRUE(says(cases.out, "ranks=4")) << cases.out;
  const Outcome unknown = scratch_.assay("run ring-attention --set sequence_lenght=4k");
  EXPECT_EQ(unknown.code, 2);
  EXPECT_TRUE(says(unknown.err, "nearest: sequence_length")) << unknown.err;
}

TEST_F(RunProgram, CompletionScriptsAreScripts) {
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const Outcome script = scratch_.assay(std::string("completion ") + shell);
    EXPECT_EQ(script.code, 0);
    EXPECT_TRUE(says(script.out, "__complete")) << script.out;
  }
  const std::string file = scratch_.write("assay.bash", scratch_.assay("completion bash").out);
  EXPECT_EQ(std::system(("bash -n " + file).c_str()), 0);
  const Outcome candidates = scratch_.assay("__complete run qui");
  EXPECT_EQ(candidates.code, 0);
  EXPECT_TRUE(says(candidates.out, "quick")) << candidates.out;
  EXPECT_EQ(scratch_.assay("completion tcsh").code, 2);
}

}  // namespace
}  // namespace assay::e2e
