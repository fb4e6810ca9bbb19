#pragma once
// The `mpi` fabric: real data, one process a rank, started by the runner through mpirun or srun. Halves are
// non-blocking MPI messages on one communicator with any tag accepted, so that those of a pair match in issue order as
// on every fabric; tag and size are checked when a message has arrived, by the receiver.
//
// - Open MPI moves a large message only while both sides call it, so a transfer overlaps with a body as far as the
//   library does that by itself. Waiting yields the core: more ranks than cores make progress.
// - MPI does not say when the other half was posted: all waiting counts as transfer, also for a late peer.
// - A run ends for all at once, with one reduction of one integer, which belongs to its time. There a failure of one
//   rank becomes the failure of all; the communicators are made anew and the fabric stays usable.
// - A deadlock is found by time: every rank has ended or stood still for `stall_seconds`.
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "impls/substrate/fabric/process_fabric.h"
#include "impls/substrate/fabric/rank.h"

namespace assay::substrate {

class MpiFabric final : public ProcessFabric {
 public:
  // Initialises MPI in this process, which must be one of a launched job; once in its life. The end finalises it.
  explicit MpiFabric(double stall_seconds = 20);
  ~MpiFabric() override;

  std::string_view name() const override { return "mpi"; }
  bool real() const override { return true; }
  int size() const override { return size_; }
  const char* link(int, int) const override { return "MPI"; }
  int rank() const override { return rank_.id(); }
  std::string description() const override;

  RunReport run(const Program& program, const TimelineOptions& timeline = {}) override;
  RankReport run_here(const Program& program) override;
  void bring_home(int rank, std::span<std::byte> bytes) override;

  NativeCollectives& native() override;

  void broadcast(std::string& text) override;
  void barrier() override;
  bool failed_together() const override { return failed_together_; }

 protected:
  OpId post(Rank& rank, const Half& half) override;
  bool settle(Rank& rank, OpId first, OpId second) override;
  void wait(Rank& rank, OpId first, OpId second, std::coroutine_handle<> continuation) override;
  Span retire(Rank& rank, OpId op) override;
  void abandon(Rank& rank, OpId op) noexcept override;
  Picoseconds begin_work(Rank& rank, Engine engine, const OpWork& work) override;
  void wait_until(Rank& rank, Picoseconds time, std::coroutine_handle<> continuation) override;
  Picoseconds now(const Rank& rank) const override;

 private:
  struct Links;  // communicators and operations: mpi.h stays out of headers
  class Native;  // the library's collectives
  struct Failure {
    int kind = 0;  // 0: none of its own
    std::string text;
  };

  static int initialised_rank();
  void run_program(const Program& program);
  void agree();
  [[noreturn]] void fail_together();
  void renew_links();
  bool finished(OpId op);
  void check_arrived(const Half& half, int tag, std::int64_t part, int bytes) const;
  template <class Done, class Describe>
  void stand(Done done, Describe describe, bool heeding);
  // A call of the library that all make; ends with the failure of another rank.
  void stand_for(const std::function<bool()>& done, const char* call);
  void heed();
  void tell_stalled(const std::string& text);
  void tell_going();
  void look_for_deadlock();
  void abort_others();
  void exchange(const std::string& mine, std::vector<std::string>& all);
  const char* kept(const std::string& name);

  Rank rank_;
  int size_ = 1;
  double stall_seconds_;
  std::unique_ptr<Links> links_;
  std::unique_ptr<NativeCollectives> native_;
  std::chrono::steady_clock::time_point epoch_;
  bool aborted_ = false;          // another rank failed in this run
  bool failed_together_ = false;  // the last failure was agreed on
  Failure failure_;
  std::exception_ptr error_;
  std::vector<std::optional<std::string>> stalled_;  // rank 0: of those that stand still, what they wait for
  std::set<std::string> names_;                      // of gathered reports
};

}  // namespace assay::substrate
