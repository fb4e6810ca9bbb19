#pragma once
// One timed run at a time on a machine, and how busy the machine is before one starts.
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace assay::harness {

// An advisory lock (flock) on one file of the machine, shared by all its users. The kernel releases it when the holder
// dies, so that there are no stale locks. Containers with a /run of their own do not see each other's: the load check
// does.
class MachineLock {
 public:
  struct Holder {
    int pid = 0;  // 0: it has not written itself down yet
    std::string command;
    std::int64_t since_ns = 0;  // Unix time
  };

  // /run/lock/assay.lock, else $XDG_RUNTIME_DIR/assay.lock, else /tmp/assay.lock: the first folder that exists and may
  // be written. $ASSAY_LOCK overrides.
  static std::string default_path();

  // Takes the lock and writes `command` down as its holder; nullopt when another process holds it. Throws UserError
  // where the file cannot be opened.
  static std::optional<MachineLock> try_acquire(std::string_view command, const std::string& path = default_path());
  // Who holds it; nullopt when it is free.
  static std::optional<Holder> holder(const std::string& path = default_path());
  // try_acquire, or a UserError that says who holds it and what to do.
  static MachineLock acquire(std::string_view command, const std::string& path = default_path());

  MachineLock(MachineLock&& other) noexcept;
  MachineLock& operator=(MachineLock&& other) noexcept;
  MachineLock(const MachineLock&) = delete;
  MachineLock& operator=(const MachineLock&) = delete;
  ~MachineLock();

 private:
  explicit MachineLock(int descriptor) : descriptor_(descriptor) {}
  int descriptor_ = -1;
};

// CPU time that other processes use now, over `window`, as a share of all cores: 0 idle, 1 all busy. Not the load
// average: that one still shows, a minute later, the build that came before the run. 0 where /proc/stat cannot be read.
double load_per_core(std::chrono::milliseconds window = std::chrono::milliseconds(250));

}  // namespace assay::harness
