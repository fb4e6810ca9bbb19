#include "harness/worker.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "datasets/user_error.h"
#include "harness/case_state.h"
#include "harness/clock.h"

namespace assay::harness {
namespace {

constexpr std::size_t stderr_tail_bytes = 4096;
constexpr int poll_ms = 50;

void write_all(int file, std::string_view text) {
  while (!text.empty()) {
    const ssize_t wrote = write(file, text.data(), text.size());
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) throw std::runtime_error(std::string("writing to a worker's pipe: ") + std::strerror(errno));
    text.remove_prefix(static_cast<std::size_t>(wrote));
  }
}

void pin_to(const std::vector<int>& cpus) {
  if (cpus.empty()) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int cpu : cpus) CPU_SET(static_cast<std::size_t>(cpu), &set);
  if (sched_setaffinity(0, sizeof set, &set) != 0)
    throw UserError(fmt::format("pinning: cannot use the CPUs asked for: {}", std::strerror(errno)));
}

// Of a process and all below it.
std::int64_t resident_bytes(pid_t pid) {
  std::ifstream statm(fmt::format("/proc/{}/statm", pid));
  std::int64_t total = 0;
  std::int64_t resident = 0;
  statm >> total >> resident;
  std::int64_t bytes = resident * sysconf(_SC_PAGESIZE);
  std::ifstream children(fmt::format("/proc/{0}/task/{0}/children", pid));
  for (pid_t child = 0; children >> child;) bytes += resident_bytes(child);
  return bytes;
}

// The child's environment: this one's, and `added` where it says nothing.
std::vector<std::string> environment_with(const std::vector<std::pair<std::string, std::string>>& added) {
  std::vector<std::string> all;
  for (char** each = environ; *each != nullptr; ++each) all.emplace_back(*each);
  for (const auto& [name, value] : added)
    if (std::getenv(name.c_str()) == nullptr) all.push_back(name + "=" + value);
  return all;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
  std::vector<char*> all;
  for (std::string& text : texts) all.push_back(text.data());
  all.push_back(nullptr);
  return all;
}

}  // namespace

void end_with_parent() { prctl(PR_SET_PDEATHSIG, SIGKILL); }

int worker_loop(Ensemble* ensemble) {
  end_with_parent();        // a worker must not outlive its runner and disturb the next run
  signal(SIGINT, SIG_IGN);  // Ctrl-C is the runner's to handle
  const bool conducts = ensemble == nullptr || ensemble->rank() == 0;
  const int replies = dup(STDOUT_FILENO);
  dup2(STDERR_FILENO, STDOUT_FILENO);
  // No line, no further job.
  const auto next_line = [&](std::string& line) {
    if (conducts && !std::getline(std::cin, line)) line.clear();
    if (ensemble != nullptr) ensemble->broadcast(line);
    return !line.empty();
  };
  std::string line;
  while (next_line(line)) {
    Reply reply;
    try {
      const Job job = job_from_json(line);
      pin_to(job.pin);
      const auto progress = [&](std::size_t samples, double half_width) {
        if (!job.report_progress) return;
        write_all(replies, fmt::format("{{\"progress\":[{},{}]}}\n", samples, half_width < 1e9 ? half_width : 1e9));
      };
      reply = run_job(job, progress, ensemble);
    } catch (const UserError& wrong) {
      reply.status = results_db::Status::failed;
      reply.user_error = true;
      reply.reason = wrong.what();
    } catch (const nlohmann::json::exception& wrong) {
      fmt::print(stderr, "assay worker: not a job: {}\n", wrong.what());
      return 2;
    } catch (const OutOfStep& lost) {
      // The others wait for this process; the launcher ends them with it.
      fmt::print(stderr, "assay: rank {} failed: {}\n", ensemble->rank(), lost.what());
      std::_Exit(1);
    }
    if (conducts) write_all(replies, to_json_line(reply) + "\n");
  }
  return 0;
}

WorkerProcess::WorkerProcess(const WorkerCommand& command) : starts_ranks_(command.starts_ranks) {
  std::vector<std::string> words = command.arguments;
  std::vector<std::string> variables = environment_with(command.environment);
  const std::vector<char*> argv = pointers(words);
  const std::vector<char*> envp = pointers(variables);
  std::array<int, 2> in{};
  std::array<int, 2> out{};
  std::array<int, 2> err{};
  if (pipe2(in.data(), O_CLOEXEC) != 0 || pipe2(out.data(), O_CLOEXEC) != 0 || pipe2(err.data(), O_CLOEXEC) != 0)
    throw std::runtime_error(std::string("pipe: ") + std::strerror(errno));
  pid_ = fork();
  if (pid_ < 0) throw std::runtime_error(std::string("fork: ") + std::strerror(errno));
  if (pid_ == 0) {
    dup2(in[0], STDIN_FILENO);
    dup2(out[1], STDOUT_FILENO);
    dup2(err[1], STDERR_FILENO);
    setpgid(0, 0);  // so that the terminal's Ctrl-C reaches the runner alone, and a kill reaches the whole group
    if (starts_ranks_) prctl(PR_SET_PDEATHSIG, SIGTERM);  // a launcher ends its ranks first; it knows nothing of us
    execve(argv[0], argv.data(), envp.data());
    _exit(127);
  }
  close(in[0]);
  close(out[1]);
  close(err[1]);
  to_ = in[1];
  from_ = out[0];
  errors_ = err[0];
  fcntl(errors_, F_SETFL, O_NONBLOCK);
  signal(SIGPIPE, SIG_IGN);  // a dead worker shows as a failed write
}

WorkerProcess::~WorkerProcess() {
  if (to_ >= 0) close(to_);
  if (pid_ > 0) {
    // End of input ends the loop; a worker that does not go in a second (a launcher: in ten) is killed.
    for (int waited = 0; waited < (starts_ranks_ ? 1000 : 100) && pid_ > 0; ++waited) {
      if (waitpid(pid_, nullptr, WNOHANG) == pid_) pid_ = -1;
      if (pid_ > 0) usleep(10000);
    }
    if (pid_ > 0) kill_and_reap();
  }
  if (from_ >= 0) close(from_);
  if (errors_ >= 0) close(errors_);
}

void WorkerProcess::kill_and_reap() {
  if (pid_ <= 0) return;
  if (starts_ranks_) {  // its ranks are in process groups of their own, on other machines even
    kill(pid_, SIGTERM);
    for (int waited = 0; waited < 300; ++waited) {
      if (waitpid(pid_, nullptr, WNOHANG) == pid_) {
        pid_ = -1;
        return;
      }
      usleep(10000);
    }
  }
  kill(-pid_, SIGKILL);
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
  pid_ = -1;
}

void WorkerProcess::drain_stderr() {
  std::array<char, 4096> buffer{};
  ssize_t got = 0;
  while ((got = read(errors_, buffer.data(), buffer.size())) > 0) {
    stderr_tail_.append(buffer.data(), static_cast<std::size_t>(got));
    if (stderr_tail_.size() > stderr_tail_bytes) stderr_tail_.erase(0, stderr_tail_.size() - stderr_tail_bytes);
  }
}

// What a launcher's end was about: our own line first, then what launchers say of the first process that failed.
std::string WorkerProcess::end_of_job(int code) const {
  const auto line_with = [&](std::string_view mark) -> std::string {
    const std::size_t at = stderr_tail_.find(mark);
    if (at == std::string::npos) return {};
    return stderr_tail_.substr(at, stderr_tail_.find('\n', at) - at);
  };
  if (std::string line = line_with("assay: rank "); !line.empty()) return line.substr(7);
  if (stderr_tail_.find("direct launched using \"srun\"") != std::string::npos)
    return "srun gave the ranks no PMIx, which Open MPI needs to find them: run with SLURM_MPI_TYPE unset or pmix "
           "(srun --mpi=list shows what this Slurm has), or with --launcher mpirun";
  for (const char* mark : {"process rank ", "srun: error: ", "Exit code: "})
    if (const std::string line = line_with(mark); !line.empty()) return "a rank died: " + line;
  // Open MPI passes a rank's signal on as shells do, and does not always get to name the rank.
  if (constexpr int signalled = 128; code > signalled)
    return fmt::format("a rank died: signal {}, the launcher does not say which rank", code - signalled);
  return fmt::format("the job ended with code {}", code);
}

Reply WorkerProcess::dead(const std::string& what) {
  kill_and_reap();
  drain_stderr();
  Reply reply;
  reply.status = results_db::Status::failed;
  reply.reason = what;
  reply.launch.status = results_db::Status::failed;
  reply.launch.reason = what;
  reply.launch.stderr_tail = stderr_tail_;
  reply.launch.descriptors_json = "{}";
  reply.gate.status = results_db::Status::failed;
  reply.gate.reason = what;
  return reply;
}

std::optional<Reply> WorkerProcess::run(const Job& job, const WorkerLimits& limits,
                                        const std::function<void(std::size_t, double)>& progress,
                                        const std::function<bool()>& stop) {
  stderr_tail_.clear();
  const double began = now_seconds();
  try {
    write_all(to_, to_json_line(job) + "\n");
  } catch (const std::runtime_error& broken) {
    return dead(broken.what());
  }
  std::array<char, 1 << 16> buffer{};
  while (true) {
    std::array<pollfd, 2> watched = {{{from_, POLLIN, 0}, {errors_, POLLIN, 0}}};
    poll(watched.data(), watched.size(), poll_ms);
    drain_stderr();
    if ((watched[0].revents & (POLLIN | POLLHUP)) != 0) {
      const ssize_t got = read(from_, buffer.data(), buffer.size());
      if (got <= 0) {
        int how = 0;
        const pid_t reaped = waitpid(pid_, &how, 0);
        if (reaped == pid_) pid_ = -1;
        if (reaped > 0 && WIFSIGNALED(how))
          return dead(fmt::format("crashed: signal {} ({})", WTERMSIG(how), strsignal(WTERMSIG(how))));
        const int code = reaped > 0 && WIFEXITED(how) ? WEXITSTATUS(how) : -1;
        drain_stderr();
        if (starts_ranks_ && code != 127) return dead(end_of_job(code));
        return dead(code == 127 ? "the worker could not be started"
                                : fmt::format("the worker exited with code {}", code));
      }
      pending_.append(buffer.data(), static_cast<std::size_t>(got));
      std::size_t end = 0;
      while ((end = pending_.find('\n')) != std::string::npos) {
        const std::string line = pending_.substr(0, end);
        pending_.erase(0, end + 1);
        if (line.rfind("{\"progress\":[", 0) == 0) {
          const auto pair = nlohmann::json::parse(line).at("progress");
          if (progress) progress(pair.at(0).get<std::size_t>(), pair.at(1).get<double>());
          continue;
        }
        Reply reply = reply_from_json(line);
        if (reply.status == results_db::Status::failed) {
          drain_stderr();
          reply.launch.stderr_tail = stderr_tail_;
        }
        if (reply.retire) kill_and_reap();
        return reply;
      }
    }
    if (stop && stop()) {
      kill_and_reap();
      return std::nullopt;
    }
    if (now_seconds() - began > limits.timeout_seconds)
      return dead(fmt::format("hung: no answer after {:g} s", limits.timeout_seconds));
    if (limits.memory_bytes > 0) {
      const std::int64_t used = resident_bytes(pid_);
      if (used > limits.memory_bytes)
        return dead(fmt::format("memory: {:.1f} GiB resident, the limit is {:.1f} GiB",
                                static_cast<double>(used) / (1U << 30),
                                static_cast<double>(limits.memory_bytes) / (1U << 30)));
    }
  }
}

std::string own_program() {
  std::array<char, 4096> path{};
  const ssize_t length = readlink("/proc/self/exe", path.data(), path.size() - 1);
  if (length <= 0) throw std::runtime_error("cannot read /proc/self/exe");
  return {path.data(), static_cast<std::size_t>(length)};
}

}  // namespace assay::harness
