#include "impls/substrate/cluster/cluster.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <deque>

#include "impls/substrate/cluster/channels.h"
#include "impls/substrate/cluster/event_queue.h"
#include "impls/substrate/cluster/group_rounds.h"
#include "impls/substrate/cluster/network.h"
#include "impls/substrate/fabric/rank.h"
#include "impls/substrate/fabric/wait_report.h"

namespace assay::substrate {

namespace {

enum class OpState : std::uint8_t { free, posted, moving, done, abandoned };

// A half as the simulation keeps it: one cache line, of which every message touches two.
struct alignas(64) Op {
  std::int64_t bytes = 0;
  const char* name = nullptr;  // of the tag
  std::source_location where;
  int rank = 0, peer = 0;
  OpId partner = kNoOp;
  OpId next = kNoOp;  // in its channel
  Span span;
  std::uint16_t tag = 0;
  OpState state = OpState::free;
  bool waited_for = false;
  bool is_send = false;

  Half half() const {
    return {.peer = peer, .is_send = is_send, .tag = {.value = tag, .name = name}, .bytes = bytes, .where = where};
  }
  int sender() const { return is_send ? rank : peer; }
  int receiver() const { return is_send ? peer : rank; }
};
static_assert(sizeof(Op) == 64);

struct alignas(64) Seat {
  Seat(Fabric& fabric, int id) : rank(fabric, id) {}
  Rank rank;
  std::optional<Task<>> task;
  std::coroutine_handle<> continuation;
  OpId first = kNoOp, second = kNoOp;  // what it waits for
  int missing = 0;                     // of these, not complete
  Picoseconds ready = 0;               // when the complete ones arrive
  bool blocked = false, finished = false;
  std::array<Picoseconds, kEngines> engine_free{};
};

// Programs repeat few distinct operators very often.
struct CachedCost {
  OpWork work;
  Picoseconds cost = -1;
};
constexpr std::size_t kCachedCosts = 256;

std::size_t cost_slot(const OpWork& work) {
  std::uint64_t h = std::bit_cast<std::uint64_t>(work.flops) * 0x9E3779B97F4A7C15ULL;
  h ^= std::bit_cast<std::uint64_t>(work.bytes) * 0xC2B2AE3D27D4EB4FULL;
  h ^= (h >> 29) + static_cast<std::uint64_t>(work.kind);
  return static_cast<std::size_t>((h * 0x9E3779B97F4A7C15ULL) >> 56);
}

constexpr std::size_t kNamedInDeadlock = 16;
constexpr OpId kOwnOps = 4;  // halves of a rank that have a place of their own

}  // namespace

struct ClusterFabric::Simulation {
  Simulation(Network links, int size)
      : network(std::move(links)),
        channel(size),
        ops(static_cast<std::size_t>(size) * kOwnOps),
        own_free(static_cast<std::size_t>(size), (1U << kOwnOps) - 1) {
    flow_send.reserve(static_cast<std::size_t>(size));
  }

  EventQueue queue;
  Network network;
  Channels channel;
  std::deque<Seat> seats;
  std::vector<Seat*> at;               // the same, by rank
  std::vector<Op> ops;                 // kOwnOps of each rank, then those beyond
  std::vector<std::uint8_t> own_free;  // by rank: which of its own are free
  std::vector<OpId> free_ops;          // of those beyond
  std::vector<OpId> flow_send;         // send half of each flow
  std::array<CachedCost, kCachedCosts> costs;
  std::optional<GroupRounds> groups;
  std::uint64_t events = 0;
  bool closing = false;

  // A rank's halves lie together and in order of rank, so that events in that order find them near.
  OpId take_op(int rank) {
    std::uint8_t& own = own_free[static_cast<std::size_t>(rank)];
    if (own != 0) {
      const auto slot = static_cast<OpId>(std::countr_zero(own));
      own = static_cast<std::uint8_t>(own & (own - 1));
      return static_cast<OpId>(rank) * kOwnOps + slot;
    }
    if (free_ops.empty()) {
      ops.emplace_back();
      return static_cast<OpId>(ops.size() - 1);
    }
    const OpId op = free_ops.back();
    free_ops.pop_back();
    return op;
  }

  void drop_op(OpId op) {
    ops[op].state = OpState::free;
    const std::size_t owner = op / kOwnOps;
    if (owner < own_free.size()) {
      own_free[owner] = static_cast<std::uint8_t>(own_free[owner] | (1U << (op % kOwnOps)));
    } else {
      free_ops.push_back(op);
    }
  }

  void complete(OpId id, Picoseconds end) {
    Op& op = ops[id];
    op.span.end = end;
    if (op.state == OpState::abandoned) {
      drop_op(id);
      return;
    }
    op.state = OpState::done;
    if (!op.waited_for) return;
    Seat& seat = *at[static_cast<std::size_t>(op.rank)];
    seat.ready = std::max(seat.ready, end);
    if (--seat.missing == 0) queue.push_continuation(seat.ready, static_cast<std::uint32_t>(op.rank));
  }

  void end_flow(std::uint32_t flow) {
    const OpId send = flow_send[flow];
    const OpId receive = ops[send].partner;
    network.end(flow);
    const Picoseconds delivered = queue.now() + network.latency(ops[send].rank, ops[receive].rank);
    complete(send, queue.now());
    complete(receive, delivered);
  }

  void solve_network() {
    network.solve(queue.now(), [&](std::uint32_t flow, std::uint32_t version, Picoseconds end) {
      queue.push_flow(end, static_cast<std::uint32_t>(ops[flow_send[flow]].rank), flow, version);
    });
  }

  void resume(Seat& seat) {
    seat.blocked = false;
    seat.first = seat.second = kNoOp;
    seat.continuation.resume();
    if (!seat.task->done()) return;
    seat.finished = true;
    seat.rank.finish_at(queue.now());
    seat.task->result();
    seat.task.reset();
  }

  // The state of a thousand ranks does not fit the nearest caches; who comes next is known, so it is fetched early.
  void fetch_ahead() const {
    const auto touch = [](const void* from, int lines) {
      for (int i = 0; i < lines; ++i) __builtin_prefetch(static_cast<const char*>(from) + std::ptrdiff_t{i} * 64, 1);
    };
    const auto begin = [&](const EventQueue::Event& event) {
      if (event.is_flow()) {
        touch(&ops[flow_send[event.payload]], 1);
        network.fetch(event.payload);
      } else {
        touch(at[event.payload], static_cast<int>(sizeof(Seat) / 64));
        touch(&ops[std::size_t{event.payload} * kOwnOps], kOwnOps);
        network.fetch_next_of(event.payload);
        channel.fetch(event.payload);
      }
    };
    const auto rest = [&](const EventQueue::Event& event) {
      if (event.is_flow()) {
        const Op& send = ops[flow_send[event.payload]];
        if (send.partner != kNoOp) touch(&ops[send.partner], 1);
        network.fetch_links(event.payload);
        for (const int rank : {send.rank, send.peer}) touch(&at[static_cast<std::size_t>(rank)]->first, 1);
        return;
      }
      network.fetch_links_next_of(event.payload);
      const Seat& seat = *at[event.payload];
      if (seat.continuation) touch(seat.continuation.address(), 10);
      const auto& log = seat.rank.messages().entries();
      touch(log.data(), static_cast<int>(std::min<std::size_t>(6, log.size())));
      const auto& held = seat.rank.memory().entries();
      touch(held.data(), static_cast<int>(std::min<std::size_t>(12, held.size())));
    };
    if (const auto* far = queue.ahead(8); far != nullptr) begin(*far);
    if (const auto* near = queue.ahead(4); near != nullptr) rest(*near);
    if (queue.more_now()) return;
    if (const auto* next = queue.soon(); next != nullptr) {
      begin(*next);
      rest(*next);
    }
  }

  void run() {
    while (true) {
      if (!queue.more_now() && network.changed()) solve_network();
      if (queue.empty()) break;
      const EventQueue::Event event = queue.pop();
      fetch_ahead();
      if (event.is_flow()) {
        if (event.version != network.version(event.payload)) continue;
        end_flow(event.payload);
      } else {
        resume(*at[event.payload]);
      }
      ++events;
    }
  }

  // The queue is empty: whoever has not finished waits for what cannot come.
  void check_deadlock() const {
    std::string text;
    std::size_t named = 0, stuck = 0;
    for (const Seat& seat : seats) {
      if (seat.finished) continue;
      ++stuck;
      if (++named > kNamedInDeadlock) continue;
      for (const OpId op : {seat.first, seat.second})
        if (op != kNoOp && ops[op].state != OpState::done)
          text += "\n  " + describe_wait(seat.rank.id(), ops[op].half());
      const std::string group = groups ? groups->waits_for(seat.rank.id()) : std::string();
      if (!group.empty()) text += "\n  " + group;
    }
    if (stuck == 0) return;
    if (stuck > kNamedInDeadlock) text += fmt::format("\n  and {} more ranks", stuck - kNamedInDeadlock);
    throw Deadlock(fmt::format("deadlock at {} ps, no message is under way:{}", queue.now(), text));
  }

  // Frames go before the seats they refer to; their messages no longer matter.
  void close() {
    closing = true;
    for (Seat& seat : seats) seat.task.reset();
  }
};

ClusterFabric::ClusterFabric(ClusterSetup setup) : setup_(std::move(setup)) {
  if (setup_.ranks < 1) throw std::invalid_argument("a fabric needs at least one rank");
  if (setup_.placement.empty())
    for (int r = 0; r < setup_.ranks; ++r) setup_.placement.push_back(r);
  if (setup_.placement.size() != static_cast<std::size_t>(setup_.ranks))
    throw std::invalid_argument("a placement names one slot for every rank");
  const Network check(setup_.cluster, setup_.placement, setup_.memory_bandwidth);
}

ClusterFabric::~ClusterFabric() = default;

int ClusterFabric::size() const { return setup_.ranks; }

const char* ClusterFabric::link(int from, int to) const {
  return kind_of_link(setup_.cluster, setup_.placement[static_cast<std::size_t>(from)],
                      setup_.placement[static_cast<std::size_t>(to)]);
}

GroupEvents* ClusterFabric::group_events() {
  return simulation_ && simulation_->groups ? &*simulation_->groups : nullptr;
}

RunReport ClusterFabric::run(const Program& program, const TimelineOptions& timeline) {
  simulation_ =
      std::make_unique<Simulation>(Network(setup_.cluster, setup_.placement, setup_.memory_bandwidth), setup_.ranks);
  Simulation& simulation = *simulation_;
  struct Closer {
    Simulation& simulation;
    ~Closer() { simulation.close(); }
  } closer{simulation};

  if (setup_.groups_as_events)
    simulation.groups.emplace(
        setup_, simulation.network.topology(), simulation.queue.clock(),
        [&simulation](int rank, std::coroutine_handle<> continuation) {
          simulation.at[static_cast<std::size_t>(rank)]->continuation = continuation;
        },
        [&simulation](int rank, Picoseconds time) {
          simulation.queue.push_continuation(time, static_cast<std::uint32_t>(rank));
        });
  for (int r = 0; r < setup_.ranks; ++r) {
    Seat& seat = simulation.seats.emplace_back(*this, r);
    simulation.at.push_back(&seat);
    seat.rank.begin(simulation.queue.clock(), r < timeline.ranks ? timeline.per_rank : 0);
  }
  for (Seat& seat : simulation.seats) {
    seat.task.emplace(program(seat.rank));
    seat.continuation = seat.task->handle();
    simulation.queue.push_continuation(0, static_cast<std::uint32_t>(seat.rank.id()));
  }
  simulation.run();
  simulation.check_deadlock();

  RunReport report;
  report.events = simulation.events;
  for (Seat& seat : simulation.seats) report.ranks.push_back(seat.rank.take_report(report.intervals));
  return report;
}

OpId ClusterFabric::post(Rank& rank, const Half& half) {
  Simulation& s = *simulation_;
  const int from = half.is_send ? rank.id() : half.peer;
  const int to = half.is_send ? half.peer : rank.id();
  Channel& channel = s.channel(from, to);
  const bool meets = channel.head != kNoOp && s.ops[channel.head].is_send != half.is_send;
  if (meets) {
    const Op& other = s.ops[channel.head];
    if (other.tag != half.tag.value || other.bytes != half.bytes)
      check_match(from, half.is_send ? half : other.half(), to, half.is_send ? other.half() : half);
  }
  const OpId id = s.take_op(rank.id());
  Op& op = s.ops[id];
  op.bytes = half.bytes;
  op.name = half.tag.name;
  op.where = half.where;
  op.rank = rank.id();
  op.peer = half.peer;
  op.tag = half.tag.value;
  op.is_send = half.is_send;
  op.state = OpState::posted;
  op.waited_for = false;
  op.next = kNoOp;
  if (!meets) {
    (channel.head == kNoOp ? channel.head : s.ops[channel.tail].next) = id;
    channel.tail = id;
    return id;
  }
  const OpId partner = channel.head;
  Op& other = s.ops[partner];
  channel.head = other.next;
  if (channel.head == kNoOp) s.channel.release(channel);
  op.partner = partner;
  other.partner = id;
  op.state = other.state = OpState::moving;
  op.span.start = other.span.start = s.queue.now();
  const std::uint32_t flow = s.network.start(from, to, static_cast<double>(half.bytes), s.queue.now());
  if (flow >= s.flow_send.size()) s.flow_send.resize(flow + 1, kNoOp);
  s.flow_send[flow] = half.is_send ? id : partner;
  return id;
}

bool ClusterFabric::settle(Rank&, OpId first, OpId second) {
  const Simulation& s = *simulation_;
  const auto complete = [&](OpId op) {
    return op == kNoOp || (s.ops[op].state == OpState::done && s.ops[op].span.end <= s.queue.now());
  };
  return complete(first) && complete(second);
}

void ClusterFabric::wait(Rank& rank, OpId first, OpId second, std::coroutine_handle<> continuation) {
  Simulation& s = *simulation_;
  Seat& seat = *s.at[static_cast<std::size_t>(rank.id())];
  seat.continuation = continuation;
  seat.first = first;
  seat.second = second;
  seat.blocked = true;
  seat.missing = 0;
  seat.ready = s.queue.now();
  for (const OpId op : {first, second}) {
    if (op == kNoOp) continue;
    if (s.ops[op].state == OpState::done) {
      seat.ready = std::max(seat.ready, s.ops[op].span.end);
    } else {
      s.ops[op].waited_for = true;
      ++seat.missing;
    }
  }
  if (seat.missing == 0) s.queue.push_continuation(seat.ready, static_cast<std::uint32_t>(rank.id()));
}

Span ClusterFabric::retire(Rank&, OpId op) {
  const Span span = simulation_->ops[op].span;
  simulation_->drop_op(op);
  return span;
}

void ClusterFabric::abandon(Rank&, OpId id) noexcept {
  Simulation& s = *simulation_;
  if (s.closing) return;
  Op& op = s.ops[id];
  if (op.state == OpState::moving) {  // the bytes are on their way; the slot goes when they have arrived
    op.state = OpState::abandoned;
    op.waited_for = false;
    return;
  }
  if (op.state == OpState::posted) {
    Channel& channel = s.channel(op.sender(), op.receiver());
    OpId previous = kNoOp;
    for (OpId each = channel.head; each != id; each = s.ops[each].next) previous = each;
    (previous == kNoOp ? channel.head : s.ops[previous].next) = op.next;
    if (channel.tail == id) channel.tail = previous;
    if (channel.head == kNoOp) s.channel.release(channel);
  }
  s.drop_op(id);
}

Picoseconds ClusterFabric::begin_work(Rank& rank, Engine engine, const OpWork& work) {
  Simulation& s = *simulation_;
  CachedCost& cached = s.costs[cost_slot(work)];
  if (cached.cost < 0 || !(cached.work == work)) {
    cached.cost = to_picoseconds(setup_.operator_seconds(work));
    cached.work = work;
  }
  Seat& seat = *s.at[static_cast<std::size_t>(rank.id())];
  Picoseconds& free = seat.engine_free[static_cast<std::size_t>(engine)];
  const Picoseconds start = std::max(free, s.queue.now());
  free = start + cached.cost;
  rank.account_work(engine, to_string(work.kind).data(), start, free);
  return free;
}

void ClusterFabric::wait_until(Rank& rank, Picoseconds time, std::coroutine_handle<> continuation) {
  Simulation& s = *simulation_;
  s.at[static_cast<std::size_t>(rank.id())]->continuation = continuation;
  s.queue.push_continuation(time, static_cast<std::uint32_t>(rank.id()));
}

Picoseconds ClusterFabric::now(const Rank&) const { return simulation_ ? simulation_->queue.now() : 0; }

}  // namespace assay::substrate
