// assay show --timeline: lanes of programs over ranks, projected and real, and the same intervals as a Chrome trace.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pty.h>

#include <nlohmann/json.hpp>
#include <set>

#include "harness/launcher.h"
#include "harness/table.h"
#include "tests/e2e/program.h"

namespace assay::e2e {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

const std::string kSmall =
    " --no-roofs --ignore-load --axis sequence_length=64 --axis heads=2 --axis kv_heads=2 --axis head_dim=16"
    " --set time_budget=20ms --set launches=2";

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::stringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

// Lanes that JSON has, each with at least one interval inside the span.
std::set<std::string> lanes_of(const json& shown) {
  std::set<std::string> names;
  for (const json& lane : shown.at("lanes")) {
    EXPECT_FALSE(lane.at("intervals").empty()) << lane.at("lane");
    EXPECT_LE(lane.at("busy_ps"), shown.at("end_ps").get<std::int64_t>() - shown.at("begin_ps").get<std::int64_t>());
    for (const json& each : lane.at("intervals")) {
      EXPECT_LE(each.at("start_ps"), each.at("end_ps"));
      EXPECT_LE(each.at("end_ps"), shown.at("end_ps"));
    }
    names.insert(lane.at("lane").get<std::string>());
  }
  return names;
}

class Timeline : public testing::Test {
 protected:
  void runs(const std::string& arguments) {
    const Outcome run = scratch_.assay("run " + arguments);
    ASSERT_EQ(run.code, 0) << run.err;
  }
  std::string on_terminal(bool no_color) {
    winsize size{40, 100, 0, 0};
    int terminal = -1;
    const std::string database = scratch_.database();
    const pid_t child = forkpty(&terminal, nullptr, nullptr, &size);
    if (child == 0) {
      no_color ? setenv("NO_COLOR", "1", 1) : unsetenv("NO_COLOR");
      execl(ASSAY_BINARY, ASSAY_BINARY, "--db", database.c_str(), "show", "--timeline", nullptr);
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
  }
  void has_one(const std::string& technique, const std::string& fabric) {
    const Outcome run =
        scratch_.assay("run " + technique + " --fabric " + fabric +
                       " --no-gate --no-roofs --ignore-load --axis ranks=2 --set time_budget=5ms --set launches=1"
                       " --set min_samples=2");
    ASSERT_EQ(run.code, 0) << technique << " on " << fabric << "\n" << run.err;
    const Outcome shown = scratch_.assay("show --timeline --json");
    ASSERT_EQ(shown.code, 0) << technique << " on " << fabric << "\n" << shown.err;
    EXPECT_GE(lanes_of(json::parse(shown.out)).size(), 2U) << technique << " on " << fabric;
  }
  Scratch scratch_{"timeline"};
};

TEST_F(Timeline, DrawsTheLanesOfAProjectionAtAHundredColumns) {
  runs("ring-attention --fabric cluster --ignore-load --axis ranks=4 --axis causal=1 --tag causal");
  const Outcome shown = scratch_.assay("show --timeline");
  ASSERT_EQ(shown.code, 0) << shown.err;
  const auto lines = lines_of(shown.out);
  EXPECT_THAT(lines.front(), HasSubstr("parallelism/sequence/ring-attention"));
  for (const std::string& line : lines) EXPECT_LE(harness::display_width(line), 100) << line;
  for (const char* words : {"rank 0", "rank 3", "compute", "send", "receive", "wait", "█", "attention", "ends last at"})
    EXPECT_THAT(shown.out, HasSubstr(words));
  EXPECT_THAT(shown.out, Not(HasSubstr("\x1b"))) << "no escape codes in a file";
  EXPECT_EQ(scratch_.assay("show --timeline causal/ring-attention").out, shown.out);
  EXPECT_EQ(scratch_.assay("show causal --timeline").out, shown.out);
  EXPECT_EQ(scratch_.assay("show --timeline sequence/ring").out, shown.out) << "a slash of the key is no run";
}

TEST_F(Timeline, ColoursOnATerminalUnlessAskedNotTo) {
  runs("ring-attention --fabric cluster --ignore-load --axis ranks=2");
  EXPECT_THAT(on_terminal(false), HasSubstr("\x1b[32m"));
  EXPECT_THAT(on_terminal(true), Not(HasSubstr("\x1b")));
}

TEST_F(Timeline, RanksThatDoTheSameAreOne) {
  runs("ring-attention --fabric cluster --ignore-load --axis ranks=16 --axis causal=0");
  const Outcome folded = scratch_.assay("show --timeline"), all = scratch_.assay("show --timeline --all-ranks");
  EXPECT_THAT(folded.out, HasSubstr("\nrank 1 and rank 9\n")) << "the same place in either node";
  EXPECT_LT(lines_of(folded.out).size(), lines_of(all.out).size());
  for (int rank = 0; rank < 16; ++rank) EXPECT_THAT(all.out, HasSubstr("\nrank " + std::to_string(rank)));
}

TEST_F(Timeline, OfARealRunIsStoredAndExported) {
  runs("ring-attention --fabric threads --axis ranks=3" + kSmall);
  const json shown = json::parse(scratch_.assay("show --timeline --json").out);
  EXPECT_EQ(shown.at("schema_version"), 1);
  EXPECT_EQ(shown.at("launch"), 0);
  const auto lanes = lanes_of(shown);
  for (int rank = 0; rank < 3; ++rank)
    for (const char* lane : {"compute", "send", "receive"})
      EXPECT_EQ(lanes.count("rank " + std::to_string(rank) + " / " + lane), 1U) << rank << " " << lane;

  const std::string file = scratch_.path("trace.json");
  ASSERT_EQ(scratch_.assay("db export --format trace -o " + file).code, 0);
  std::set<std::string> threads;
  std::size_t spans = 0, expected = 0;
  const json trace = json::parse(read_file(file));
  for (const json& event : trace.at("traceEvents")) {
    if (event.at("ph") == "X") ++spans;
    if (event.value("name", "") == "thread_name") threads.insert(event.at("args").at("name").get<std::string>());
  }
  for (const json& lane : shown.at("lanes")) expected += lane.at("intervals").size();
  EXPECT_EQ(threads, lanes);
  EXPECT_EQ(spans, expected);
}

TEST_F(Timeline, EveryTechniqueOverRanksHasOne) {
  const json techniques = json::parse(scratch_.assay("list techniques --json").out);
  std::vector<std::string> over_ranks;
  for (const json& technique : techniques.at("techniques"))
    for (const json& held : technique.at("implementations"))
      for (const json& fabric : held.at("fabrics"))
        if (fabric == "threads") over_ranks.push_back(technique.at("id").get<std::string>());
  ASSERT_GE(over_ranks.size(), 8U);
  for (const std::string& technique : over_ranks) has_one(technique, "threads");
}

TEST_F(Timeline, EveryFabricThatIsHereKeepsOne) {
  std::vector<std::string> fabrics{"emulated", "cluster"};
  if (harness::find_launcher("", harness::rank_program_of(ASSAY_BINARY)).problem.empty()) fabrics.push_back("mpi");
  for (const std::string& fabric : fabrics) has_one("ring-attention", fabric);
}

TEST_F(Timeline, ARunWithoutOneSaysSo) {
  runs("naive-attention --axis batch=1" + kSmall);
  const Outcome none = scratch_.assay("show --timeline");
  EXPECT_EQ(none.code, 3);
  EXPECT_THAT(none.err, HasSubstr("has no timeline; programs over ranks have one"));
  const Outcome nothing = scratch_.assay("show --timeline latest/ulysses");
  EXPECT_EQ(nothing.code, 3);
  EXPECT_THAT(nothing.err, HasSubstr("of a case with 'ulysses'"));
  const Outcome unknown = scratch_.assay("show --timeline no-such-run/naive");
  EXPECT_EQ(unknown.code, 2);
  EXPECT_THAT(unknown.err, HasSubstr("unknown run 'no-such-run'"));
  EXPECT_EQ(scratch_.assay("show --all-ranks").code, 2);
}

TEST_F(Timeline, HelpHasAnExample) {
  const std::string help = scratch_.assay("show --help").out;
  EXPECT_THAT(help, HasSubstr("--timeline"));
  EXPECT_THAT(help, HasSubstr("assay show --timeline latest/ring-attention"));
}

}  // namespace
}  // namespace assay::e2e
