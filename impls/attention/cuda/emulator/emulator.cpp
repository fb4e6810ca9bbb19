#include "impls/attention/cuda/emulator/emulator.h"

#include <ucontext.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <deque>
#include <memory>
#include <set>
#include <stdexcept>

#include "impls/substrate/dtype.h"

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#include <sanitizer/tsan_interface.h>
#define ASSAY_FIBER_TSAN 1
#endif
#endif

namespace assay::attention::cuda {
namespace emulator {
namespace {

constexpr std::size_t kStackBytes = 128UL << 10;
constexpr std::uint32_t kSharedBase = 1024;  // not 0, so that an address without its base is a fault
constexpr std::size_t kFaultsKept = 8;

struct Copy {
  std::uint32_t to;  // from the base
  std::uint32_t size;
  std::array<std::byte, 16> bytes;
};

struct Fiber {
  ucontext_t context{};
  std::unique_ptr<std::byte[]> stack;
  bool done = false;
  std::vector<Copy> open;
  std::deque<std::vector<Copy>> committed;
  std::vector<std::uint32_t> stores4, stores16, loads16, loads4;  // addresses since the warp last met
#ifdef ASSAY_FIBER_TSAN
  void* tsan = nullptr;
#endif
};

struct Warp {
  int arrived = 0;
  const char* instruction = nullptr;
  std::array<void*, kWarp> slots{};
  std::uint32_t epoch = 0;  // barriers passed
};

// Who touched a word of shared memory last.
struct Shadow {
  int writer = -1;
  std::uint32_t write_epoch = 0, write_warp_epoch = 0;
  int reader = -1;  // -2: several lanes of one warp
  std::uint32_t read_epoch = 0, read_warp_epoch = 0, reader_warps = 0;
  bool in_flight = false;
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
  std::deque<int> ready;
  std::uint64_t random;
  ucontext_t main{};
#ifdef ASSAY_FIBER_TSAN
  void* main_tsan = __tsan_get_current_fiber();
#endif
  int running = 0;
  int waiting_at_barrier = 0;
  int finished = 0;
  std::uint32_t epoch = 0;

  int lane() const { return running % kWarp; }
  Warp& warp() { return warps[static_cast<std::size_t>(running / kWarp)]; }
  Fiber& self() { return fibers[static_cast<std::size_t>(running)]; }

  void fault(const std::string& what) {
    ++findings.fault_count;
    if (findings.faults.size() < kFaultsKept) {
      findings.faults.push_back("block " + std::to_string(x) + "," + std::to_string(y) + "," + std::to_string(z) +
                                " thread " + std::to_string(running) + ": " + what);
    }
  }

  // Leaves the running fiber for another that can go on, or for main when none can.
  void leave() {
    Fiber& from = self();
    if (ready.empty()) {
      switch_to(from, nullptr);
      return;
    }
    if (launch.order != 0) {
      random = random * 6364136223846793005ULL + 1442695040888963407ULL;
      std::swap(ready.front(), ready[(random >> 33) % ready.size()]);
    }
    running = ready.front();
    ready.pop_front();
    switch_to(from, &self());
  }

  void switch_to(Fiber& from, Fiber* to) {
    const int me = static_cast<int>(&from - fibers.data());
    if (to == &from) return;
#ifdef ASSAY_FIBER_TSAN
    __tsan_switch_to_fiber(to != nullptr ? to->tsan : main_tsan, 0);
#endif
    swapcontext(&from.context, to != nullptr ? &to->context : &main);
    running = me;
  }

  // The last of the warp's lanes to come carries the instruction out for all of them.
  template <class Arguments, class All>
  void meet(const char* instruction, Arguments& arguments, const All& all) {
    Warp& mine = warp();
    if (mine.arrived == 0) mine.instruction = instruction;
    if (mine.instruction != instruction)
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
      if (i != running) ready.push_back(i);
  }

  void barrier() {
    if (finished > 0) fault("a barrier that some threads never reach");
    if (++waiting_at_barrier < launch.threads) {
      leave();
      return;
    }
    waiting_at_barrier = 0;
    ++epoch;
    for (std::size_t w = 0; w < warps.size(); ++w) {
      flush_addresses(static_cast<int>(w));
      ++warps[w].epoch;
    }
    for (int i = 0; i < launch.threads; ++i)
      if (i != running) ready.push_back(i);
  }

  bool bad_shared(std::uint32_t address, std::uint32_t bytes) {
    if (address < kSharedBase || address - kSharedBase + bytes > shared.size() || address % bytes != 0) {
      fault("shared address " + std::to_string(address) + " of " + std::to_string(bytes) +
            " bytes is out of bounds or misaligned");
      return true;
    }
    return false;
  }

  std::uint32_t warp_epoch(int thread) const { return warps[static_cast<std::size_t>(thread / kWarp)].epoch; }

  bool unordered(int other, std::uint32_t at, std::uint32_t at_warp, int thread) const {
    if (other < 0 || other == thread || at != epoch) return false;
    return other / kWarp != thread / kWarp || at_warp == warp_epoch(thread);
  }

  void note_read(std::uint32_t offset, std::uint32_t bytes, int thread) {
    for (std::uint32_t word = offset / 4; word < (offset + bytes) / 4; ++word) {
      Shadow& s = shadow[word];
      if (s.in_flight) fault("reads shared byte " + std::to_string(word * 4) + " which a copy in flight will write");
      if (unordered(s.writer, s.write_epoch, s.write_warp_epoch, thread))
        fault("reads shared byte " + std::to_string(word * 4) + " written by thread " + std::to_string(s.writer) +
              " with no barrier between");
      if (s.read_epoch != epoch || s.reader == -1) s = {s.writer, s.write_epoch, s.write_warp_epoch};
      const bool same = s.reader_warps == 0 || (s.reader == thread && s.read_warp_epoch == warp_epoch(thread));
      s.reader = same || s.read_warp_epoch != warp_epoch(thread) ? thread : -2;
      s.read_epoch = epoch;
      s.read_warp_epoch = warp_epoch(thread);
      s.reader_warps |= 1U << (thread / kWarp);
    }
  }

  void note_write(std::uint32_t offset, std::uint32_t bytes, int thread) {
    for (std::uint32_t word = offset / 4; word < (offset + bytes) / 4; ++word) {
      Shadow& s = shadow[word];
      if (s.in_flight) fault("writes shared byte " + std::to_string(word * 4) + " under a copy in flight");
      if (unordered(s.writer, s.write_epoch, s.write_warp_epoch, thread))
        fault("writes shared byte " + std::to_string(word * 4) + " after thread " + std::to_string(s.writer) +
              " with no barrier between");
      if (s.reader != -1 && s.read_epoch == epoch) {
        const std::uint32_t others = s.reader_warps & ~(1U << (thread / kWarp));
        const bool lanes = (s.reader_warps & (1U << (thread / kWarp))) != 0 && s.reader != thread &&
                           s.read_warp_epoch == warp_epoch(thread);
        if (others != 0 || lanes)
          fault("writes shared byte " + std::to_string(word * 4) + " that others read with no barrier between");
      }
      s = {thread, epoch, warp_epoch(thread)};
    }
  }

  // One pass serves 128 bytes, a bank of four bytes each; 16-byte accesses go by eight lanes.
  void count_pass(const std::vector<std::uint32_t>& addresses, std::uint32_t bytes) {
    if (addresses.empty()) return;
    std::array<std::set<std::uint32_t>, 32> words_of_bank;
    for (const std::uint32_t address : addresses) {
      for (std::uint32_t word = address / 4; word < (address + bytes) / 4; ++word)
        words_of_bank[word % 32].insert(word);
    }
    std::size_t passes = 0;
    for (const auto& words : words_of_bank) passes = std::max(passes, words.size());
    findings.wavefronts += static_cast<std::int64_t>(passes);
    findings.bank_conflicts += static_cast<std::int64_t>(passes) - 1;
  }

  void flush(int warp_index, std::vector<std::uint32_t> Fiber::*list, std::uint32_t bytes) {
    const int first = warp_index * kWarp;
    const int lanes_a_pass = bytes == 16 ? 8 : kWarp;
    std::size_t longest = 0;
    for (int i = first; i < first + kWarp; ++i)
      longest = std::max(longest, (fibers[static_cast<std::size_t>(i)].*list).size());
    for (std::size_t n = 0; n < longest; ++n) {
      for (int lane = 0; lane < kWarp; lane += lanes_a_pass) {
        std::vector<std::uint32_t> pass;
        for (int i = lane; i < lane + lanes_a_pass; ++i) {
          const auto& addresses = fibers[static_cast<std::size_t>(first + i)].*list;
          if (n < addresses.size()) pass.push_back(addresses[n]);
        }
        count_pass(pass, bytes);
      }
    }
    for (int i = first; i < first + kWarp; ++i) (fibers[static_cast<std::size_t>(i)].*list).clear();
  }

  void flush_addresses(int warp_index) {
    flush(warp_index, &Fiber::stores4, 4);
    flush(warp_index, &Fiber::loads4, 4);
    flush(warp_index, &Fiber::stores16, 16);
    flush(warp_index, &Fiber::loads16, 16);
  }

  void run_block();
};

Block* block = nullptr;

void enter() {
  block->kernel();
  Fiber& self = block->self();
  for (const auto& group : self.committed)
    if (!group.empty()) block->fault("ends with a copy in flight");
  if (!self.open.empty()) block->fault("ends with a copy in flight");
  self.done = true;
  ++block->finished;
  block->leave();
}

void Block::run_block() {
  for (int i = 0; i < launch.threads; ++i) {
    Fiber& fiber = fibers[static_cast<std::size_t>(i)];
    fiber.done = false;
    fiber.open.clear();
    fiber.committed.clear();
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.get();
    fiber.context.uc_stack.ss_size = kStackBytes;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, enter, 0);
    ready.push_back(i);
  }
  while (!ready.empty()) {
    running = ready.front();
    ready.pop_front();
#ifdef ASSAY_FIBER_TSAN
    __tsan_switch_to_fiber(self().tsan, 0);
#endif
    swapcontext(&main, &self().context);
  }
  for (std::size_t w = 0; w < warps.size(); ++w) flush_addresses(static_cast<int>(w));
  if (finished != launch.threads) {
    fault(std::to_string(launch.threads - finished) + " threads wait for ever");
    throw std::runtime_error(findings.faults.front());
  }
}

}  // namespace

Findings run(const Launch& launch, std::vector<Region>& memory, const std::function<void()>& kernel) {
  if (launch.threads % kWarp != 0 || launch.threads > 1024) throw std::invalid_argument("threads: not whole warps");
  Findings findings;
  for (Region& region : memory)
    if (region.writable) region.writes.resize(region.bytes);
  std::vector<Fiber> fibers(static_cast<std::size_t>(launch.threads));
  for (Fiber& fiber : fibers) {
    fiber.stack = std::make_unique<std::byte[]>(kStackBytes);
#ifdef ASSAY_FIBER_TSAN
    fiber.tsan = __tsan_create_fiber(0);
#endif
  }
  for (int z = 0; z < launch.z; ++z) {
    for (int y = 0; y < launch.y; ++y) {
      for (int x = 0; x < launch.x; ++x) {
        Block one{.launch = launch,
                  .memory = memory,
                  .kernel = kernel,
                  .findings = findings,
                  .x = x,
                  .y = y,
                  .z = z,
                  .fibers = fibers,
                  .warps = std::vector<Warp>(static_cast<std::size_t>(launch.threads / kWarp)),
                  .shared = std::vector<std::byte>(launch.shared_bytes, std::byte{0xff}),
                  .shadow = std::vector<Shadow>((launch.shared_bytes + 3) / 4),
                  .ready = {},
                  .random = launch.order};
        block = &one;
        one.run_block();
        block = nullptr;
      }
    }
  }
#ifdef ASSAY_FIBER_TSAN
  for (Fiber& fiber : fibers) __tsan_destroy_fiber(fiber.tsan);
#endif
  return findings;
}

void wait_for_copies(int pending) {
  auto& committed = block->self().committed;
  while (committed.size() > static_cast<std::size_t>(pending)) {
    for (const Copy& copy : committed.front()) {
      std::memcpy(block->shared.data() + copy.to, copy.bytes.data(), copy.size);
      for (std::uint32_t word = copy.to / 4; word < (copy.to + copy.size) / 4; ++word)
        block->shadow[word] = {block->running, block->epoch, block->warp_epoch(block->running)};
    }
    committed.pop_front();
  }
}

bool may_touch(const void* p, std::size_t bytes, bool write) {
  const auto address = reinterpret_cast<std::uintptr_t>(p);
  if (address % bytes != 0) block->fault("global address misaligned for " + std::to_string(bytes) + " bytes");
  for (Region& region : block->memory) {
    const auto start = reinterpret_cast<std::uintptr_t>(region.start);
    if (address < start || address + bytes > start + region.bytes) continue;
    if (write && !region.writable) block->fault("writes global memory it should only read");
    if (write)
      for (std::size_t i = 0; i < bytes && region.writable; ++i) ++region.writes[address - start + i];
    return region.writable || !write;
  }
  block->fault(std::string(write ? "writes" : "reads") + " global memory out of bounds");
  return false;
}

float add(float* to, float value) { return may_touch(to, sizeof(float), true) ? *to += value : 0.0F; }

}  // namespace emulator

using emulator::block;

int thread_index() { return block->running; }
int block_x() { return block->x; }
int block_y() { return block->y; }
int block_z() { return block->z; }
std::uint32_t shared_base() { return emulator::kSharedBase; }
void barrier() { block->barrier(); }

void warp_barrier() {
  int nothing = 0;
  block->meet("warp barrier", nothing, [&](const auto&) { ++block->warp().epoch; });
}

float shuffle_xor(float value, int mask) {
  struct Arguments {
    float value;
    int mask;
    float result;
  } mine{value, mask, 0};
  block->meet("shuffle", mine, [&](const std::array<Arguments*, kWarp>& each) {
    for (int i = 0; i < kWarp; ++i) {
      Arguments& to = *each[static_cast<std::size_t>(i)];
      to.result = each[static_cast<std::size_t>(i ^ to.mask)]->value;
    }
  });
  return mine.result;
}

namespace {

void start_copy(std::uint32_t to, const void* from, std::uint32_t size, bool valid) {
  if (block->bad_shared(to, size)) return;
  const std::uint32_t offset = to - emulator::kSharedBase;
  emulator::Copy copy{offset, size, {}};
  if (valid) {
    if (emulator::may_touch(from, size, false)) std::memcpy(copy.bytes.data(), from, size);
    block->findings.copied_bytes += size;
  }
  block->note_write(offset, size, block->running);
  for (std::uint32_t word = offset / 4; word < (offset + size) / 4; ++word) block->shadow[word].in_flight = true;
  block->self().open.push_back(copy);
  (size == 16 ? block->self().stores16 : block->self().stores4).push_back(to);
}

}  // namespace

void copy_async(std::uint32_t to, const void* from, bool valid) { start_copy(to, from, 16, valid); }
void copy_async_word(std::uint32_t to, const float* from, bool valid) { start_copy(to, from, 4, valid); }

void copy_commit() {
  auto& self = block->self();
  self.committed.push_back(std::move(self.open));
  self.open.clear();
}

namespace {

struct MatrixLoad {
  std::uint32_t address;
  std::uint32_t* r;
};

void load_matrices_of(std::uint32_t (&r)[4], std::uint32_t address, bool transposed) {
  MatrixLoad mine{address, r};
  block->meet(transposed ? "ldmatrix.trans" : "ldmatrix", mine, [&](const std::array<MatrixLoad*, kWarp>& each) {
    for (int matrix = 0; matrix < 4; ++matrix) {
      std::array<std::array<std::uint16_t, 8>, 8> m{};
      std::vector<std::uint32_t> pass;
      for (int row = 0; row < 8; ++row) {
        const int lane = matrix * 8 + row;
        const std::uint32_t from = each[static_cast<std::size_t>(lane)]->address;
        if (block->bad_shared(from, 16)) continue;
        block->note_read(from - emulator::kSharedBase, 16, block->running / kWarp * kWarp + lane);
        std::memcpy(m[static_cast<std::size_t>(row)].data(), block->shared.data() + from - emulator::kSharedBase, 16);
        pass.push_back(from);
      }
      block->count_pass(pass, 16);
      for (std::size_t lane = 0; lane < kWarp; ++lane) {
        const std::size_t line = lane / 4;
        const std::size_t pair = lane % 4 * 2;
        const std::uint32_t low = transposed ? m[pair][line] : m[line][pair];
        const std::uint32_t high = transposed ? m[pair + 1][line] : m[line][pair + 1];
        each[lane]->r[matrix] = low | high << 16;
      }
    }
  });
}

struct Product {
  float* c;
  const std::uint32_t* a;
  std::uint32_t b0, b1;
};

template <class Element>
void product(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
  Product mine{c, a, b0, b1};
  block->meet("mma", mine, [&](const std::array<Product*, kWarp>& each) {
    ++block->findings.matrix_products;
    const auto half = [](std::uint32_t word, std::size_t high) {
      return unpack<Element>(static_cast<std::uint16_t>(high != 0 ? word >> 16 : word));
    };
    // The PTX manual's figures for mma.m16n8k16: lane 4g + t holds, of A, rows g and g + 8 at columns 2t, 2t+1 and 8
    // on.
    std::array<std::array<float, 16>, 16> left{};
    std::array<std::array<float, 8>, 16> right{};
    for (std::size_t lane = 0; lane < kWarp; ++lane) {
      const std::size_t g = lane / 4;
      const std::size_t t = lane % 4;
      for (std::size_t high = 0; high < 2; ++high) {
        const std::size_t column = 2 * t + high;
        left[g][column] = half(each[lane]->a[0], high);
        left[g + 8][column] = half(each[lane]->a[1], high);
        left[g][column + 8] = half(each[lane]->a[2], high);
        left[g + 8][column + 8] = half(each[lane]->a[3], high);
        right[column][g] = half(each[lane]->b0, high);
        right[column + 8][g] = half(each[lane]->b1, high);
      }
    }
    for (std::size_t lane = 0; lane < kWarp; ++lane) {
      for (std::size_t i = 0; i < 4; ++i) {
        const std::size_t row = lane / 4 + i / 2 * 8;
        const std::size_t column = lane % 4 * 2 + i % 2;
        float sum = each[lane]->c[i];
        for (std::size_t k = 0; k < 16; ++k) sum += left[row][k] * right[k][column];
        each[lane]->c[i] = sum;
      }
    }
  });
}

}  // namespace

void load_matrices(std::uint32_t (&r)[4], std::uint32_t address) { load_matrices_of(r, address, false); }
void load_matrices_transposed(std::uint32_t (&r)[4], std::uint32_t address) { load_matrices_of(r, address, true); }

template <>
void multiply_add<Bf16>(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
  product<Bf16>(c, a, b0, b1);
}
template <>
void multiply_add<Fp16>(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
  product<Fp16>(c, a, b0, b1);
}
template <>
float unpack<Bf16>(std::uint16_t bits) {
  return substrate::to_float(substrate::BFloat16{bits});
}
template <>
float unpack<Fp16>(std::uint16_t bits) {
  return substrate::to_float(substrate::Float16{bits});
}
template <>
std::uint32_t pack<Bf16>(float low, float high) {
  return substrate::to_bf16(low).bits | static_cast<std::uint32_t>(substrate::to_bf16(high).bits) << 16;
}
template <>
std::uint32_t pack<Fp16>(float low, float high) {
  return substrate::to_f16(low).bits | static_cast<std::uint32_t>(substrate::to_f16(high).bits) << 16;
}

float power_of_two(float x) { return std::exp2(x); }
float natural_log(float x) { return std::log(x); }
float larger(float a, float b) { return std::fmax(a, b); }
float fused(float a, float b, float c) { return std::fma(a, b, c); }
float inverse_root(float x) { return 1.0F / std::sqrt(x); }

void store_shared(std::uint32_t to, std::uint32_t word) {
  if (block->bad_shared(to, 4)) return;
  block->note_write(to - emulator::kSharedBase, 4, block->running);
  block->self().stores4.push_back(to);
  std::memcpy(block->shared.data() + to - emulator::kSharedBase, &word, 4);
}
void store_shared(std::uint32_t to, float value) { store_shared(to, std::bit_cast<std::uint32_t>(value)); }

float load_shared_float(std::uint32_t from) {
  float value = std::nanf("");
  if (block->bad_shared(from, 4)) return value;
  block->note_read(from - emulator::kSharedBase, 4, block->running);
  block->self().loads4.push_back(from);
  std::memcpy(&value, block->shared.data() + from - emulator::kSharedBase, 4);
  return value;
}

Words4 load_shared_words(std::uint32_t from) {
  Words4 words{};
  if (block->bad_shared(from, 16)) return words;
  block->note_read(from - emulator::kSharedBase, 16, block->running);
  block->self().loads16.push_back(from);
  std::memcpy(words.word, block->shared.data() + from - emulator::kSharedBase, 16);
  return words;
}

}  // namespace assay::attention::cuda
