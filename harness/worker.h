#pragma once
// The two ends of a worker: the loop that runs inside the process, and the handle the runner holds.
#include <sys/types.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "harness/ensemble.h"
#include "harness/job.h"
#include "harness/launcher.h"

namespace assay::harness {

// Reads one job a line from standard input until it ends and answers each with one line. What a technique prints on
// standard output goes to standard error instead.
// With an `ensemble` the first process reads and answers, all of them run.
int worker_loop(Ensemble* ensemble = nullptr);

// The process is to end with the one that started it, which may be killed. For main() of a program of workers.
void end_with_parent();

struct WorkerLimits {
  double timeout_seconds = 300;   // of one job; a hang becomes a failed row
  std::int64_t memory_bytes = 0;  // resident set, polled (RLIMIT_AS would break CUDA and sanitizers); 0: no limit
};

// A child process running `assay worker`, or a launcher that runs one on every rank. Any failure of the process (crash,
// hang, memory, a GPU that faulted) ends it; the caller starts a fresh one.
class WorkerProcess {
 public:
  // `program` is the executable to start as `program worker`.
  explicit WorkerProcess(const std::string& program) : WorkerProcess(WorkerCommand{.arguments = {program, "worker"}}) {}
  explicit WorkerProcess(const WorkerCommand& command);
  ~WorkerProcess();
  WorkerProcess(const WorkerProcess&) = delete;
  WorkerProcess& operator=(const WorkerProcess&) = delete;

  // Runs one job to its end. A dead worker yields a failed reply with the signal or exit code and the tail of what it
  // wrote to standard error. `stop` is polled: when it answers true the worker is killed and nothing comes back.
  std::optional<Reply> run(const Job& job, const WorkerLimits& limits,
                           const std::function<void(std::size_t, double)>& progress, const std::function<bool()>& stop);
  bool alive() const { return pid_ > 0; }
  pid_t pid() const { return pid_; }

 private:
  void kill_and_reap();
  Reply dead(const std::string& what);
  std::string end_of_job(int code) const;
  void drain_stderr();

  bool starts_ranks_ = false;
  pid_t pid_ = -1;
  int to_ = -1;
  int from_ = -1;
  int errors_ = -1;
  std::string pending_;
  std::string stderr_tail_;
};

// The running executable, for starting workers of the same build.
std::string own_program();

}  // namespace assay::harness
