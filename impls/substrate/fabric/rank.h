#pragma once
// What a program over ranks sees of the machine. A technique is one coroutine per rank against this class; the fabric
// decides whether bodies run on real tensors or a clock advances by a model.
//
//   Task<> ring(Rank& rank, const Plan& plan, Buffer held) {
//     for (int hop = 0; hop < rank.size(); ++hop) {
//       auto next = rank.shift(held, +1);                                  // starts both halves; `held` is borrowed
//       co_await rank.compute(plan.work(hop), [&] { use(held); });
//       held = co_await next;                                              // completes the send AND the receive
//     }
//   }
//
// Sizes come from a plan made before the program; data never decide them. All calls belong to the rank's own coroutine.
#include <span>
#include <type_traits>

#include "impls/substrate/fabric/buffer.h"
#include "impls/substrate/fabric/fabric.h"

namespace assay::substrate {

// What a receive expects. bytes < 0: as many as the send half of a shift carries.
struct Expect {
  std::int64_t bytes = -1;
  Tag tag = {};
  const char* name = "received";  // of the landing buffer in the ledger
  Memory category = Memory::communication;
};

class Group;

// Message halves under way. Awaiting completes them; destroying it earlier withdraws them.
class PendingMessage {
 public:
  PendingMessage(PendingMessage&& other) noexcept;
  PendingMessage& operator=(PendingMessage&&) = delete;
  ~PendingMessage() {
    if (rank_ != nullptr) abandon();
  }

  bool await_ready();
  void await_suspend(std::coroutine_handle<> continuation);

 protected:
  friend class Rank;
  explicit PendingMessage(Rank* rank) : rank_(rank) {}
  void complete();
  void abandon() noexcept;

  Rank* rank_;
  OpId send_ = kNoOp, receive_ = kNoOp;
  std::uint32_t sent_entry_ = 0, received_entry_ = 0;
  std::shared_ptr<Storage> outgoing_;  // borrowed; null where borrows are not counted
  Buffer landing_;
  std::int64_t sent_bytes_ = 0;
  Picoseconds posted_ = 0;  // where a timeline is kept
  Picoseconds waiting_since_ = 0;
};

class [[nodiscard]] Send : public PendingMessage {
 public:
  using PendingMessage::PendingMessage;
  void await_resume() { complete(); }
};

class [[nodiscard]] Transfer : public PendingMessage {
 public:
  using PendingMessage::PendingMessage;
  Buffer await_resume() {
    complete();
    return std::move(landing_);
  }
};

template <class Body>
class [[nodiscard]] Computation;

class Rank {
 public:
  Rank(Fabric& fabric, int id) : fabric_(&fabric), id_(id) {}
  Rank(const Rank&) = delete;
  Rank& operator=(const Rank&) = delete;

  int id() const { return id_; }
  int size() const { return fabric_->size(); }
  bool real() const { return fabric_->real(); }
  // Where this rank's buffers lie; null: in host memory.
  std::shared_ptr<BufferPlace> place() const { return fabric_->place(id_); }
  Picoseconds now() const { return clock_ != nullptr ? *clock_ : fabric_->now(*this); }

  // Uninitialised memory, charged to the ledger under `name` (a string literal) until the buffer goes.
  Buffer allocate(const char* name, Memory category, std::int64_t bytes);
  // Memory of the caller, charged alike; a virtual fabric ignores `data` and keeps `bytes`.
  Buffer adopt(const char* name, Memory category, std::int64_t bytes, std::byte* data);
  // A part of `whole`, which must outlive it, as a buffer of its own to send and to write; not charged again. Borrows
  // of the part are not those of the whole.
  Buffer slice(const Buffer& whole, std::int64_t offset, std::int64_t bytes);

  // Runs `body` on real data; on a virtual fabric the engine is busy for as long as the device model says.
  template <class Body>
  Computation<Body> compute(const OpWork& work, Body body) {
    return Computation<Body>(*this, Engine::compute, work, std::move(body));
  }
  template <class Body>
  Computation<Body> copy(std::int64_t bytes, Body body) {
    const OpWork work{.kind = OpKind::copy, .bytes = 2.0 * static_cast<double>(bytes)};  // read and written
    return Computation<Body>(*this, Engine::copy, work, std::move(body));
  }

  // Sends `out` to rank id + offset and receives from rank id - offset (both modulo size); `out` is borrowed until the
  // result is awaited. A ring of one rank sends to itself.
  Transfer shift(const Buffer& out, int offset, const Expect& expect = {},
                 std::source_location where = std::source_location::current());
  Send send(const Buffer& out, int peer, Tag tag = {}, std::source_location where = std::source_location::current());
  Transfer receive(int peer, const Expect& expect, std::source_location where = std::source_location::current());
  // Both at once: one wait for two halves. With `into`, what is received lands in that memory, which comes back.
  Transfer exchange(const Buffer& out, int to, int from, const Expect& expect,
                    std::source_location where = std::source_location::current());
  Transfer exchange(const Buffer& out, int to, int from, Buffer into, Tag tag,
                    std::source_location where = std::source_location::current());
  Transfer receive(int peer, Buffer into, Tag tag, std::source_location where = std::source_location::current());

  GroupEvents* group_events() const { return fabric_->group_events(); }

  const MemoryLedger& memory() const { return report_.memory; }
  const MessageLog& messages() const { return report_.messages; }

  // -- for fabrics
  void begin(const Picoseconds* clock, std::size_t timeline_limit);
  RankReport take_report(std::vector<Interval>& intervals);
  void record(Lane lane, const char* name, Picoseconds start, Picoseconds end, int peer = -1) {
    record({.rank = id_, .lane = lane, .name = name, .start = start, .end = end, .peer = peer});
  }
  void record(const Interval& each) {
    if (intervals_.size() < timeline_limit_) intervals_.push_back(each);
  }
  void account_work(Engine engine, const char* name, Picoseconds start, Picoseconds end) {
    report_.busy[static_cast<std::size_t>(engine)] += end - start;
    record(engine == Engine::compute ? Lane::compute : Lane::copy, name, start, end);
  }
  // Adds what its part of a group's program counted, peers by member, which began at `start` and which the rank has
  // waited for since `since`.
  void count_group(const Group& group, const RankReport& counted, std::span<const LedgerEntry> held, const char* name,
                   Picoseconds start, Picoseconds since);
  void finish_at(Picoseconds time) { report_.finish = time; }

 private:
  friend class Buffer;
  friend class PendingMessage;
  template <class Body>
  friend class Computation;

  void post_send(PendingMessage& pending, const Buffer& out, int peer, Tag tag, std::source_location where);
  // Into `pending.landing_`.
  void post_receive(PendingMessage& pending, int peer, Tag tag, std::source_location where);
  std::shared_ptr<Storage> make_storage(std::int64_t bytes);
  void check_peer(int peer, std::source_location where) const;

  Fabric* fabric_;
  int id_;
  const Picoseconds* clock_ = nullptr;  // of a virtual fabric
  RankReport report_;
  std::vector<Interval> intervals_;
  std::size_t timeline_limit_ = 0;
  std::vector<std::shared_ptr<Storage>> withdrawn_;  // of sends nobody awaits; a peer may read until the run ends
  std::vector<std::shared_ptr<Storage>> spare_;      // freed storage, so that each hop does not map fresh pages
};

template <class Body>
class [[nodiscard]] Computation {
 public:
  Computation(Rank& rank, Engine engine, const OpWork& work, Body body)
      : rank_(&rank),
        work_(work.kind),
        engine_(engine),
        time_(rank.fabric_->begin_work(rank, engine, work)),
        body_(std::move(body)) {}
  Computation(const Computation&) = delete;
  Computation& operator=(const Computation&) = delete;

  bool await_ready() {
    if (!rank_->real()) return time_ <= rank_->now();
    const Picoseconds start = rank_->now();
    body_();
    rank_->account_work(engine_, to_string(work_).data(), start, rank_->now());
    return true;
  }
  void await_suspend(std::coroutine_handle<> continuation) { rank_->fabric_->wait_until(*rank_, time_, continuation); }
  void await_resume() const noexcept {}

 private:
  Rank* rank_;
  OpKind work_;
  Engine engine_;
  Picoseconds time_;
  Body body_;
};

}  // namespace assay::substrate
