#include "harness/machine_lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "datasets/user_error.h"

namespace assay::harness {
namespace {

// Opens the file without O_CREAT first: fs.protected_regular refuses O_CREAT on another user's file in a sticky folder.
// Mode 0666 whatever the umask, so that the next user can lock it and write itself down; O_NOFOLLOW so that nobody can
// point it elsewhere; O_CLOEXEC so that a worker does not keep the lock of a runner that died.
int open_lock(const std::string& path) {
  constexpr mode_t shared_mode = 0666;
  for (int attempt = 0; attempt < 4; ++attempt) {
    int descriptor = open(path.c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    if (descriptor >= 0) return descriptor;
    if (errno == EACCES) return open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (errno != ENOENT) return -1;
    descriptor = open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, shared_mode);
    if (descriptor >= 0) {
      fchmod(descriptor, shared_mode);
      return descriptor;
    }
    if (errno != EEXIST) return -1;  // EEXIST: another process created it in between
  }
  return -1;
}

[[noreturn]] void refuse_path(const std::string& path, int error) {
  throw UserError(fmt::format("{}: cannot open the machine lock: {}; set ASSAY_LOCK to a file that may be written",
                              path, std::generic_category().message(error)));
}

MachineLock::Holder read_holder(int descriptor) {
  constexpr std::size_t longest = 4096;
  std::string text(longest, '\0');
  const ssize_t length = pread(descriptor, text.data(), text.size(), 0);
  text.resize(length > 0 ? static_cast<std::size_t>(length) : 0);
  MachineLock::Holder holder;
  std::stringstream lines(text);
  lines >> holder.pid >> holder.since_ns >> std::ws;
  std::getline(lines, holder.command);
  return holder;
}

std::int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

struct CpuTicks {
  double busy = 0, total = 0;
  double own_seconds = 0;
};

CpuTicks read_ticks() {
  std::ifstream stat("/proc/stat");
  std::string label;
  stat >> label;
  CpuTicks now;
  double ticks = 0;
  for (int field = 0; field < 8 && stat >> ticks; ++field) {
    now.total += ticks;
    const bool idle = field == 3 || field == 4;  // idle, iowait
    if (!idle) now.busy += ticks;
  }
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  };
  now.own_seconds = seconds(usage.ru_utime) + seconds(usage.ru_stime);
  return now;
}

}  // namespace

std::string MachineLock::default_path() {
  if (const char* chosen = std::getenv("ASSAY_LOCK"); chosen != nullptr && *chosen != '\0') return chosen;
  std::vector<std::string> folders = {"/run/lock"};
  if (const char* own = std::getenv("XDG_RUNTIME_DIR"); own != nullptr && *own != '\0') folders.emplace_back(own);
  for (const std::string& folder : folders)
    if (access(folder.c_str(), W_OK | X_OK) == 0) return folder + "/assay.lock";
  return "/tmp/assay.lock";
}

std::optional<MachineLock> MachineLock::try_acquire(std::string_view command, const std::string& path) {
  MachineLock lock(open_lock(path));
  if (lock.descriptor_ < 0) refuse_path(path, errno);
  if (flock(lock.descriptor_, LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) return std::nullopt;
    refuse_path(path, errno);
  }
  const std::string text = fmt::format("{} {} {}\n", getpid(), now_ns(), command);
  // A file this user may not write still locks; the next one then only learns that it is held.
  if (ftruncate(lock.descriptor_, 0) == 0 && pwrite(lock.descriptor_, text.data(), text.size(), 0) < 0)
    refuse_path(path, errno);
  return lock;
}

std::optional<MachineLock::Holder> MachineLock::holder(const std::string& path) {
  const MachineLock probe(open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (probe.descriptor_ < 0) return std::nullopt;
  // A shared lock, so that two who only ask do not look like holders to each other.
  if (flock(probe.descriptor_, LOCK_SH | LOCK_NB) == 0) return std::nullopt;
  return read_holder(probe.descriptor_);
}

MachineLock MachineLock::acquire(std::string_view command, const std::string& path) {
  std::optional<Holder> found;
  // Free after all: it was released, or someone who only asked held it for an instant.
  for (int attempt = 0; attempt < 3 && !found; ++attempt) {
    if (auto lock = try_acquire(command, path)) return std::move(*lock);
    found = holder(path);
  }
  const Holder other = found.value_or(Holder{});
  const std::string who = other.pid == 0 ? "another process" : fmt::format("process {} ({})", other.pid, other.command);
  throw UserError(fmt::format(
      "{}: {} is timing on this machine and two runs disturb each other; wait for it, or stop it with kill {}", path,
      who, other.pid == 0 ? std::string("PID") : std::to_string(other.pid)));
}

MachineLock::MachineLock(MachineLock&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}

MachineLock& MachineLock::operator=(MachineLock&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  return *this;
}

MachineLock::~MachineLock() {
  if (descriptor_ >= 0) close(descriptor_);  // the last descriptor releases the flock
}

double load_per_core(std::chrono::milliseconds window) {
  const CpuTicks before = read_ticks();
  std::this_thread::sleep_for(window);
  const CpuTicks after = read_ticks();
  const double total = after.total - before.total;
  if (total <= 0) return 0;
  const auto per_second = static_cast<double>(sysconf(_SC_CLK_TCK));
  const double own = (after.own_seconds - before.own_seconds) * per_second;
  return std::max(0.0, (after.busy - before.busy - own) / total);
}

}  // namespace assay::harness
