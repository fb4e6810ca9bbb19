#include "impls/substrate/fabric/mpi/mpi_fabric.h"

#include <fmt/format.h>
#include <mpi.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <deque>
#include <utility>

#include "impls/substrate/fabric/mpi/mpi_links.h"
#include "impls/substrate/fabric/report_text.h"
#include "impls/substrate/fabric/wait_report.h"

namespace assay::substrate {

namespace {

// Thrown where a rank waits when another one failed; never leaves the fabric.
struct Aborted {};

constexpr std::int64_t kLargestMessage = std::int64_t{1} << 30;  // counts are int
constexpr std::size_t kFailureText = 2040;
enum Word : int { kAbort = 1, kStalled, kGoing };                    // tags of the control communicator
enum FailureKind : int { kNone = 0, kContract, kDeadlock, kOther };  // how it is thrown elsewhere
constexpr unsigned kTurnsBetweenWords = 32, kTurnsBetweenClocks = 256, kPatientTurns = 2000;

std::int64_t parts_of(std::int64_t bytes) {
  return std::max<std::int64_t>(1, (bytes + kLargestMessage - 1) / kLargestMessage);
}
int part_bytes(std::int64_t bytes, std::int64_t part) {
  return static_cast<int>(std::min(kLargestMessage, bytes - part * kLargestMessage));
}

// What an ensemble waits for may take as long as an oracle: after a while the core is left to others.
void wait_patiently(MPI_Request& request) {
  int done = 0;
  for (unsigned turn = 0;; ++turn) {
    require_mpi(MPI_Test(&request, &done, MPI_STATUS_IGNORE), "MPI_Test");
    if (done != 0) return;
    if (turn < kPatientTurns) {
      sched_yield();
    } else {
      usleep(200);
    }
  }
}

}  // namespace

int MpiFabric::initialised_rank() {
  int provided = 0;
  MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided);
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  return rank;
}

void require_mpi(int code, const char* call) {
  if (code == MPI_SUCCESS) return;
  std::array<char, MPI_MAX_ERROR_STRING> text{};
  int length = 0;
  MPI_Error_string(code, text.data(), &length);
  throw std::runtime_error(fmt::format("{}: {}", call, text.data()));
}

MpiFabric::MpiFabric(double stall_seconds)
    : rank_(*this, initialised_rank()), stall_seconds_(stall_seconds), links_(std::make_unique<Links>()) {
  MPI_Comm_size(MPI_COMM_WORLD, &size_);
  stalled_.resize(static_cast<std::size_t>(size_));
  MPI_Comm_dup(MPI_COMM_WORLD, &links_->ensemble);
  renew_links();
}

MpiFabric::~MpiFabric() {
  native_.reset();
  MPI_Finalize();
}

std::string MpiFabric::description() const {
  std::array<char, MPI_MAX_LIBRARY_VERSION_STRING> text{};
  int length = 0;
  MPI_Get_library_version(text.data(), &length);
  const std::string whole = text.data();
  return whole.substr(0, whole.find_first_of(",\n"));
}

// What the failed run left behind can never match a message of the new communicators; the old ones are not freed, as
// sends that no one received are still in them.
void MpiFabric::renew_links() {
  MPI_Comm_dup(MPI_COMM_WORLD, &links_->data);
  MPI_Comm_dup(MPI_COMM_WORLD, &links_->control);
  MPI_Comm_set_errhandler(links_->data, MPI_ERRORS_RETURN);  // a message that is too long is the program's error
  stalled_.assign(stalled_.size(), std::nullopt);
}

// ---- a run

RankReport MpiFabric::run_here(const Program& program) {
  rank_.begin(nullptr, 0);
  run_program(program);
  std::vector<Interval> none;
  return rank_.take_report(none);
}

RunReport MpiFabric::run(const Program& program, const TimelineOptions& timeline) {
  rank_.begin(nullptr, rank() < timeline.ranks ? timeline.per_rank : 0);
  run_program(program);
  std::vector<Interval> intervals;
  const RankReport own = rank_.take_report(intervals);
  std::vector<std::string> all;
  exchange(to_text(own, intervals), all);
  RunReport report;
  for (const std::string& text : all)
    report.ranks.push_back(report_from_text(
        text, [this](const std::string& name) { return kept(name); }, report.intervals));
  return report;
}

void MpiFabric::run_program(const Program& program) {
  epoch_ = std::chrono::steady_clock::now();
  aborted_ = failed_together_ = false;
  failure_ = {};
  error_ = nullptr;
  try {
    // Every await completes here, so one resume runs the program to its end.
    const Task<> task = program(rank_);
    task.handle().resume();
    task.result();
  } catch (const Aborted&) {
    aborted_ = true;
  } catch (const std::exception& failed) {
    error_ = std::current_exception();
    failure_.kind = dynamic_cast<const ContractViolation*>(&failed) != nullptr ? kContract
                    : dynamic_cast<const Deadlock*>(&failed) != nullptr        ? kDeadlock
                                                                               : kOther;
    failure_.text = failed.what();
    abort_others();
  }
  rank_.finish_at(now(rank_));
  agree();
}

// The end of a run: every rank's outcome becomes known to all, and nobody leaves before the last has come.
void MpiFabric::agree() {
  int mine = aborted_ || failure_.kind != kNone ? 1 : 0;
  int worst = 0;
  MPI_Request all = MPI_REQUEST_NULL;
  MPI_Iallreduce(&mine, &worst, 1, MPI_INT, MPI_MAX, links_->control, &all);
  stand(
      [&] {
        int done = 0;
        require_mpi(MPI_Test(&all, &done, MPI_STATUS_IGNORE), "MPI_Test");
        return done != 0;
      },
      [] { return std::string(); }, false);
  if (worst != 0) fail_together();
}

void MpiFabric::fail_together() {
  std::array<char, kFailureText + 8> mine{};
  std::memcpy(mine.data(), &failure_.kind, sizeof failure_.kind);
  failure_.text.copy(mine.data() + 8, kFailureText - 1);
  std::vector<char> all(mine.size() * static_cast<std::size_t>(size_));
  const auto each = static_cast<int>(mine.size());
  MPI_Allgather(mine.data(), each, MPI_BYTE, all.data(), each, MPI_BYTE, links_->control);
  renew_links();
  std::vector<Interval> none;
  rank_.take_report(none);
  failed_together_ = true;
  for (int r = 0; r < size_; ++r) {
    const char* from = all.data() + static_cast<std::size_t>(r) * mine.size();
    int kind = kNone;
    std::memcpy(&kind, from, sizeof kind);
    if (kind == kNone) continue;
    if (r == rank() && error_) std::rethrow_exception(std::exchange(error_, nullptr));
    const std::string text = from + 8;
    if (kind == kContract) throw ContractViolation(text);
    if (kind == kDeadlock) throw Deadlock(text);
    throw std::runtime_error(text);
  }
  throw std::logic_error("a run failed on no rank");
}

// ---- waiting

// Until `done`; meanwhile what other ranks say is heard (`heeding`: and their failure ends the wait), and standing
// still for too long is told to rank 0. `describe`: what for.
template <class Done, class Describe>
void MpiFabric::stand(Done done, Describe describe, bool heeding) {
  if (done()) return;
  const auto since = std::chrono::steady_clock::now();
  const std::chrono::duration<double> limit(stall_seconds_);
  bool told = false;
  for (unsigned turn = 1; !done(); ++turn) {
    if (turn % kTurnsBetweenWords == 0) {
      heed();
      if (heeding && aborted_) throw Aborted{};
    }
    if (!told && turn % kTurnsBetweenClocks == 0 && std::chrono::steady_clock::now() - since > limit) {
      tell_stalled(describe());
      told = true;
    }
    sched_yield();
  }
  if (told) tell_going();
}

void MpiFabric::heed() {
  while (true) {
    int there = 0;
    MPI_Status status;
    MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, links_->control, &there, &status);
    if (there == 0) break;
    int bytes = 0;
    MPI_Get_count(&status, MPI_BYTE, &bytes);
    std::string text(static_cast<std::size_t>(bytes), '\0');
    MPI_Recv(text.data(), bytes, MPI_BYTE, status.MPI_SOURCE, status.MPI_TAG, links_->control, MPI_STATUS_IGNORE);
    const auto from = static_cast<std::size_t>(status.MPI_SOURCE);
    if (status.MPI_TAG == kAbort) aborted_ = true;
    if (status.MPI_TAG == kStalled) stalled_[from] = text;
    if (status.MPI_TAG == kGoing) stalled_[from].reset();
  }
  if (rank() == 0) look_for_deadlock();
}

void MpiFabric::tell_stalled(const std::string& text) {
  if (rank() == 0) {
    stalled_[0] = text;
    return look_for_deadlock();
  }
  const std::string cut = text.substr(0, kFailureText);
  MPI_Send(cut.data(), static_cast<int>(cut.size()), MPI_BYTE, 0, kStalled, links_->control);
}

void MpiFabric::tell_going() {
  if (rank() == 0) {
    stalled_[0].reset();
  } else {
    MPI_Send(nullptr, 0, MPI_BYTE, 0, kGoing, links_->control);
  }
}

// Rank 0: where all stand still nothing can come any more.
void MpiFabric::look_for_deadlock() {
  if (aborted_ || failure_.kind != kNone) return;
  if (!std::ranges::all_of(stalled_, [](const auto& each) { return each.has_value(); })) return;
  failure_.kind = kDeadlock;
  failure_.text = fmt::format("deadlock, nothing has arrived for {:g} s:", stall_seconds_);
  for (const auto& each : stalled_)
    if (!each->empty()) failure_.text += "\n  " + *each;
  abort_others();
  aborted_ = true;
}

void MpiFabric::abort_others() {
  for (int r = 0; r < size_; ++r)
    if (r != rank()) MPI_Send(nullptr, 0, MPI_BYTE, r, kAbort, links_->control);
}

void MpiFabric::stand_for(const std::function<bool()>& done, const char* call) {
  stand(
      done, [&] { return fmt::format("rank {} waits in {} for the others", rank(), call); }, true);
}

// ---- messages

OpId MpiFabric::post(Rank&, const Half& half) {
  if (aborted_) throw Aborted{};
  OpId id = 0;
  if (links_->free_ops.empty()) {
    id = static_cast<OpId>(links_->ops.size());
    links_->ops.emplace_back();
  } else {
    id = links_->free_ops.back();
    links_->free_ops.pop_back();
  }
  Links::Op& op = links_->ops[id];
  op.half = half;
  op.next = 0;
  op.parts.assign(static_cast<std::size_t>(parts_of(half.bytes)), MPI_REQUEST_NULL);
  op.span = {now(rank_), 0};
  for (std::size_t i = 0; i < op.parts.size(); ++i) {
    const auto part = static_cast<std::int64_t>(i);
    std::byte* data = half.data + part * kLargestMessage;
    const int bytes = part_bytes(half.bytes, part);
    require_mpi(half.is_send ? MPI_Isend(data, bytes, MPI_BYTE, half.peer, half.tag.value, links_->data, &op.parts[i])
                             : MPI_Irecv(data, bytes, MPI_BYTE, half.peer, MPI_ANY_TAG, links_->data, &op.parts[i]),
                half.is_send ? "MPI_Isend" : "MPI_Irecv");
  }
  return id;
}

// As check_match; the line of the sender stays there.
void MpiFabric::check_arrived(const Half& half, int tag, std::int64_t part, int bytes) const {
  if (tag != half.tag.value)
    throw ContractViolation(fmt::format("rank {} sends tag {} where rank {} expects tag {} '{}' at {}", half.peer, tag,
                                        rank(), half.tag.value, half.tag.name, to_text(half.where)));
  if (bytes != part_bytes(half.bytes, part))
    throw ContractViolation(fmt::format("rank {} sends {} B '{}' where rank {} expects {} B at {}", half.peer,
                                        part * kLargestMessage + bytes, half.tag.name, rank(), half.bytes,
                                        to_text(half.where)));
}

bool MpiFabric::finished(OpId id) {
  if (id == kNoOp) return true;
  Links::Op& op = links_->ops[id];
  while (op.next < op.parts.size()) {
    int done = 0;
    MPI_Status status;
    const int code = MPI_Test(&op.parts[op.next], &done, &status);
    int kind = MPI_SUCCESS;
    MPI_Error_class(code, &kind);
    if (kind == MPI_ERR_TRUNCATE)
      throw ContractViolation(fmt::format("rank {} sends more than the {} B '{}' that rank {} expects at {}",
                                          op.half.peer, op.half.bytes, op.half.tag.name, rank(),
                                          to_text(op.half.where)));
    require_mpi(code, "MPI_Test");
    if (done == 0) return false;
    const std::int64_t part = static_cast<std::int64_t>(op.next++);
    if (op.half.is_send) continue;
    int bytes = 0;
    MPI_Get_count(&status, MPI_BYTE, &bytes);
    check_arrived(op.half, status.MPI_TAG, part, bytes);
  }
  if (op.span.end == 0) op.span.end = now(rank_);
  return true;
}

bool MpiFabric::settle(Rank&, OpId first, OpId second) {
  stand(
      [&] {
        const bool one = finished(first);  // both are asked: each call moves both along
        return finished(second) && one;
      },
      [&] {
        std::string text;
        for (const OpId op : {first, second})
          if (!finished(op)) text += (text.empty() ? "" : "\n  ") + describe_wait(rank(), links_->ops[op].half);
        return text;
      },
      true);
  return true;
}

void MpiFabric::wait(Rank&, OpId, OpId, std::coroutine_handle<>) {
  throw std::logic_error("settle blocks on mpi; nothing is left to wait for");
}

Span MpiFabric::retire(Rank&, OpId op) {
  links_->free_ops.push_back(op);
  return links_->ops[op].span;
}

void MpiFabric::abandon(Rank&, OpId id) noexcept {
  Links::Op& op = links_->ops[id];
  for (MPI_Request& part : op.parts) {
    if (part == MPI_REQUEST_NULL) continue;
    if (op.half.is_send) {
      MPI_Request_free(&part);  // its memory is kept until the run has ended for all
    } else {
      MPI_Cancel(&part);  // a message that has met it is still written, so its end is awaited
      MPI_Wait(&part, MPI_STATUS_IGNORE);
    }
  }
  links_->free_ops.push_back(id);
}

Picoseconds MpiFabric::begin_work(Rank&, Engine, const OpWork&) { return 0; }

void MpiFabric::wait_until(Rank&, Picoseconds, std::coroutine_handle<>) {
  throw std::logic_error("a body runs before its await returns on mpi");
}

Picoseconds MpiFabric::now(const Rank&) const {
  const auto elapsed = std::chrono::steady_clock::now() - epoch_;
  return std::chrono::duration_cast<std::chrono::nanoseconds>(elapsed).count() * 1000;
}

// ---- the ensemble

void MpiFabric::broadcast(std::string& text) {
  failed_together_ = false;
  std::int64_t bytes = static_cast<std::int64_t>(text.size());
  MPI_Request request = MPI_REQUEST_NULL;
  MPI_Ibcast(&bytes, 1, MPI_INT64_T, 0, links_->ensemble, &request);
  wait_patiently(request);
  text.resize(static_cast<std::size_t>(bytes));
  MPI_Ibcast(text.data(), static_cast<int>(bytes), MPI_BYTE, 0, links_->ensemble, &request);
  wait_patiently(request);
}

void MpiFabric::barrier() {
  MPI_Request request = MPI_REQUEST_NULL;
  MPI_Ibarrier(links_->ensemble, &request);
  for (int done = 0; done == 0; sched_yield()) require_mpi(MPI_Test(&request, &done, MPI_STATUS_IGNORE), "MPI_Test");
}

void MpiFabric::bring_home(int from, std::span<std::byte> bytes) {
  if (from == 0 || (rank() != 0 && rank() != from)) return;
  const auto size = static_cast<std::int64_t>(bytes.size());
  for (std::int64_t part = 0; part < parts_of(size); ++part) {
    std::byte* data = bytes.data() + part * kLargestMessage;
    const int count = part_bytes(size, part);
    MPI_Request request = MPI_REQUEST_NULL;
    if (rank() == 0) {
      MPI_Irecv(data, count, MPI_BYTE, from, 0, links_->ensemble, &request);
    } else {
      MPI_Isend(data, count, MPI_BYTE, 0, 0, links_->ensemble, &request);
    }
    wait_patiently(request);
  }
}

void MpiFabric::exchange(const std::string& mine, std::vector<std::string>& all) {
  const auto ranks = static_cast<std::size_t>(size_);
  std::vector<int> sizes(ranks), offsets(ranks);
  const int own = static_cast<int>(mine.size());
  MPI_Allgather(&own, 1, MPI_INT, sizes.data(), 1, MPI_INT, links_->ensemble);
  int total = 0;
  for (std::size_t r = 0; r < ranks; ++r) {
    offsets[r] = total;
    total += sizes[r];
  }
  std::string texts(static_cast<std::size_t>(total), '\0');
  MPI_Allgatherv(mine.data(), own, MPI_BYTE, texts.data(), sizes.data(), offsets.data(), MPI_BYTE, links_->ensemble);
  for (std::size_t r = 0; r < ranks; ++r)
    all.push_back(texts.substr(static_cast<std::size_t>(offsets[r]), static_cast<std::size_t>(sizes[r])));
}

const char* MpiFabric::kept(const std::string& name) { return names_.insert(name).first->c_str(); }

}  // namespace assay::substrate
