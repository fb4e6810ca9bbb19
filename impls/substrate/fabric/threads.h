#pragma once
// The `threads` fabric: real data in one process, one OS thread per rank that sleeps while it waits. The threads live
// as long as the fabric, so that a timed run does not create them. A message is one memory copy, made by whichever half
// comes second. A fabric whose ranks are threads too but whose memory is elsewhere (nccl) replaces the copy.
#include <chrono>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "impls/substrate/fabric/fabric.h"
#include "impls/substrate/fabric/rank.h"

namespace assay::substrate {

class ThreadsFabric : public Fabric {
 public:
  explicit ThreadsFabric(int ranks);
  ~ThreadsFabric() override;

  std::string_view name() const override { return "threads"; }
  bool real() const override { return true; }
  int size() const override { return static_cast<int>(seats_.size()); }
  RunReport run(const Program& program, const TimelineOptions& timeline = {}) override;

 protected:
  // -- how a message gets from one rank to another, for fabrics that derive from this
  // Under way since `deliver`; awaited by both ranks, each on its own thread.
  class Delivery {
   public:
    Delivery() = default;
    virtual ~Delivery() = default;
    Delivery(const Delivery&) = delete;
    Delivery& operator=(const Delivery&) = delete;
    // Until `rank` may use its buffer again; returns how long the message took there.
    virtual Picoseconds wait(int rank) = 0;
  };
  // What has to have happened on a rank before its half may begin; asked for when the half is posted, on its thread.
  using Readiness = std::shared_ptr<void>;
  virtual Readiness readiness(int /*rank*/) { return nullptr; }
  // Moves bytes between matched halves: now (null), or from now on.
  virtual std::shared_ptr<Delivery> deliver(int from, const Half& source, const Readiness& of_source, int to,
                                            const Half& target, const Readiness& of_target);
  // Around a rank's program, on its thread; leave() waits for what the program has left under way.
  virtual void enter(int /*rank*/) {}
  virtual void leave(int /*rank*/) {}
  // Ends the ranks' threads. Destructors of deriving fabrics call it first.
  void stop();

  OpId post(Rank& rank, const Half& half) override;
  bool settle(Rank& rank, OpId first, OpId second) override;
  void wait(Rank& rank, OpId first, OpId second, std::coroutine_handle<> continuation) override;
  Span retire(Rank& rank, OpId op) override;
  void abandon(Rank& rank, OpId op) noexcept override;
  Picoseconds begin_work(Rank& rank, Engine engine, const OpWork& work) override;
  void wait_until(Rank& rank, Picoseconds time, std::coroutine_handle<> continuation) override;
  Picoseconds now(const Rank& rank) const override;

 private:
  // under_way: of no concern to the peer's program any more, but `delivery` has not been waited for.
  enum class OpState : std::uint8_t { free, posted, copying, under_way, done };
  struct Op {
    Half half;
    int rank = 0;
    OpState state = OpState::free;
    Span span;
    Readiness ready;
    std::shared_ptr<Delivery> delivery;
  };
  struct Channel {  // of one ordered pair of ranks; at most one of the two holds anything
    std::deque<OpId> sends, receives;
  };
  struct Seat {
    Seat(Fabric& fabric, int id) : rank(fabric, id) {}
    Rank rank;
    std::condition_variable wake;
    bool blocked = false;
    OpId first = kNoOp, second = kNoOp;  // what it is blocked on
    std::exception_ptr error;
    std::thread thread;
  };

  void work(Seat& seat);
  void run_program(Seat& seat);
  bool done(OpId op) const { return op == kNoOp || ops_[op].state >= OpState::under_way; }
  void mark_done(OpId op, const Span& span, const std::shared_ptr<Delivery>& delivery);
  void await_delivery(int rank, OpId op);
  void check_deadlock();
  void abort();
  OpId take_op(int rank, const Half& half);
  void drop_op(OpId op);

  // Guards everything below; copies run outside it.
  mutable std::mutex mutex_;
  std::condition_variable idle_;
  std::deque<Seat> seats_;
  std::vector<Channel> channels_;  // [from * ranks + to]
  std::deque<Op> ops_;             // stable addresses
  std::vector<OpId> free_ops_;
  const Program* program_ = nullptr;
  std::uint64_t generation_ = 0;
  int running_ = 0, blocked_ = 0;
  bool aborted_ = false, stopping_ = false;
  std::string deadlock_;
  std::chrono::steady_clock::time_point epoch_;
  TimelineOptions timeline_;
};

}  // namespace assay::substrate
