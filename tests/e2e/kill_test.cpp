// kill -9 of the runner at random moments: every launch it reported as stored is in the database, and the database is
// clean. ASSAY_KILL_ROUNDS sets how often (20 unless told).
#include <gtest/gtest.h>
#include <signal.h>

#include <array>
#include <chrono>
#include <random>
#include <set>
#include <thread>

#include "results_db/store.h"
#include "tests/e2e/program.h"

namespace assay::e2e {
namespace {

struct Acknowledged {
  std::set<std::pair<std::string, int>> launches;
  bool ended = false;  // the run came to its end before the kill
};

// The runner's plain progress: "[k/n] KEY launch I: TIME", printed after the launch is durable.
void collect(const std::string& line, Acknowledged& found) {
  const std::size_t bracket = line.find("] ");
  const std::size_t launch = line.rfind(" launch ");
  if (line.empty() || line[0] != '[' || bracket == std::string::npos || launch == std::string::npos) return;
  found.launches.emplace(line.substr(bracket + 2, launch - bracket - 2), std::atoi(line.c_str() + launch + 8));
}

Acknowledged run_and_kill(const Scratch& scratch, std::chrono::milliseconds after) {
  std::array<int, 2> ends{};
  if (pipe(ends.data()) != 0) throw std::runtime_error("pipe");
  const pid_t child = fork();
  if (child == 0) {
    dup2(ends[1], STDERR_FILENO);
    const int nothing = open("/dev/null", O_WRONLY);
    dup2(nothing, STDOUT_FILENO);
    close(ends[0]);
    const std::string database = scratch.database();
    execl(ASSAY_BINARY, ASSAY_BINARY, "--db", database.c_str(), "run", "naive-attention", "--no-roofs", "--ignore-load",
          "--axis", "sequence_length=32,48,64", "--axis", "heads=1", "--axis", "kv_heads=1", "--axis", "head_dim=64",
          "--axis", "batch=1", "--set", "launches=200", "--set", "time_budget=1ms", nullptr);
    _exit(127);
  }
  close(ends[1]);
  std::this_thread::sleep_for(after);  // the random moment itself, not a wait for something to happen
  kill(child, SIGKILL);
  Acknowledged found;
  std::string pending;
  std::array<char, 65536> buffer{};
  ssize_t got = 0;
  while ((got = read(ends[0], buffer.data(), buffer.size())) > 0)
    pending.append(buffer.data(), static_cast<std::size_t>(got));
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  found.ended = WIFEXITED(status);
  std::size_t end = 0;
  while ((end = pending.find('\n')) != std::string::npos) {
    collect(pending.substr(0, end), found);
    pending.erase(0, end + 1);
  }
  return found;
}

TEST(KilledRunner, LosesNoFinishedLaunch) {
  const Scratch scratch("kill");
  const char* wanted = std::getenv("ASSAY_KILL_ROUNDS");
  const int rounds = wanted == nullptr ? 20 : std::atoi(wanted);
  std::mt19937 random(20260101);
  std::size_t acknowledged = 0;
  for (int round = 0; round < rounds; ++round) {
    const auto moment = std::chrono::milliseconds(std::uniform_int_distribution<int>(20, 1500)(random));
    const Acknowledged found = run_and_kill(scratch, moment);
    ASSERT_FALSE(found.ended) << "the run was to last longer than the kill";
    if (!std::filesystem::exists(scratch.database())) continue;
    auto store = results_db::Store::open(scratch.database(), results_db::Open::read_write);
    const auto check = store.check();
    ASSERT_TRUE(check.clean()) << check.problems.front();
    acknowledged += found.launches.size();
    if (found.launches.empty()) continue;
    const auto runs = store.runs();
    ASSERT_FALSE(runs.empty());
    std::set<std::pair<std::string, int>> stored;
    for (const auto& item : store.cases_of(runs.front().id))
      for (const auto& launch : store.launches(runs.front().id, item.id)) {
        stored.emplace(item.record.key, launch.ordinal);
        EXPECT_FALSE(launch.samples.empty());
      }
    for (const auto& launch : found.launches)
      EXPECT_TRUE(stored.contains(launch)) << launch.first << " launch " << launch.second << " was lost";
  }
  EXPECT_GT(acknowledged, static_cast<std::size_t>(rounds)) << "the kills came too early to show anything";
  EXPECT_EQ(scratch.assay("db check").code, 0);
  printf("%d kills, %zu acknowledged launches, none lost\n", rounds, acknowledged);
}

}  // namespace
}  // namespace assay::e2e
