#include "impls/substrate/fabric/rank.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

#include "impls/substrate/fabric/group.h"

namespace assay::substrate {

namespace {
constexpr std::size_t kAlignment = 64;
constexpr std::size_t kSpareStorages = 8;
}  // namespace

std::string to_text(const std::source_location& where) {
  std::string_view file = where.file_name();
  if (const auto slash = file.rfind('/'); slash != std::string_view::npos) file.remove_prefix(slash + 1);
  return fmt::format("{}:{}", file, where.line());
}

std::string_view to_string(Lane lane) {
  switch (lane) {
    case Lane::compute:
      return "compute";
    case Lane::copy:
      return "copy";
    case Lane::send:
      return "send";
    case Lane::receive:
      return "receive";
    case Lane::wait:
      return "wait";
  }
  return "?";
}

std::int64_t RankReport::bytes_sent() const {
  std::int64_t total = 0;
  for (const MessageLogEntry& e : messages.entries())
    if (e.direction == Direction::sent) total += e.bytes;
  return total;
}

std::int64_t RankReport::messages_sent() const {
  std::int64_t total = 0;
  for (const MessageLogEntry& e : messages.entries())
    if (e.direction == Direction::sent) total += e.messages;
  return total;
}

int RunReport::critical_rank() const {
  int last = 0;
  for (std::size_t r = 1; r < ranks.size(); ++r)
    if (ranks[r].finish > ranks[static_cast<std::size_t>(last)].finish) last = static_cast<int>(r);
  return last;
}

Picoseconds RunReport::makespan() const { return ranks.at(static_cast<std::size_t>(critical_rank())).finish; }

std::int64_t RunReport::memory_peak() const {
  std::int64_t peak = 0;
  for (const RankReport& rank : ranks) peak = std::max(peak, rank.memory.peak());
  return peak;
}

std::string count_difference(const RunReport& a, const RunReport& b) {
  if (a.ranks.size() != b.ranks.size()) return fmt::format("{} ranks, {} ranks", a.ranks.size(), b.ranks.size());
  for (std::size_t r = 0; r < a.ranks.size(); ++r) {
    const auto& x = a.ranks[r];
    const auto& y = b.ranks[r];
    for (std::size_t c = 0; c < kMemoryCategories; ++c) {
      const auto category = static_cast<Memory>(c);
      if (x.memory.peak(category) != y.memory.peak(category))
        return fmt::format("rank {}: peak of {} memory {} B, {} B", r, to_string(category), x.memory.peak(category),
                           y.memory.peak(category));
    }
    if (x.memory.peak() != y.memory.peak())
      return fmt::format("rank {}: peak of memory {} B, {} B", r, x.memory.peak(), y.memory.peak());
    const auto& left = x.messages.entries();
    const auto& right = y.messages.entries();
    const auto text = [](const MessageLogEntry& each) {
      return fmt::format("{} {} '{}' of {} B {} rank {}", each.direction == Direction::sent ? "sends" : "receives",
                         each.messages, each.tag.name, each.bytes, each.direction == Direction::sent ? "to" : "from",
                         each.peer);
    };
    for (std::size_t i = 0; i < std::max(left.size(), right.size()); ++i) {
      const std::string one = i < left.size() ? text(left[i]) : "nothing more";
      const std::string other = i < right.size() ? text(right[i]) : "nothing more";
      if (one != other || (i < left.size() && left[i].tag.value != right[i].tag.value))
        return fmt::format("rank {} {}, {}", r, one, other);
    }
  }
  return {};
}

// ---- Buffer

Storage::~Storage() {
  if (!owned) return;
  if (place) {
    place->release(data);
  } else {
    std::free(data);
  }
}

Buffer& Buffer::operator=(Buffer&& other) {  // NOLINT(performance-noexcept-move-constructor)
  if (this == &other) return *this;
  require_unborrowed(std::source_location::current());
  if (rank_ != nullptr) release();
  rank_ = std::exchange(other.rank_, nullptr);
  storage_ = std::move(other.storage_);
  bytes_ = std::exchange(other.bytes_, 0);
  entry_ = other.entry_;
  return *this;
}

const char* Buffer::name() const {
  if (rank_ == nullptr) return "(empty)";
  return entry_ == kOfAnother ? "(a part)" : rank_->report_.memory.entries()[entry_].name;
}

void Buffer::release() noexcept {
  if (entry_ != kOfAnother) rank_->report_.memory.release(entry_, bytes_, rank_->now());
  if (storage_ && storage_->owned && storage_.use_count() == 1 && rank_->spare_.size() < kSpareStorages)
    rank_->spare_.push_back(std::move(storage_));
  rank_ = nullptr;
  storage_.reset();
}

void Buffer::require_data(std::source_location where) const {
  if (rank_ == nullptr)
    throw ContractViolation(fmt::format("{}: the data of an empty buffer was asked for", to_text(where)));
  if (is_virtual() && bytes_ > 0)
    throw ContractViolation(
        fmt::format("rank {}: the data of virtual buffer '{}' was asked for at {}; on {} only sizes exist", rank_->id(),
                    name(), to_text(where), rank_->fabric_->name()));
}

void Buffer::require_unborrowed(std::source_location where) const {
  if (storage_ && storage_->borrows > 0)
    throw ContractViolation(
        fmt::format("rank {}: buffer '{}' is overwritten at {} while a message that sends it has not been awaited",
                    rank_->id(), name(), to_text(where)));
}

std::shared_ptr<BufferPlace> Buffer::place() const { return rank_ != nullptr ? rank_->place() : nullptr; }

void copy_to(Buffer& to, std::int64_t offset, const std::byte* from, std::int64_t bytes) {
  if (bytes == 0) return;
  std::byte* const start = to.write<std::byte>().data() + offset;
  if (const auto place = to.place())
    place->copy(start, from, static_cast<std::size_t>(bytes));
  else
    std::memcpy(start, from, static_cast<std::size_t>(bytes));
}

void copy_to(Buffer& to, std::int64_t offset, const Buffer& from) {
  if (from.bytes() > 0) copy_to(to, offset, from.read<std::byte>().data(), from.bytes());
}

void fill_with(Buffer& to, unsigned char value) {
  const auto bytes = to.write<std::byte>();
  if (const auto place = to.place())
    place->fill(bytes.data(), value, bytes.size());
  else
    std::ranges::fill(bytes, std::byte{value});
}

// ---- PendingMessage

PendingMessage::PendingMessage(PendingMessage&& other) noexcept
    : rank_(std::exchange(other.rank_, nullptr)),
      send_(other.send_),
      receive_(other.receive_),
      sent_entry_(other.sent_entry_),
      received_entry_(other.received_entry_),
      outgoing_(std::move(other.outgoing_)),
      landing_(std::move(other.landing_)),
      sent_bytes_(other.sent_bytes_),
      posted_(other.posted_),
      waiting_since_(other.waiting_since_) {}

bool PendingMessage::await_ready() {
  waiting_since_ = rank_->now();
  return rank_->fabric_->settle(*rank_, send_, receive_);
}

void PendingMessage::await_suspend(std::coroutine_handle<> continuation) {
  rank_->fabric_->wait(*rank_, send_, receive_, continuation);
}

void PendingMessage::complete() {
  Rank& rank = *std::exchange(rank_, nullptr);
  RankReport& report = rank.report_;
  const Picoseconds now = rank.now();
  const bool kept = rank.intervals_.size() < rank.timeline_limit_;
  Span last;
  std::uint32_t last_entry = 0;
  const auto close = [&](OpId op, std::uint32_t entry) {
    if (op == kNoOp) return Span{};
    const Span span = rank.fabric_->retire(rank, op);
    report.messages[entry].in_flight += span.end - span.start;
    if (span.end >= last.end) {
      last = span;
      last_entry = entry;
    }
    return span;
  };
  const Span sent = close(send_, sent_entry_), received = close(receive_, received_entry_);
  const auto keep = [&](OpId op, std::uint32_t entry, Lane lane, const Span& span, std::int64_t bytes) {
    if (op == kNoOp) return;
    const MessageLogEntry& log = report.messages[entry];
    rank.record(
        {.rank = rank.id_,
         .lane = lane,
         .name = log.tag.name,
         .start = span.start,
         .end = span.end,
         .peer = log.peer,
         .bytes = bytes,
         .link = lane == Lane::send ? rank.fabric_->link(rank.id_, log.peer) : rank.fabric_->link(log.peer, rank.id_),
         .posted = posted_,
         .exposed = entry == last_entry && now > waiting_since_ ? now - waiting_since_ : 0});
  };
  if (kept) {
    keep(send_, sent_entry_, Lane::send, sent, sent_bytes_);
    keep(receive_, received_entry_, Lane::receive, received, landing_.bytes());
  }
  if (now > waiting_since_) {
    // The half that ended last is the one waited for; before both sides had posted it, the peer was late.
    const Picoseconds on_the_wire = std::max<Picoseconds>(0, now - std::max(waiting_since_, last.start));
    MessageLogEntry& log = report.messages[last_entry];
    log.exposed += now - waiting_since_;
    log.exposed_transfer += on_the_wire;
    report.exposed += now - waiting_since_;
    report.exposed_transfer += on_the_wire;
    rank.record(Lane::wait, log.tag.name, waiting_since_, now);
  }
  if (outgoing_) {
    --outgoing_->borrows;
    outgoing_.reset();
  }
}

void PendingMessage::abandon() noexcept {
  if (send_ != kNoOp) rank_->fabric_->abandon(*rank_, send_);
  if (receive_ != kNoOp) rank_->fabric_->abandon(*rank_, receive_);
  if (!outgoing_) return;
  --outgoing_->borrows;
  rank_->withdrawn_.push_back(std::move(outgoing_));
}

// ---- Rank

void Rank::begin(const Picoseconds* clock, std::size_t timeline_limit) {
  clock_ = clock;
  report_ = {};
  intervals_.clear();
  timeline_limit_ = timeline_limit;
}

RankReport Rank::take_report(std::vector<Interval>& intervals) {
  intervals.insert(intervals.end(), intervals_.begin(), intervals_.end());
  intervals_.clear();
  withdrawn_.clear();
  return std::move(report_);
}

void Rank::count_group(const Group& group, const RankReport& counted, std::span<const LedgerEntry> held,
                       const char* name, Picoseconds start, Picoseconds since) {
  for (const MessageLogEntry& each : counted.messages.entries()) {
    MessageLogEntry& log = report_.messages[report_.messages.entry(group.member(each.peer), each.tag, each.direction)];
    log.messages += each.messages;
    log.bytes += each.bytes;
    log.in_flight += each.in_flight;
  }
  const Picoseconds time = now();
  std::vector<std::uint32_t> entries;
  for (const LedgerEntry& each : held)
    entries.push_back(report_.memory.charge(each.name, each.category, each.at_peak, time));
  for (std::size_t i = 0; i < held.size(); ++i) report_.memory.release(entries[i], held[i].at_peak, time);
  Picoseconds worked = 0;
  for (std::size_t e = 0; e < kEngines; ++e) {
    report_.busy[e] += counted.busy[e];
    worked += counted.busy[e];
  }
  record(Lane::send, name, start, time);
  if (time <= since) return;
  // What it computed itself, the additions, is not held against the wire.
  const Picoseconds exposed = std::max<Picoseconds>(0, time - since - worked);
  report_.exposed += exposed;
  report_.exposed_transfer += std::min(exposed, std::max<Picoseconds>(0, time - std::max(since, start)));
  record(Lane::wait, name, since, time);
}

std::shared_ptr<Storage> Rank::make_storage(std::int64_t bytes) {
  if (!real()) {
    if constexpr (kDebugChecks) return std::make_shared<Storage>(nullptr, bytes, false);
    return nullptr;
  }
  std::shared_ptr<Storage> storage;
  for (auto& spare : spare_) {
    if (spare->bytes != bytes) continue;
    storage = std::move(spare);
    spare = std::move(spare_.back());
    spare_.pop_back();
    break;
  }
  if (!storage) {
    const auto size = static_cast<std::size_t>(bytes);
    const std::shared_ptr<BufferPlace> place = fabric_->place(id_);
    auto* data =
        place ? place->allocate(std::max<std::size_t>(size, 1))
              : static_cast<std::byte*>(std::aligned_alloc(kAlignment, (size + kAlignment) / kAlignment * kAlignment));
    if (data == nullptr) throw std::bad_alloc();
    storage = std::make_shared<Storage>(data, bytes, true, place);
  }
  // All ones is a NaN in every float format: a read before the first write shows in the result.
  if constexpr (kDebugChecks) {
    if (storage->place) {
      storage->place->fill(storage->data, 0xff, static_cast<std::size_t>(bytes));
    } else {
      std::memset(storage->data, 0xff, static_cast<std::size_t>(bytes));
    }
  }
  return storage;
}

Buffer Rank::allocate(const char* name, Memory category, std::int64_t bytes) {
  const std::uint32_t entry = report_.memory.charge(name, category, bytes, now());
  return {this, make_storage(bytes), bytes, entry};
}

Buffer Rank::adopt(const char* name, Memory category, std::int64_t bytes, std::byte* data) {
  if (!real()) return allocate(name, category, bytes);
  const std::uint32_t entry = report_.memory.charge(name, category, bytes, now());
  return {this, std::make_shared<Storage>(data, bytes, false), bytes, entry};
}

Buffer Rank::slice(const Buffer& whole, std::int64_t offset, std::int64_t bytes) {
  if (offset < 0 || bytes < 0 || offset + bytes > whole.bytes())
    throw ContractViolation(fmt::format("rank {}: bytes {} to {} asked for of buffer '{}', which has {}", id_, offset,
                                        offset + bytes, whole.name(), whole.bytes()));
  std::shared_ptr<Storage> storage;
  if (real()) {
    storage = std::make_shared<Storage>(whole.storage_->data + offset, bytes, false);
  } else {
    storage = make_storage(bytes);
  }
  return {this, std::move(storage), bytes, Buffer::kOfAnother};
}

void Rank::check_peer(int peer, std::source_location where) const {
  if (peer < 0 || peer >= size())
    throw ContractViolation(
        fmt::format("rank {}: message to or from rank {} of {} at {}", id_, peer, size(), to_text(where)));
}

void Rank::post_send(PendingMessage& pending, const Buffer& out, int peer, Tag tag, std::source_location where) {
  const Half half{.peer = peer,
                  .is_send = true,
                  .tag = tag,
                  .bytes = out.bytes(),
                  .data = out.storage_ ? out.storage_->data : nullptr,
                  .where = where};
  pending.send_ = fabric_->post(*this, half);
  pending.sent_bytes_ = half.bytes;
  if (timeline_limit_ > 0) pending.posted_ = now();
  pending.sent_entry_ = report_.messages.entry(peer, tag, Direction::sent);
  MessageLogEntry& log = report_.messages[pending.sent_entry_];
  ++log.messages;
  log.bytes += out.bytes();
  if (out.storage_) {
    pending.outgoing_ = out.storage_;
    ++pending.outgoing_->borrows;
  }
}

void Rank::post_receive(PendingMessage& pending, int peer, Tag tag, std::source_location where) {
  const auto& storage = pending.landing_.storage_;
  const std::int64_t bytes = pending.landing_.bytes();
  const Half half{.peer = peer,
                  .is_send = false,
                  .tag = tag,
                  .bytes = bytes,
                  .data = storage ? storage->data : nullptr,
                  .where = where};
  pending.receive_ = fabric_->post(*this, half);
  if (timeline_limit_ > 0) pending.posted_ = now();
  pending.received_entry_ = report_.messages.entry(peer, tag, Direction::received);
  MessageLogEntry& log = report_.messages[pending.received_entry_];
  ++log.messages;
  log.bytes += bytes;
}

Transfer Rank::shift(const Buffer& out, int offset, const Expect& expect, std::source_location where) {
  const int ranks = size();
  const int step = ((offset % ranks) + ranks) % ranks;
  Transfer pending(this);
  post_send(pending, out, (id_ + step) % ranks, expect.tag, where);
  pending.landing_ = allocate(expect.name, expect.category, expect.bytes < 0 ? out.bytes() : expect.bytes);
  post_receive(pending, (id_ - step + ranks) % ranks, expect.tag, where);
  return pending;
}

Transfer Rank::exchange(const Buffer& out, int to, int from, const Expect& expect, std::source_location where) {
  return exchange(out, to, from, allocate(expect.name, expect.category, expect.bytes < 0 ? out.bytes() : expect.bytes),
                  expect.tag, where);
}

Transfer Rank::exchange(const Buffer& out, int to, int from, Buffer into, Tag tag, std::source_location where) {
  check_peer(to, where);
  check_peer(from, where);
  Transfer pending(this);
  post_send(pending, out, to, tag, where);
  pending.landing_ = std::move(into);
  post_receive(pending, from, tag, where);
  return pending;
}

Send Rank::send(const Buffer& out, int peer, Tag tag, std::source_location where) {
  check_peer(peer, where);
  Send pending(this);
  post_send(pending, out, peer, tag, where);
  return pending;
}

Transfer Rank::receive(int peer, const Expect& expect, std::source_location where) {
  check_peer(peer, where);
  if (expect.bytes < 0)
    throw ContractViolation(
        fmt::format("rank {}: the receive at {} states no size; the plan must", id_, to_text(where)));
  return receive(peer, allocate(expect.name, expect.category, expect.bytes), expect.tag, where);
}

Transfer Rank::receive(int peer, Buffer into, Tag tag, std::source_location where) {
  check_peer(peer, where);
  Transfer pending(this);
  pending.landing_ = std::move(into);
  post_receive(pending, peer, tag, where);
  return pending;
}

}  // namespace assay::substrate
