#pragma once
// A collective of a whole group that a virtual fabric may take as one event. What it costs is what its program of
// messages costs when all members begin together and nothing else uses their links: members are let go when that
// program would have let them, counted from when the last of them has come, one collective of a group after the other.
// Elsewhere, and where a fabric is not asked to, the program of messages runs when the event is awaited.
//
//   const GroupCall sum{.name = "gradients", .sizes = {bytes}, .program = [=](Group group) -> Task<> { ... }};
//   GroupEvent event(group, sum);          // this rank has come
//   co_await rank.compute(work, body);     // beside it, where it is one event
//   co_await event;
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "impls/substrate/fabric/group.h"

namespace assay::substrate {

struct GroupCall {
  const char* name = "collective";  // a literal; shown, and part of what says which program it is
  std::vector<std::int64_t> sizes;  // whatever else decides its cost: bytes, algorithm, parts
  std::function<Task<>(Group)> program;
};

// What a fabric supplies that takes groups as one.
class GroupEvents {
 public:
  virtual ~GroupEvents() = default;
  // The rank has come to its next collective of the group. `call` must outlive the event.
  virtual std::uint32_t arrive(Rank& rank, const Group& group, const GroupCall& call, std::source_location where) = 0;
  virtual bool ready(Rank& rank, std::uint32_t ticket) = 0;
  virtual void wait(Rank& rank, std::uint32_t ticket, std::coroutine_handle<> continuation) = 0;
  // Counts messages and memory of the rank's part; `since`: when it began to wait.
  virtual void finish(Rank& rank, const Group& group, std::uint32_t ticket, Picoseconds since) = 0;
};

class [[nodiscard]] GroupEvent {
 public:
  GroupEvent(Group group, const GroupCall& call, std::source_location where = std::source_location::current())
      : group_(std::move(group)), call_(&call), events_(group_.size() > 1 ? group_.rank().group_events() : nullptr) {
    if (events_ != nullptr) ticket_ = events_->arrive(group_.rank(), group_, call, where);
  }
  GroupEvent(GroupEvent&&) = default;
  GroupEvent& operator=(GroupEvent&&) = delete;

  bool await_ready() {
    since_ = group_.rank().now();
    return events_ != nullptr && events_->ready(group_.rank(), ticket_);
  }
  std::coroutine_handle<> await_suspend(std::coroutine_handle<> parent) {
    if (events_ != nullptr) {
      events_->wait(group_.rank(), ticket_, parent);
      return std::noop_coroutine();
    }
    messages_.emplace(call_->program(group_));
    return messages_->operator co_await().await_suspend(parent);
  }
  void await_resume() {
    if (events_ != nullptr) {
      events_->finish(group_.rank(), group_, ticket_, since_);
    } else {
      messages_->result();
    }
  }

 private:
  Group group_;
  const GroupCall* call_;
  GroupEvents* events_;
  std::uint32_t ticket_ = 0;
  Picoseconds since_ = 0;
  std::optional<Task<>> messages_;
};

}  // namespace assay::substrate
