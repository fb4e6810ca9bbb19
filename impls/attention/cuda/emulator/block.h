#pragma once
// What the emulator knows of one block of threads while it runs: fibers, who has seen what, shared memory, copies and
// products in flight. For the sources of the emulator; emulator.h is its face.
//
// Order is by vector clocks. Everything that touches shared memory is an agent with a count of its own: each thread,
// each warp's matrix unit, the copy engine as each phase barrier hears of it, each warp's copies to global memory. An
// access is stamped with its agent and count; a thread has seen it when its clock for that agent has come that far,
// which barriers, arrivals and waits bring about and nothing else. Two accesses to a word, one of them a write, of
// which neither has seen the other are a race, in whatever order they happened to run.
#include <ucontext.h>

#include <array>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "impls/attention/cuda/descriptors.h"
#include "impls/attention/cuda/emulator/emulator.h"

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#include <sanitizer/tsan_interface.h>
#define ASSAY_FIBER_TSAN 1
#endif
#endif

namespace assay::attention::cuda::emulator {

inline constexpr std::uint32_t kSharedBase = 1024;  // not 0, so that an address without its base is a fault
inline constexpr int kMostPhaseBarriers = 32;       // a block
inline constexpr int kRegisters = 65536;            // a multiprocessor

using Clock = std::vector<std::uint32_t>;
void join(Clock& into, const Clock& from);

struct Stamp {
  int agent = -1;  // -1: nobody
  std::uint32_t count = 0;

  bool seen_by(const Clock& clock) const { return agent < 0 || clock[static_cast<std::size_t>(agent)] >= count; }
};

struct Copy {
  std::uint32_t to;  // from the base
  std::uint32_t size;
  std::array<std::byte, 16> bytes;
};

// Registers as wgmma.fence left them.
struct Fenced {
  const std::byte* start;
  std::vector<std::byte> contents;
};

struct Fiber {
  ucontext_t context{};
  std::unique_ptr<std::byte[]> stack;
  bool done = false;
  Clock seen;
  std::uint32_t fenced_for_copies = 0;  // the thread's count at its last fence.proxy.async
  std::vector<Copy> open;
  std::deque<std::vector<Copy>> committed;
  std::vector<Fenced> fenced;
  std::vector<std::uint32_t> stores4, stores16, loads16, loads4;  // addresses since the warp last met
#ifdef ASSAY_FIBER_TSAN
  void* tsan = nullptr;
#endif
};

// A warp's quarter of a wgmma.
struct Product {
  int columns = 0;
  bool turned = false;       // B is stored with its depth in rows
  bool accumulate = false;   // else C's old contents are ignored
  bool turned_left = false;  // so is A
  bool chained = false;      // C is the result of a product that is in flight too
  std::uint64_t a = 0, b = 0;
  float (*unpack)(std::uint16_t) = nullptr;
  std::array<float*, kWarp> c{};
  std::array<const std::uint32_t*, kWarp> left{};  // A in registers; null: described by `a`
  std::vector<float> c_before;
  std::vector<std::uint32_t> left_before;
};

struct Warp {
  int arrived = 0;
  const char* instruction = nullptr;
  std::array<void*, kWarp> slots{};
  std::vector<Product> open;
  std::deque<std::vector<Product>> products;
  std::uint32_t product_groups = 0;  // committed so far
  std::vector<std::string> issued;   // what this warp asked its warpgroup's matrix unit for
  int registers = 0;                 // a thread
};

// Who touched a word of shared memory last.
struct Shadow {
  Stamp writer;
  bool in_flight = false;
  bool by_thread = false;  // written by an ordinary store: the copy engine and wgmma need a fence to see it
  std::vector<Stamp> readers;
};

// mbarrier.
struct PhaseBarrier {
  Stamp start;
  bool published = false;
  int engine = 0;  // its number among the block's
  int expected = 0, pending = 0;
  std::int64_t bytes = 0;
  std::uint32_t phase = 0;
  Clock arriving, passed;
  struct Waiter {
    int thread;
    std::uint32_t parity;
  };
  std::vector<Waiter> waiters;
};

// bar.sync and bar.arrive with a number.
struct NamedBarrier {
  int expected = 0, arrived = 0;
  Clock clock;
  std::vector<int> waiters;
};

// A copy of a box of a tensor, or of a line, in flight.
struct BoxCopy {
  bool store = false;
  TiledTensor tensor;
  const std::byte* line = nullptr;  // in global memory; stores add to it, as f32. Null: a box
  std::uint32_t bytes = 0;
  std::array<int, 5> first{};
  std::uint32_t shared = 0;   // address
  std::uint32_t barrier = 0;  // of a load
  Stamp stamp;
  Clock seen;      // by the thread that started it
  int thread = 0;  // of a store
};

struct Block {
  const Launch& launch;
  std::vector<Region>& memory;
  const std::function<void()>& kernel;
  Findings& findings;
  int x, y, z;
  std::vector<Fiber>& fibers;
  std::vector<Warp> warps;
  std::vector<std::byte> shared;
  std::vector<Shadow> shadow;
  std::uint64_t random;
  std::deque<int> ready = {};
  std::map<std::uint32_t, PhaseBarrier> phase_barriers = {};
  std::map<int, NamedBarrier> named_barriers = {};
  std::deque<BoxCopy> box_copies = {};
  std::vector<std::uint32_t> engine_counts = std::vector<std::uint32_t>(kMostPhaseBarriers);
  std::vector<std::uint32_t> store_counts = std::vector<std::uint32_t>(warps.size());
  int free_registers = 0;
  std::vector<int> register_waiters = {};
  ucontext_t main{};
#ifdef ASSAY_FIBER_TSAN
  void* main_tsan = nullptr;
#endif
  int running = 0;
  int waiting_at_barrier = 0;
  int finished = 0;

  // -- who is who
  int agents() const { return launch.threads + 2 * static_cast<int>(warps.size()) + kMostPhaseBarriers; }
  int matrix_agent(int warp) const { return launch.threads + warp; }
  int store_agent(int warp) const { return launch.threads + static_cast<int>(warps.size()) + warp; }
  int engine_agent(int barrier) const { return launch.threads + 2 * static_cast<int>(warps.size()) + barrier; }
  std::string name_of(int agent) const;
  int lane() const { return running % kWarp; }
  int warp_index() const { return running / kWarp; }
  Warp& warp() { return warps[static_cast<std::size_t>(running / kWarp)]; }
  Fiber& fiber(int thread) { return fibers[static_cast<std::size_t>(thread)]; }
  Fiber& self() { return fiber(running); }
  Stamp stamp_of(int thread) { return {thread, fiber(thread).seen[static_cast<std::size_t>(thread)]}; }

  // -- order
  // What the thread has done and seen so far goes into `into`.
  void release(int thread, Clock& into);
  void acquire(int thread, const Clock& from) { join(fiber(thread).seen, from); }

  void fault(const std::string& what);
  // Leaves the running fiber for another that can go on, or for main when none can.
  void leave();
  void wake(int thread) { ready.push_back(thread); }
  void barrier();
  void run_block();

  // The last of the warp's lanes to come carries the instruction out for all of them.
  template <class Arguments, class All>
  void meet(const char* instruction, Arguments& arguments, const All& all) {
    Warp& mine = warp();
    if (mine.arrived == 0) mine.instruction = instruction;
    if (std::strcmp(mine.instruction, instruction) != 0)
      fault(std::string("lanes meet at ") + mine.instruction + " and at " + instruction);
    mine.slots[static_cast<std::size_t>(lane())] = &arguments;
    if (++mine.arrived < kWarp) {
      leave();
      return;
    }
    mine.arrived = 0;
    flush_addresses(running / kWarp);
    std::array<Arguments*, kWarp> each{};
    for (int i = 0; i < kWarp; ++i)
      each[static_cast<std::size_t>(i)] = static_cast<Arguments*>(mine.slots[static_cast<std::size_t>(i)]);
    all(each);
    const int first = running / kWarp * kWarp;
    for (int i = first; i < first + kWarp; ++i)
      if (i != running) wake(i);
  }

  // -- shared memory
  bool bad_shared(std::uint32_t address, std::uint32_t bytes, std::uint32_t alignment);
  bool bad_shared(std::uint32_t address, std::uint32_t bytes) { return bad_shared(address, bytes, bytes); }
  // By a thread; or by `stamp`'s agent on behalf of those who have seen `seen`. Offsets from the base.
  void note_read(std::uint32_t offset, std::uint32_t bytes, int thread) {
    note_read(offset, bytes, stamp_of(thread), fiber(thread).seen);
  }
  void note_write(std::uint32_t offset, std::uint32_t bytes, int thread) {
    note_write(offset, bytes, stamp_of(thread), fiber(thread).seen);
    for (std::uint32_t word = offset / 4; word < (offset + bytes) / 4; ++word) shadow[word].by_thread = true;
  }
  void note_read(std::uint32_t offset, std::uint32_t bytes, const Stamp& stamp, const Clock& seen);
  void note_write(std::uint32_t offset, std::uint32_t bytes, const Stamp& stamp, const Clock& seen);
  // A read by the copy engine or a matrix unit: what an ordinary store wrote must have been fenced by its thread.
  void need_fence(std::uint32_t offset, std::uint32_t bytes);

  void count_pass(const std::vector<std::uint32_t>& addresses, std::uint32_t bytes);
  void flush(int warp_index, std::vector<std::uint32_t> Fiber::*list, std::uint32_t bytes);
  void flush_addresses(int warp_index);

  // -- the copy engine (hopper.cpp)
  void land_some();                  // at most one copy, at times that the order draws
  bool land_one(std::size_t which);  // the next copy that is not waited for by its own thread
  void land(const BoxCopy& copy);
  void land_box(const BoxCopy& copy);
  void land_line(const BoxCopy& copy);
  void pass_if_complete(PhaseBarrier& barrier);
};

// The block that runs.
Block& current();

}  // namespace assay::attention::cuda::emulator
