// The contract of Rank on processes: what four ranks under a launcher saw (fixture/mpi_scenes.cpp).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <map>
#include <memory>
#include <string>

#include "harness/launcher.h"
#include "impls/substrate/fabric/report_text.h"

namespace assay::substrate {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::string no_jobs() {
  if (*ASSAY_MPI_SCENES == '\0') return "this build has no MPI";
  return harness::find_launcher("", ASSAY_MPI_SCENES).problem;
}

std::string play() {
  const harness::Launcher launcher = harness::find_launcher("", ASSAY_MPI_SCENES);
  harness::WorkerCommand command = harness::job_command(launcher, ASSAY_MPI_SCENES, 4);
  std::string line = "env";
  for (const auto& [name, value] : command.environment) line += " " + name + "=" + value;
  command.arguments.pop_back();  // "worker"
  for (const std::string& word : command.arguments) line += " " + word;
  const std::unique_ptr<FILE, int (*)(FILE*)> job(popen((line + " 2>&1 </dev/null").c_str(), "r"), pclose);
  std::string said;
  for (int c = 0; (c = std::fgetc(job.get())) != EOF;) said.push_back(static_cast<char>(c));
  return said;
}

// What one scene printed; the job runs once for all tests of a process.
std::string scene(const std::string& name) {
  static const std::string said = play();
  const std::size_t begin = said.find(name + ": ");
  const std::size_t end = said.find("\n" + name + ": end");
  if (begin == std::string::npos || end == std::string::npos) return "the job printed: " + said;
  return said.substr(begin + name.size() + 2, end - begin - name.size() - 2);
}

class MpiFabricScene : public testing::Test {
 protected:
  void SetUp() override {
    if (const std::string why = no_jobs(); !why.empty()) GTEST_SKIP() << why;
  }
};

const char* const kRing =
    "10 [32 B 4 messages peak 16 live 0 'number' 'token'][32 B 4 messages peak 16 live 0 'number' 'token']"
    "[32 B 4 messages peak 16 live 0 'number' 'token'][32 B 4 messages peak 16 live 0 'number' 'token']";

TEST_F(MpiFabricScene, EveryRankSeesEveryTokenAndTheReportsOfAllRanks) { EXPECT_EQ(scene("ring"), kRing); }
TEST_F(MpiFabricScene, ManyRunsFollowEachOther) { EXPECT_EQ(scene("again"), "2000"); }
TEST_F(MpiFabricScene, LongMessagesUnderWayTogetherArriveWhole) { EXPECT_EQ(scene("long"), "0 wrong"); }
TEST_F(MpiFabricScene, MessagesOfAPairMatchInIssueOrder) { EXPECT_EQ(scene("order"), "1 then 2"); }

TEST_F(MpiFabricScene, ATagIsCheckedAndDoesNotSelect) {
  EXPECT_THAT(scene("tag"),
              StartsWith("ContractViolation rank 0 sends tag 8 where rank 1 expects tag 7 'token' at mpi_scenes.cpp:"));
}
TEST_F(MpiFabricScene, ASizeThatThePlanDoesNotShareIsRefused) {
  EXPECT_THAT(scene("short"),
              StartsWith("ContractViolation rank 0 sends 8 B 'token' where rank 1 expects 16 B at mpi_scenes.cpp:"));
  EXPECT_THAT(scene("too-long"),
              StartsWith("ContractViolation rank 0 sends more than the 4 B 'token' that rank 1 expects at mpi_scenes"));
}
TEST_F(MpiFabricScene, OverwritingABorrowedBufferThrows) {
  EXPECT_THAT(scene("borrowed"), StartsWith("ContractViolation rank 2: buffer 'number' is overwritten"));
}
TEST_F(MpiFabricScene, AnExceptionOfOneRankEndsTheRunAndTheFabricStaysUsable) {
  EXPECT_EQ(scene("throws"), "exception the second rank gave up");
  EXPECT_EQ(scene("after-failures"), kRing);
}
TEST_F(MpiFabricScene, ADeadlockNamesBothRanksAndTheirLines) {
  EXPECT_THAT(scene("deadlock"),
              AllOf(StartsWith("Deadlock deadlock, nothing has arrived for 0.5 s:"),
                    HasSubstr("rank 0 waits to receive 8 B 'token' from rank 1, posted at mpi_scenes.cpp:"),
                    HasSubstr("rank 1 waits to receive 8 B 'other' from rank 0, posted at mpi_scenes.cpp:")));
  EXPECT_EQ(scene("after-deadlock"), kRing);
}
TEST_F(MpiFabricScene, WaitingForARankThatComputesIsNoDeadlock) { EXPECT_EQ(scene("patience"), "10"); }

TEST(ReportText, CarriesWhatARankCounted) {
  RankReport report;
  report.busy = {5, 7};
  report.exposed = 11;
  report.exposed_transfer = 3;
  report.finish = 99;
  const auto entry = report.memory.charge("kv block", Memory::communication, 100, 1);
  report.memory.charge("o", Memory::output, 50, 2);
  report.memory.release(entry, 100, 3);
  MessageLogEntry& sent = report.messages[report.messages.entry(2, {4, "all to all"}, Direction::sent)];
  sent.messages = 3;
  sent.bytes = 300;
  const std::vector<Interval> intervals = {{1, Lane::send, "kv block", 4, 6, 3, 128, "own memory", 2, 1},
                                           {1, Lane::compute, "matmul", 6, 9}};
  std::vector<Interval> spans;
  std::map<std::string, int> names;
  const RankReport back = report_from_text(
      to_text(report, intervals), [&](const std::string& name) { return names.try_emplace(name).first->first.c_str(); },
      spans);
  EXPECT_EQ(back.finish, 99);
  EXPECT_EQ(back.busy, report.busy);
  EXPECT_EQ(back.exposed, 11);
  EXPECT_EQ(back.memory.peak(), 150);
  EXPECT_EQ(back.memory.live(), 50);
  EXPECT_EQ(back.memory.peak(Memory::communication), 100);
  EXPECT_STREQ(back.memory.entries()[0].name, "kv block");
  EXPECT_EQ(back.memory.entries()[0].at_peak, 100);
  EXPECT_EQ(back.bytes_sent(), 300);
  EXPECT_EQ(back.messages_sent(), 3);
  EXPECT_STREQ(back.messages.entries()[0].tag.name, "all to all");
  ASSERT_EQ(spans.size(), 2U);
  EXPECT_EQ(spans[0].end, 6);
  EXPECT_EQ(spans[0].peer, 3);
  EXPECT_EQ(spans[0].bytes, 128);
  EXPECT_STREQ(spans[0].link, "own memory");
  EXPECT_EQ(spans[0].posted, 2);
  EXPECT_EQ(spans[0].exposed, 1);
  EXPECT_STREQ(spans[1].name, "matmul");
  EXPECT_STREQ(spans[1].link, "");
  EXPECT_STREQ(spans[0].name, "kv block");
}

}  // namespace
}  // namespace assay::substrate
