#include "harness/machine_lock.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "datasets/user_error.h"

namespace assay::harness {
namespace {

class MachineLockTest : public testing::Test {
 protected:
  MachineLockTest() {
    std::string name = (std::filesystem::temp_directory_path() / "assay-lock-XXXXXX").string();
    folder_ = mkdtemp(name.data());
    path_ = folder_ + "/assay.lock";
  }
  ~MachineLockTest() override { std::filesystem::remove_all(folder_); }

  // A second process that holds the lock until it is killed; returns once it has it.
  pid_t holder_process(const std::string& command) {
    int ready[2];  // NOLINT(*-avoid-c-arrays): pipe's interface
    EXPECT_EQ(pipe(ready), 0);
    const pid_t child = fork();
    if (child == 0) {
      const auto lock = MachineLock::try_acquire(command, path_);
      const char got = lock ? 'y' : 'n';
      if (write(ready[1], &got, 1) != 1) _exit(1);
      for (;;) pause();
    }
    char got = 'n';
    EXPECT_EQ(read(ready[0], &got, 1), 1);
    EXPECT_EQ(got, 'y');
    close(ready[0]);
    close(ready[1]);
    return child;
  }

  static void kill_and_wait(pid_t child) {
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
  }

  std::string folder_, path_;
};

TEST_F(MachineLockTest, ASecondProcessIsRefusedAndToldWhoHoldsIt) {
  const pid_t other = holder_process("assay run nightly");
  EXPECT_FALSE(MachineLock::try_acquire("assay run quick", path_).has_value());
  const auto holder = MachineLock::holder(path_);
  ASSERT_TRUE(holder.has_value());
  EXPECT_EQ(holder->pid, other);
  EXPECT_EQ(holder->command, "assay run nightly");
  EXPECT_GT(holder->since_ns, 0);
  try {
    MachineLock::acquire("assay run quick", path_);
    ADD_FAILURE() << "two processes hold the lock";
  } catch (const UserError& refused) {
    EXPECT_NE(std::string(refused.what()).find("process " + std::to_string(other) + " (assay run nightly)"),
              std::string::npos)
        << refused.what();
    EXPECT_EQ(refused.exit_code(), 2);
  }
  kill_and_wait(other);
}

TEST_F(MachineLockTest, IsFreeAgainOnceItsHolderIsKilled) {
  const pid_t other = holder_process("assay run nightly");
  kill_and_wait(other);
  EXPECT_FALSE(MachineLock::holder(path_).has_value());
  EXPECT_TRUE(MachineLock::try_acquire("assay run quick", path_).has_value());
}

TEST_F(MachineLockTest, IsReleasedAtTheEndOfItsScopeAndKeptByAMove) {
  {
    auto first = MachineLock::try_acquire("one", path_);
    ASSERT_TRUE(first.has_value());
    const MachineLock kept = std::move(*first);
    first.reset();
    EXPECT_FALSE(MachineLock::try_acquire("two", path_).has_value());
  }
  EXPECT_TRUE(MachineLock::try_acquire("two", path_).has_value());
}

TEST_F(MachineLockTest, AShorterCommandReplacesALongerOneWhole) {
  { const auto first = MachineLock::try_acquire("assay run a-suite-with-a-rather-long-name", path_); }
  const auto second = MachineLock::try_acquire("assay run b", path_);
  const auto holder = MachineLock::holder(path_);
  ASSERT_TRUE(holder.has_value());
  EXPECT_EQ(holder->command, "assay run b");
}

TEST_F(MachineLockTest, IsOpenToOtherUsersWhateverTheUmask) {
  const mode_t old = umask(077);
  const auto lock = MachineLock::try_acquire("assay run quick", path_);
  umask(old);
  struct stat status {};
  ASSERT_EQ(stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0666U);
}

TEST_F(MachineLockTest, DoesNotFollowALinkSomebodyPlanted) {
  const std::string victim = folder_ + "/victim";
  std::ofstream(victim) << "precious";
  std::filesystem::create_symlink(victim, path_);
  EXPECT_THROW(MachineLock::try_acquire("assay run quick", path_), UserError);
  std::string content;
  std::ifstream(victim) >> content;
  EXPECT_EQ(content, "precious");
}

TEST_F(MachineLockTest, AnUnusablePathIsTheUsersToMend) {
  try {
    MachineLock::try_acquire("assay run quick", folder_ + "/absent/assay.lock");
    ADD_FAILURE() << "locked a file in a folder that does not exist";
  } catch (const UserError& refused) {
    EXPECT_NE(std::string(refused.what()).find("absent/assay.lock"), std::string::npos);
    EXPECT_NE(std::string(refused.what()).find("ASSAY_LOCK"), std::string::npos);
  }
}

TEST(LoadPerCore, IsAShareOfTheMachine) {
  const double load = load_per_core(std::chrono::milliseconds(20));
  EXPECT_GE(load, 0);
  EXPECT_LE(load, 1);
}

}  // namespace
}  // namespace assay::harness
