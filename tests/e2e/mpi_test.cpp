// Programs over processes, as a user runs them: rows beside those of threads, a rank that is killed, a launcher that is
// missing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <set>
#include <sstream>
#include <thread>

#include "harness/launcher.h"
#include "results_db/store.h"
#include "tests/e2e/program.h"

namespace assay::e2e {
namespace {

using results_db::Status;
using ::testing::HasSubstr;

std::string no_jobs() { return harness::find_launcher("", harness::rank_program_of(ASSAY_BINARY)).problem; }

const char* const kSmall =
    " --no-roofs --ignore-load --axis ranks=4 --axis sequence_length=64 --axis heads=2 --axis head_dim=16"
    " --axis backward=1 --set time_budget=20ms --set launches=2";

std::map<std::string, double> metrics_of(const results_db::LaunchRecord& launch) {
  std::map<std::string, double> found;
  for (const auto& metric : launch.metrics) found[metric.name] = metric.value;
  return found;
}

TEST(Mpi, CollectivesOfTheLibraryAreTheSumsThatOursAre) {
  if (const std::string why = no_jobs(); !why.empty()) GTEST_SKIP() << why;
  const Scratch scratch("mpi-native");
  const std::string suite = scratch.write("native.toml", R"(
launches = 1
time_budget = "10ms"
[[case]]
technique = "parallelism/data/collectives"
fabric = "mpi"
[case.axes]
collective = ["all-reduce", "reduce-scatter", "all-gather", "broadcast", "all-to-all", "scan"]
algorithm = "native"
ranks = 3
message_bytes = 2008
dtype = ["fp32", "bf16"]
)");
  const Outcome outcome = scratch.assay("run " + suite + " --ignore-load");
  ASSERT_EQ(outcome.code, 0) << outcome.err << outcome.out;
  auto store = results_db::Store::open(scratch.database(), results_db::Open::read_only);
  const auto run = store.runs().front();
  int cases = 0;
  for (const auto& item : store.cases_of(run.id)) {
    ++cases;
    const auto gate = store.gate(run.id, item.id);
    ASSERT_TRUE(gate.has_value());
    EXPECT_EQ(gate->status, Status::ok) << item.record.key << ": " << gate->reason;
    EXPECT_GE(gate->mutants_caught, 4) << item.record.key;
    EXPECT_EQ(gate->mutants_caught, gate->mutants_total) << item.record.key;
    const auto metrics = metrics_of(store.launches(run.id, item.id).at(0));
    EXPECT_FALSE(metrics.contains("comm_bytes")) << "nothing is known of the library's messages";
  }
  EXPECT_EQ(cases, 12);
}

TEST(Mpi, RowsLieBesideThoseOfThreadsWithEqualCounts) {
  if (const std::string why = no_jobs(); !why.empty()) GTEST_SKIP() << why;
  const Scratch scratch("mpi");
  const std::string suite = scratch.write("both.toml", R"(
launches = 2
time_budget = "20ms"
[[case]]
technique = ["parallelism/sequence/ring-attention", "parallelism/sequence/ulysses"]
fabric = ["threads", "mpi", "cluster"]
[case.axes]
ranks = 4
sequence_length = 64
heads = 8
kv_heads = 2
head_dim = 16
backward = 1
dtype = ["fp32", "bf16"]
[[case]]
technique = "parallelism/sequence/megatron-sp"
fabric = ["threads", "mpi", "cluster"]
[case.axes]
ranks = 4
sequence_length = 64
heads = 8
head_dim = 16
backward = 1
dtype = ["fp32", "bf16"]
)");
  const Outcome outcome = scratch.assay("run " + suite + " --ignore-load");
  ASSERT_EQ(outcome.code, 0) << outcome.err << outcome.out;
  auto store = results_db::Store::open(scratch.database(), results_db::Open::read_only);
  const auto run = store.runs().front();
  std::map<std::string, std::map<std::string, std::map<std::string, double>>> found;  // case, fabric, metric
  for (const auto& item : store.cases_of(run.id)) {
    const auto launches = store.launches(run.id, item.id);
    const std::string technique = item.record.key.substr(0, item.record.key.find(' '));
    const bool fp32 = item.record.key.find("dtype=fp32") != std::string::npos;
    found[technique + (fp32 ? " fp32" : " bf16")][item.record.fabric] = metrics_of(launches.at(0));
    if (item.record.fabric == "cluster") continue;
    ASSERT_EQ(launches.size(), 2U) << item.record.key;
    for (const auto& launch : launches) EXPECT_FALSE(launch.samples.empty()) << item.record.key;
    const auto gate = store.gate(run.id, item.id);
    ASSERT_TRUE(gate.has_value());
    EXPECT_EQ(gate->status, Status::ok) << gate->reason;
    EXPECT_GE(gate->mutants_caught, 4);
    EXPECT_EQ(gate->mutants_caught, gate->mutants_total);
  }
  ASSERT_EQ(found.size(), 6U);
  for (auto& [name, fabrics] : found)
    for (const char* metric : {"comm_bytes", "comm_messages", "memory_peak"})
      for (const char* fabric : {"mpi", "cluster"})
        EXPECT_EQ(fabrics.at("threads").at(metric), fabrics.at(fabric).at(metric)) << name << " " << fabric;
}

// All sixteen, each with what its gate holds it to on both: the float64 oracle, and its counts in virtual time.
TEST(Mpi, EveryTechniqueAlongTheSequenceCountsAsOnThreads) {
  if (const std::string why = no_jobs(); !why.empty()) GTEST_SKIP() << why;
  const Scratch scratch("mpi-family");
  const auto entry = [](const std::string& techniques, const std::string& axes) {
    std::string names;
    std::istringstream each(techniques);
    for (std::string name; each >> name;)
      names += (names.empty() ? "" : ", ") + ("\"parallelism/sequence/" + name + '"');
    return "[[case]]\ntechnique = [" + names + "]\nfabric = [\"threads\", \"mpi\", \"cluster\"]\n" +
           "[case.axes]\nranks = 4\nheads = 8\nhead_dim = 16\ndtype = \"bf16\"\n" + axes;
  };
  const std::string suite = scratch.write(
      "family.toml", "launches = 1\ntime_budget = \"1ms\"\nmin_samples = 3\n" +
                         entry("ring-attention cp-balance rsa ulysses usp megatron-sp lasp-1 lasp-2 lasp-2h zeco",
                               "sequence_length = 67\nbackward = 1\n") +
                         entry("tokenring streambp", "sequence_length = 67\nkv_heads = 4\n") +
                         entry("mr-sp", "kv_heads = 4\n") +
                         entry("flexsp bytescale zeppelin", "kv_heads = 4\nbackward = 1\n"));
  const Outcome outcome = scratch.assay("run " + suite + " --ignore-load --no-roofs");
  ASSERT_EQ(outcome.code, 0) << outcome.err << outcome.out;
  auto store = results_db::Store::open(scratch.database(), results_db::Open::read_only);
  const auto run = store.runs().front();
  std::map<std::string, std::map<std::string, std::map<std::string, double>>> found;  // technique, fabric, metric
  for (const auto& item : store.cases_of(run.id)) {
    const std::string technique = item.record.key.substr(0, item.record.key.find(' '));
    found[technique][item.record.fabric] = metrics_of(store.launches(run.id, item.id).at(0));
    if (item.record.fabric == "cluster") continue;
    const auto gate = store.gate(run.id, item.id);
    ASSERT_TRUE(gate.has_value()) << item.record.key;
    EXPECT_EQ(gate->status, Status::ok) << item.record.key << ": " << gate->reason;
    EXPECT_EQ(gate->mutants_caught, gate->mutants_total) << item.record.key;
  }
  EXPECT_EQ(found.size(), 16U);
  const std::set<std::string> planners{"parallelism/sequence/bytescale", "parallelism/sequence/flexsp",
                                       "parallelism/sequence/zeppelin"};
  for (auto& [name, fabrics] : found)
    for (const char* metric : {"comm_bytes", "comm_messages", "memory_peak"})
      for (const char* fabric : {"mpi", "cluster"}) {
        // Planners of batches plan by the costs of the machine, on a modelled one otherwise than on this.
        if (std::string_view(fabric) == "cluster" && planners.contains(name)) continue;
        EXPECT_EQ(fabrics.at("threads").at(metric), fabrics.at(fabric).at(metric))
            << name << " " << fabric << " " << metric;
      }
}

// Processes below `pid`, itself left out.
std::vector<pid_t> descendants(pid_t pid) {
  std::vector<pid_t> all;
  std::istringstream children(read_file("/proc/" + std::to_string(pid) + "/task/" + std::to_string(pid) + "/children"));
  for (pid_t child = 0; children >> child;) {
    all.push_back(child);
    const auto below = descendants(child);
    all.insert(all.end(), below.begin(), below.end());
  }
  return all;
}

bool is_rank(pid_t pid, int rank) {
  const std::string variables = read_file("/proc/" + std::to_string(pid) + "/environ");
  const std::string wanted = "OMPI_COMM_WORLD_RANK=" + std::to_string(rank);
  return variables.find(wanted + '\0') != std::string::npos;
}

TEST(Mpi, ARankKilledInTheMiddleCostsItsCaseOnly) {
  if (const std::string why = no_jobs(); !why.empty()) GTEST_SKIP() << why;
  const Scratch scratch("mpi-kill");
  // The first case would go on for minutes; its check passes before the kill comes.
  const std::string suite = scratch.write("kill.toml", R"(
launches = 2
order = "listed"
[[case]]
technique = "parallelism/sequence/ring-attention"
fabric = "threads"
time_budget = "10ms"
[case.axes]
ranks = 2
sequence_length = 64
heads = 1
[[case]]
technique = "parallelism/sequence/ring-attention"
fabric = "mpi"
time_budget = "10min"
noise_target = "0.0001%"
max_samples = 1000000
[case.axes]
ranks = 4
sequence_length = 64
heads = 1
[[case]]
technique = "parallelism/sequence/ring-attention"
fabric = "mpi"
time_budget = "10ms"
[case.axes]
ranks = 3
sequence_length = 64
heads = 1
)");
  const std::string database = scratch.database();
  const std::string log = scratch.path("err.txt");
  const pid_t runner = fork();
  if (runner == 0) {
    const int file = open(log.c_str(), O_CREAT | O_WRONLY, 0644);
    dup2(file, STDERR_FILENO);
    dup2(file, STDOUT_FILENO);
    execl(ASSAY_BINARY, ASSAY_BINARY, "--db", database.c_str(), "run", suite.c_str(), "--ignore-load", nullptr);
    _exit(127);
  }
  // The launch under way is the one after the two of the first case; then a rank of it goes.
  const auto under_way = [&] { return read_file(log).find(" launch 1: ") != std::string::npos; };
  pid_t killed = 0;
  int status = 0;
  while (killed == 0 && waitpid(runner, &status, WNOHANG) == 0) {
    if (under_way())
      for (const pid_t pid : descendants(runner))
        if (is_rank(pid, 3) && kill(pid, SIGKILL) == 0) killed = pid;
    std::this_thread::yield();
  }
  ASSERT_NE(killed, 0) << read_file(log);
  ASSERT_EQ(waitpid(runner, &status, 0), runner);
  EXPECT_EQ(WEXITSTATUS(status), 1) << read_file(log);

  auto store = results_db::Store::open(database, results_db::Open::read_only);
  const auto run = store.runs().front();
  EXPECT_EQ(run.status, "finished");
  int kept = 0, lost = 0;
  for (const auto& item : store.cases_of(run.id)) {
    const auto launches = store.launches(run.id, item.id);
    if (item.record.key.find("ranks=4") != std::string::npos) {
      ASSERT_EQ(launches.size(), 1U);
      EXPECT_EQ(launches[0].status, Status::failed);
      EXPECT_THAT(launches[0].reason, HasSubstr("a rank died: "));  // mostly, but not always, named by the launcher
      EXPECT_THAT(launches[0].reason, HasSubstr("signal 9"));
      EXPECT_EQ(store.gate(run.id, item.id)->status, Status::ok) << "what was measured before stays";
      ++lost;
      continue;
    }
    ASSERT_EQ(launches.size(), 2U) << item.record.key;
    for (const auto& launch : launches) EXPECT_EQ(launch.status, Status::ok) << item.record.key << launch.reason;
    ++kept;
  }
  EXPECT_EQ(kept, 2);
  EXPECT_EQ(lost, 1);
  EXPECT_EQ(scratch.assay("db check").code, 0);
}

TEST(Mpi, AMissingLauncherIsOneLineAndExitTwo) {
  const Scratch scratch("mpi-launcher");
  const std::string run = "run ring-attention --fabric mpi" + std::string(kSmall);
  for (const std::string& how : {run + " --launcher /nowhere/mpirun", run + " --launcher ''"}) {
    const bool named = how.find("/nowhere") != std::string::npos;
    if (!named) setenv("ASSAY_MPIRUN", "no-such-launcher", 1);
    const Outcome outcome = scratch.assay(how);
    unsetenv("ASSAY_MPIRUN");
    EXPECT_EQ(outcome.code, 2) << outcome.err;
    EXPECT_EQ(std::ranges::count(outcome.err, '\n'), 1) << outcome.err;
    EXPECT_THAT(outcome.err, HasSubstr(named ? "--launcher: found '/nowhere/mpirun'" : "ASSAY_MPIRUN: found"));
  }
}

TEST(Mpi, ARunUnderALauncherIsRefused) {
  const Scratch scratch("mpi-launched");
  setenv("OMPI_COMM_WORLD_RANK", "0", 1);
  const Outcome outcome = scratch.assay("run quick");
  unsetenv("OMPI_COMM_WORLD_RANK");
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.err, HasSubstr("start assay once, by itself"));
}

TEST(Mpi, MoreRanksThanProcessesAreAllowedIsRefused) {
  const Scratch scratch("mpi-many");
  const Outcome outcome =
      scratch.assay("run ring-attention --fabric mpi --no-roofs --axis ranks=2000 --axis sequence_length=4k");
  EXPECT_EQ(outcome.code, 2);
  if (no_jobs().empty()) EXPECT_THAT(outcome.err, HasSubstr("ranks: found 2000, expected at most 1024 on fabric mpi"));
}

}  // namespace
}  // namespace assay::e2e
