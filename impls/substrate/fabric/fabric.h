#pragma once
// A fabric carries a program over ranks. This is the waist between programs, written once against Rank, and what
// executes them: `threads` on real data, `cluster` in virtual time; emulated, mpi and nccl supply the same calls.
#include <array>
#include <coroutine>
#include <cstdint>
#include <functional>
#include <memory>
#include <source_location>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "impls/substrate/fabric/ledger.h"
#include "impls/substrate/fabric/message_log.h"
#include "impls/substrate/fabric/task.h"
#include "impls/substrate/models/op_work.h"

namespace assay::substrate {

class BufferPlace;
class GroupEvents;
class Rank;
template <class Body>
class Computation;
using Program = std::function<Task<>(Rank&)>;

// Engines of a rank work side by side; work on one engine runs in issue order. Messages use the links themselves (the
// NIC-out and NIC-in engines), which are shared fluidly.
enum class Engine : std::uint8_t { compute, copy };
inline constexpr std::size_t kEngines = 2;

// Every rank still running waits for a message that cannot come. The text names each rank, its peer and source line.
class Deadlock : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

enum class Lane : std::uint8_t { compute, copy, send, receive, wait };
std::string_view to_string(Lane lane);

struct Interval {
  int rank = 0;
  Lane lane = Lane::compute;
  const char* name = "";
  Picoseconds start = 0, end = 0;
  // Of a half of a message, else as here:
  int peer = -1;  // the rank at the other end
  std::int64_t bytes = 0;
  const char* link = "";    // Fabric::link to it
  Picoseconds posted = 0;   // when the program asked for it; it moves from `start` on, when both halves are posted
  Picoseconds exposed = 0;  // how long the rank stood waiting for it
};

// Timelines are kept for the first `ranks` ranks, at most `per_rank` intervals each.
struct TimelineOptions {
  int ranks = 0;
  std::size_t per_rank = 4096;
};

struct RankReport {
  MessageLog messages;
  MemoryLedger memory;
  std::array<Picoseconds, kEngines> busy{};  // time each engine worked
  Picoseconds exposed = 0;                   // waited for messages
  Picoseconds exposed_transfer = 0;          // of which on the wire
  Picoseconds finish = 0;

  std::int64_t bytes_sent() const;
  std::int64_t messages_sent() const;
};

struct RunReport {
  std::vector<RankReport> ranks;
  std::vector<Interval> intervals;  // by rank, then in order of their end
  std::uint64_t events = 0;         // of a virtual fabric: continuations resumed and message ends

  // The rank that finished last (lowest id of equals): its busy and exposed times add up to the time of the run.
  int critical_rank() const;
  Picoseconds makespan() const;
  std::int64_t memory_peak() const;  // largest over ranks
};

// Where two executions of one program differ in what is counted (messages and bytes of each rank, peer and kind, peaks
// of memory); "" where they are equal, as the real and the virtual execution must be.
std::string count_difference(const RunReport& a, const RunReport& b);

// One half of a message.
struct Half {
  int peer = 0;
  bool is_send = false;
  Tag tag;
  std::int64_t bytes = 0;
  std::byte* data = nullptr;  // null on virtual fabrics
  std::source_location where;
};

using OpId = std::uint32_t;
inline constexpr OpId kNoOp = ~OpId{0};

// From both halves posted to delivered.
struct Span {
  Picoseconds start = 0, end = 0;
};

class Fabric {
 public:
  Fabric() = default;
  virtual ~Fabric() = default;
  Fabric(const Fabric&) = delete;
  Fabric& operator=(const Fabric&) = delete;

  virtual std::string_view name() const = 0;
  virtual bool real() const = 0;  // bodies run and buffers hold data
  virtual int size() const = 0;
  // What carries a message between two ranks, in a word.
  virtual const char* link(int from, int to) const { return from == to ? "own memory" : "shared memory"; }
  // Where buffers of a rank lie; null: in host memory.
  virtual std::shared_ptr<BufferPlace> place(int /*rank*/) { return nullptr; }

  // Null where collectives of groups are messages (group_event.h).
  virtual GroupEvents* group_events() { return nullptr; }

  // Runs `program` on every rank to its end. Throws what a rank threw (of the lowest rank that did), or Deadlock.
  virtual RunReport run(const Program& program, const TimelineOptions& timeline = {}) = 0;

 protected:
  friend class Rank;
  friend class PendingMessage;
  template <class Body>
  friend class Computation;

  // Posts a half; the k-th send from a to b meets the k-th receive of b from a. Throws ContractViolation when the two
  // differ in tag or size. Both stay allocated until `retire` or `abandon`.
  virtual OpId post(Rank& rank, const Half& half) = 0;
  // True once the given halves (kNoOp: none) are complete; a fabric of threads blocks here. False: suspend through
  // `wait`.
  virtual bool settle(Rank& rank, OpId first, OpId second) = 0;
  virtual void wait(Rank& rank, OpId first, OpId second, std::coroutine_handle<> continuation) = 0;
  virtual Span retire(Rank& rank, OpId op) = 0;
  // Withdraws a half that will not be awaited, on the way out of a failed program.
  virtual void abandon(Rank& rank, OpId op) noexcept = 0;

  // Books `work` on an engine; returns when it will be done. Fabrics with real data return the time it began instead
  // and are told of its end through `end_work`.
  virtual Picoseconds begin_work(Rank& rank, Engine engine, const OpWork& work) = 0;
  virtual void wait_until(Rank& rank, Picoseconds time, std::coroutine_handle<> continuation) = 0;
  virtual Picoseconds now(const Rank& rank) const = 0;
};

// file.cpp:12, for messages.
std::string to_text(const std::source_location& where);

}  // namespace assay::substrate
