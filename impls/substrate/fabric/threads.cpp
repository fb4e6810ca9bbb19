#include "impls/substrate/fabric/threads.h"

#include <algorithm>
#include <cstring>

#include "impls/substrate/fabric/wait_report.h"

namespace assay::substrate {

namespace {
// Thrown into ranks that wait when another rank failed; never leaves the fabric.
struct Aborted {};
}  // namespace

ThreadsFabric::ThreadsFabric(int ranks) {
  if (ranks < 1) throw std::invalid_argument("a fabric needs at least one rank");
  channels_.resize(static_cast<std::size_t>(ranks) * static_cast<std::size_t>(ranks));
  for (int r = 0; r < ranks; ++r) seats_.emplace_back(*this, r);
  for (Seat& seat : seats_) seat.thread = std::thread([this, &seat] { work(seat); });
}

ThreadsFabric::~ThreadsFabric() { stop(); }

void ThreadsFabric::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    for (Seat& seat : seats_) seat.wake.notify_one();
  }
  for (Seat& seat : seats_)
    if (seat.thread.joinable()) seat.thread.join();
}

RunReport ThreadsFabric::run(const Program& program, const TimelineOptions& timeline) {
  std::unique_lock lock(mutex_);
  program_ = &program;
  timeline_ = timeline;
  aborted_ = false;
  deadlock_.clear();
  blocked_ = 0;
  running_ = size();
  epoch_ = std::chrono::steady_clock::now();
  ++generation_;
  for (Seat& seat : seats_) seat.wake.notify_one();
  idle_.wait(lock, [this] { return running_ == 0; });
  program_ = nullptr;

  RunReport report;
  std::exception_ptr error;
  for (Seat& seat : seats_) {
    report.ranks.push_back(seat.rank.take_report(report.intervals));
    if (seat.error && !error) error = seat.error;
    seat.error = nullptr;
  }
  if (error) std::rethrow_exception(error);
  if (!deadlock_.empty()) throw Deadlock(deadlock_);
  return report;
}

void ThreadsFabric::work(Seat& seat) {
  std::uint64_t seen = 0;
  std::unique_lock lock(mutex_);
  while (true) {
    seat.wake.wait(lock, [&] { return stopping_ || generation_ != seen; });
    if (stopping_) return;
    seen = generation_;
    const std::size_t limit = seat.rank.id() < timeline_.ranks ? timeline_.per_rank : 0;
    lock.unlock();
    seat.rank.begin(nullptr, limit);
    std::exception_ptr error;
    bool failed = false;
    try {
      run_program(seat);
    } catch (const Aborted&) {
      failed = true;
    } catch (...) {  // carried to the caller of run()
      error = std::current_exception();
      failed = true;
    }
    seat.rank.finish_at(now(seat.rank));
    lock.lock();
    seat.error = error;
    if (failed) abort();
    if (--running_ == 0) {
      idle_.notify_one();
    } else {
      check_deadlock();
    }
  }
}

void ThreadsFabric::run_program(Seat& seat) {
  // Every await completes on this thread, so one resume runs the program to its end.
  enter(seat.rank.id());
  const Task<> task = (*program_)(seat.rank);
  task.handle().resume();
  task.result();
  leave(seat.rank.id());
}

std::shared_ptr<ThreadsFabric::Delivery> ThreadsFabric::deliver(int, const Half& source, const Readiness&, int,
                                                                const Half& target, const Readiness&) {
  if (source.bytes > 0) std::memcpy(target.data, source.data, static_cast<std::size_t>(source.bytes));
  return nullptr;
}

void ThreadsFabric::abort() {
  aborted_ = true;
  for (Seat& seat : seats_) {
    if (seat.blocked) --blocked_;
    seat.blocked = false;
    seat.wake.notify_one();
  }
}

void ThreadsFabric::check_deadlock() {
  if (aborted_ || running_ == 0 || blocked_ < running_) return;
  deadlock_ = "deadlock, no message is under way:";
  for (const Seat& seat : seats_) {
    if (!seat.blocked) continue;
    for (const OpId op : {seat.first, seat.second})
      if (!done(op)) deadlock_ += "\n  " + describe_wait(seat.rank.id(), ops_[op].half);
  }
  abort();
}

OpId ThreadsFabric::take_op(int rank, const Half& half) {
  OpId op = 0;
  if (free_ops_.empty()) {
    op = static_cast<OpId>(ops_.size());
    ops_.emplace_back();
  } else {
    op = free_ops_.back();
    free_ops_.pop_back();
  }
  ops_[op] = {.half = half, .rank = rank, .state = OpState::posted, .span = {}, .ready = nullptr, .delivery = nullptr};
  return op;
}

void ThreadsFabric::drop_op(OpId op) {
  ops_[op].state = OpState::free;
  ops_[op].ready.reset();
  ops_[op].delivery.reset();
  free_ops_.push_back(op);
}

void ThreadsFabric::mark_done(OpId op, const Span& span, const std::shared_ptr<Delivery>& delivery) {
  Op& each = ops_[op];
  each.state = delivery ? OpState::under_way : OpState::done;
  each.span = span;
  each.delivery = delivery;
  Seat& seat = seats_[static_cast<std::size_t>(each.rank)];
  if (seat.blocked && done(seat.first) && done(seat.second)) {
    seat.blocked = false;
    --blocked_;
  }
  seat.wake.notify_one();
}

OpId ThreadsFabric::post(Rank& rank, const Half& half) {
  const Readiness ready = readiness(rank.id());
  std::unique_lock lock(mutex_);
  if (aborted_) throw Aborted{};
  const int from = half.is_send ? rank.id() : half.peer;
  const int to = half.is_send ? half.peer : rank.id();
  Channel& channel = channels_[static_cast<std::size_t>(from) * seats_.size() + static_cast<std::size_t>(to)];
  auto& others = half.is_send ? channel.receives : channel.sends;
  if (others.empty()) {
    const OpId op = take_op(rank.id(), half);
    ops_[op].ready = ready;
    (half.is_send ? channel.sends : channel.receives).push_back(op);
    return op;
  }
  const OpId partner = others.front();
  const Half other = ops_[partner].half;
  if (half.is_send) {
    check_match(from, half, to, other);
  } else {
    check_match(from, other, to, half);
  }
  others.pop_front();
  const OpId op = take_op(rank.id(), half);
  ops_[op].state = ops_[partner].state = OpState::copying;
  const Readiness other_ready = std::move(ops_[partner].ready);
  lock.unlock();

  const Picoseconds start = now(rank);
  std::shared_ptr<Delivery> delivery;
  try {
    delivery = half.is_send ? deliver(from, half, ready, to, other, other_ready)
                            : deliver(from, other, other_ready, to, half, ready);
  } catch (...) {  // the partner must not wait for a copy that nobody makes
    lock.lock();
    mark_done(op, {}, nullptr);
    mark_done(partner, {}, nullptr);
    drop_op(op);
    throw;
  }
  const Span span{start, now(rank)};

  lock.lock();
  mark_done(op, span, delivery);
  mark_done(partner, span, delivery);
  return op;
}

void ThreadsFabric::await_delivery(int rank, OpId op) {
  if (op == kNoOp) return;
  std::unique_lock lock(mutex_);
  const std::shared_ptr<Delivery> delivery = ops_[op].delivery;
  if (!delivery) return;
  lock.unlock();
  const Picoseconds took = delivery->wait(rank);
  lock.lock();
  ops_[op].span.end = ops_[op].span.start + took;
}

bool ThreadsFabric::settle(Rank& rank, OpId first, OpId second) {
  std::unique_lock lock(mutex_);
  Seat& seat = seats_[static_cast<std::size_t>(rank.id())];
  if (!(done(first) && done(second))) {
    if (aborted_) throw Aborted{};
    seat.first = first;
    seat.second = second;
    seat.blocked = true;
    ++blocked_;
    check_deadlock();
    seat.wake.wait(lock, [&] { return aborted_ || !seat.blocked; });
    if (!(done(first) && done(second))) throw Aborted{};
  }
  lock.unlock();
  await_delivery(rank.id(), first);
  await_delivery(rank.id(), second);
  return true;
}

void ThreadsFabric::wait(Rank&, OpId, OpId, std::coroutine_handle<>) {
  throw std::logic_error("settle blocks on threads; nothing is left to wait for");
}

Span ThreadsFabric::retire(Rank&, OpId op) {
  const std::lock_guard lock(mutex_);
  const Span span = ops_[op].span;
  drop_op(op);
  return span;
}

void ThreadsFabric::abandon(Rank& rank, OpId op) noexcept {
  std::unique_lock lock(mutex_);
  Op& each = ops_[op];
  Seat& seat = seats_[static_cast<std::size_t>(rank.id())];
  // A copy into or out of our memory ends first.
  seat.wake.wait(lock, [&] { return each.state != OpState::copying; });
  if (each.state == OpState::posted) {
    const int from = each.half.is_send ? rank.id() : each.half.peer;
    const int to = each.half.is_send ? each.half.peer : rank.id();
    Channel& channel = channels_[static_cast<std::size_t>(from) * seats_.size() + static_cast<std::size_t>(to)];
    auto& queue = each.half.is_send ? channel.sends : channel.receives;
    queue.erase(std::find(queue.begin(), queue.end(), op));
  }
  if (const std::shared_ptr<Delivery> delivery = each.delivery) {
    lock.unlock();
    try {
      delivery->wait(rank.id());
    } catch (const std::exception&) {  // a fault of the device, which ended the run: the rank that met it first reports
    }
    lock.lock();
  }
  drop_op(op);
}

Picoseconds ThreadsFabric::begin_work(Rank&, Engine, const OpWork&) { return 0; }

void ThreadsFabric::wait_until(Rank&, Picoseconds, std::coroutine_handle<>) {
  throw std::logic_error("a body runs before its await returns on threads");
}

Picoseconds ThreadsFabric::now(const Rank&) const {
  const auto elapsed = std::chrono::steady_clock::now() - epoch_;
  return std::chrono::duration_cast<std::chrono::nanoseconds>(elapsed).count() * 1000;
}

}  // namespace assay::substrate
