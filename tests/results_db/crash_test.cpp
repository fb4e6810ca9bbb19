// A writer killed at a random moment loses nothing it has acknowledged. ASSAY_CRASH_ROUNDS sets how often (20).
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <random>

#include "tests/results_db/example_records.h"

namespace assay::results_db {
namespace {

using examples::attention_case;
using examples::launch;
using examples::run;
using examples::Scratch;

constexpr int samples_a_launch = 2000;

LaunchRecord numbered(int ordinal, std::int64_t case_id) {
  LaunchRecord record = launch("r1", case_id, ordinal);
  record.samples.assign(samples_a_launch, 1e-3 * (ordinal + 1));
  return record;
}

// Appends launches for ever, acknowledging each by its ordinal once append_launch has returned.
[[noreturn]] void write_until_killed(const std::string& path, int acknowledge, int first) {
  try {
    Store store = Store::open(path, Open::create);
    store.begin_run(run("r1"));
    const std::int64_t id = store.put_case(attention_case());
    for (int ordinal = first;; ++ordinal) {
      store.append_launch(numbered(ordinal, id));
      if (write(acknowledge, &ordinal, sizeof ordinal) != sizeof ordinal) _exit(1);
    }
  } catch (...) {
    _exit(2);  // the parent finds no signal in the exit status
  }
}

// Kills the child after it has acknowledged `patience` launches and a little more; how many were acknowledged in all.
int kill_after(pid_t child, int pipe_end, int patience, unsigned spin) {
  int acknowledged = 0, ordinal = 0;
  while (acknowledged < patience && read(pipe_end, &ordinal, sizeof ordinal) == sizeof ordinal) ++acknowledged;
  // Somewhere inside the next append: a count of turns, not a time.
  for (volatile unsigned turn = 0; turn < spin; turn = turn + 1) {
  }
  kill(child, SIGKILL);
  while (read(pipe_end, &ordinal, sizeof ordinal) == sizeof ordinal) ++acknowledged;
  return acknowledged;
}

TEST(Crash, LosesNoAcknowledgedLaunch) {
  const char* asked = std::getenv("ASSAY_CRASH_ROUNDS");
  const int rounds = asked != nullptr ? std::max(1, std::atoi(asked)) : 20;
  const Scratch scratch;
  const std::string path = scratch.file("crash.db");
  std::mt19937 random(7);
  int first = 0;
  for (int round = 0; round < rounds; ++round) {
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      close(ends[0]);
      write_until_killed(path, ends[1], first);
    }
    close(ends[1]);
    const int acknowledged = kill_after(child, ends[0], 1 + static_cast<int>(random() % 30), random() % 2'000'000);
    close(ends[0]);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << "the writer ended by itself: " << status;

    Store store = Store::open(path, Open::read_only);
    const std::int64_t id = store.find_case(attention_case().key)->id;
    const std::vector<LaunchRecord> launches = store.launches("r1", id);
    const int present = static_cast<int>(launches.size());
    ASSERT_GE(present, first + acknowledged) << "round " << round;
    ASSERT_LE(present, first + acknowledged + 1) << "round " << round;  // at most the one being acknowledged
    for (int i = 0; i < present; ++i)
      ASSERT_EQ(launches[static_cast<std::size_t>(i)].samples, numbered(i, id).samples) << "launch " << i;
    const CheckReport report = store.check();
    ASSERT_TRUE(report.clean()) << testing::PrintToString(report.problems);
    EXPECT_EQ(report.notes, (std::vector<std::string>{"run r1 (quick) never finished"}));
    first = present;
  }
}

}  // namespace
}  // namespace assay::results_db
