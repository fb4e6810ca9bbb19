#include "impls/attention/cuda/emulator/emulator.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <set>
#include <stdexcept>

#include "impls/attention/cuda/emulator/block.h"
#include "impls/substrate/dtype.h"

namespace assay::attention::cuda {
namespace emulator {
namespace {

constexpr std::size_t kStackBytes = 128UL << 10;
constexpr std::size_t kFaultsKept = 8;

Block* block = nullptr;

void switch_to(Block& in, Fiber& from, Fiber* to) {
  const int me = static_cast<int>(&from - in.fibers.data());
  if (to == &from) return;
#ifdef ASSAY_FIBER_TSAN
  __tsan_switch_to_fiber(to != nullptr ? to->tsan : in.main_tsan, 0);
#endif
  swapcontext(&from.context, to != nullptr ? &to->context : &in.main);
  in.running = me;
}

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

}  // namespace

Block& current() { return *block; }

void join(Clock& into, const Clock& from) {
  if (into.size() < from.size()) into.resize(from.size());
  for (std::size_t i = 0; i < from.size(); ++i) into[i] = std::max(into[i], from[i]);
}

std::string Block::name_of(int agent) const {
  const int warps_here = static_cast<int>(warps.size());
  if (agent < launch.threads) return "thread " + std::to_string(agent);
  if (agent < store_agent(0)) return "a product of warp " + std::to_string(agent - launch.threads);
  if (agent < engine_agent(0)) return "a store of warp " + std::to_string(agent - launch.threads - warps_here);
  return "a copy that phase barrier " + std::to_string(agent - engine_agent(0)) + " counts";
}

void Block::release(int thread, Clock& into) {
  Clock& seen = fiber(thread).seen;
  join(into, seen);
  ++seen[static_cast<std::size_t>(thread)];
}

void Block::fault(const std::string& what) {
  ++findings.fault_count;
  if (findings.faults.size() < kFaultsKept) {
    findings.faults.push_back("block " + std::to_string(x) + "," + std::to_string(y) + "," + std::to_string(z) +
                              " thread " + std::to_string(running) + ": " + what);
  }
}

void Block::leave() {
  Fiber& from = self();
  land_some();
  if (ready.empty()) {
    switch_to(*this, from, nullptr);
    return;
  }
  if (launch.order != 0) {
    random = random * 6364136223846793005ULL + 1442695040888963407ULL;
    std::swap(ready.front(), ready[(random >> 33) % ready.size()]);
  }
  running = ready.front();
  ready.pop_front();
  switch_to(*this, from, &self());
}

void Block::barrier() {
  if (finished > 0) fault("a barrier that some threads never reach");
  if (++waiting_at_barrier < launch.threads) {
    leave();
    return;
  }
  waiting_at_barrier = 0;
  Clock all;
  for (int i = 0; i < launch.threads; ++i) join(all, fiber(i).seen);
  for (int i = 0; i < launch.threads; ++i) {
    fiber(i).seen = all;
    ++fiber(i).seen[static_cast<std::size_t>(i)];
    if (i != running) wake(i);
  }
  for (std::size_t w = 0; w < warps.size(); ++w) flush_addresses(static_cast<int>(w));
}

bool Block::bad_shared(std::uint32_t address, std::uint32_t bytes, std::uint32_t alignment) {
  if (address < kSharedBase || address - kSharedBase + bytes > shared.size() || address % alignment != 0) {
    fault("shared address " + std::to_string(address) + " of " + std::to_string(bytes) +
          " bytes is out of bounds or misaligned");
    return true;
  }
  return false;
}

void Block::note_read(std::uint32_t offset, std::uint32_t bytes, const Stamp& stamp, const Clock& seen) {
  for (std::uint32_t word = offset / 4; word < (offset + bytes) / 4; ++word) {
    Shadow& s = shadow[word];
    if (s.in_flight) fault("reads shared byte " + std::to_string(word * 4) + " which a copy in flight will write");
    if (!s.writer.seen_by(seen))
      fault("reads shared byte " + std::to_string(word * 4) + " written by " + name_of(s.writer.agent) +
            " with no barrier between");
    const auto mine = std::ranges::find(s.readers, stamp.agent, &Stamp::agent);
    if (mine != s.readers.end())
      mine->count = stamp.count;
    else
      s.readers.push_back(stamp);
  }
}

void Block::note_write(std::uint32_t offset, std::uint32_t bytes, const Stamp& stamp, const Clock& seen) {
  for (std::uint32_t word = offset / 4; word < (offset + bytes) / 4; ++word) {
    Shadow& s = shadow[word];
    if (s.in_flight) fault("writes shared byte " + std::to_string(word * 4) + " under a copy in flight");
    if (!s.writer.seen_by(seen))
      fault("writes shared byte " + std::to_string(word * 4) + " after " + name_of(s.writer.agent) +
            " with no barrier between");
    for (const Stamp& reader : s.readers) {
      if (reader.seen_by(seen)) continue;
      fault("writes shared byte " + std::to_string(word * 4) +
            " that others read with no barrier between: " + name_of(reader.agent));
      break;
    }
    s.writer = stamp;
    s.by_thread = false;
    s.readers.clear();
  }
}

void Block::need_fence(std::uint32_t offset, std::uint32_t bytes) {
  for (std::uint32_t word = offset / 4; word < (offset + bytes) / 4; ++word) {
    const Shadow& s = shadow[word];
    if (!s.by_thread || s.writer.count <= fiber(s.writer.agent).fenced_for_copies) continue;
    fault("shared byte " + std::to_string(word * 4) + " reaches the copy engine or a matrix unit, but " +
          name_of(s.writer.agent) + " wrote it without a fence");
    return;
  }
}

// One pass serves 128 bytes, a bank of four bytes each; 16-byte accesses go by eight lanes.
void Block::count_pass(const std::vector<std::uint32_t>& addresses, std::uint32_t bytes) {
  if (addresses.empty()) return;
  std::array<std::set<std::uint32_t>, 32> words_of_bank;
  for (const std::uint32_t address : addresses) {
    for (std::uint32_t word = address / 4; word < (address + bytes) / 4; ++word) words_of_bank[word % 32].insert(word);
  }
  std::size_t passes = 0;
  for (const auto& words : words_of_bank) passes = std::max(passes, words.size());
  findings.wavefronts += static_cast<std::int64_t>(passes);
  findings.bank_conflicts += static_cast<std::int64_t>(passes) - 1;
}

void Block::flush(int warp_index, std::vector<std::uint32_t> Fiber::*list, std::uint32_t bytes) {
  const int first = warp_index * kWarp;
  const int lanes_a_pass = bytes == 16 ? 8 : kWarp;
  std::size_t longest = 0;
  for (int i = first; i < first + kWarp; ++i) longest = std::max(longest, (fiber(i).*list).size());
  for (std::size_t n = 0; n < longest; ++n) {
    for (int lane = 0; lane < kWarp; lane += lanes_a_pass) {
      std::vector<std::uint32_t> pass;
      for (int i = lane; i < lane + lanes_a_pass; ++i) {
        const auto& addresses = fiber(first + i).*list;
        if (n < addresses.size()) pass.push_back(addresses[n]);
      }
      count_pass(pass, bytes);
    }
  }
  for (int i = first; i < first + kWarp; ++i) (fiber(i).*list).clear();
}

void Block::flush_addresses(int warp_index) {
  flush(warp_index, &Fiber::stores4, 4);
  flush(warp_index, &Fiber::loads4, 4);
  flush(warp_index, &Fiber::stores16, 16);
  flush(warp_index, &Fiber::loads16, 16);
}

void Block::run_block() {
#ifdef ASSAY_FIBER_TSAN
  main_tsan = __tsan_get_current_fiber();
#endif
  const int registers = std::min(255, kRegisters / launch.threads) / 8 * 8;
  free_registers = kRegisters - registers * launch.threads;
  for (Warp& one : warps) one.registers = registers;
  for (int i = 0; i < launch.threads; ++i) {
    Fiber& one = fiber(i);
    one.done = false;
    one.open.clear();
    one.committed.clear();
    one.fenced.clear();
    one.fenced_for_copies = 0;
    one.seen.assign(static_cast<std::size_t>(agents()), 0);
    one.seen[static_cast<std::size_t>(i)] = 1;
    getcontext(&one.context);
    one.context.uc_stack.ss_sp = one.stack.get();
    one.context.uc_stack.ss_size = kStackBytes;
    one.context.uc_link = nullptr;
    makecontext(&one.context, enter, 0);
    wake(i);
  }
  while (!ready.empty()) {
    running = ready.front();
    ready.pop_front();
#ifdef ASSAY_FIBER_TSAN
    __tsan_switch_to_fiber(self().tsan, 0);
#endif
    swapcontext(&main, &self().context);
  }
  if (finished != launch.threads) {
    fault(std::to_string(launch.threads - finished) + " threads wait for ever");
    throw std::runtime_error(findings.faults.front());
  }
  for (std::size_t w = 0; w < warps.size(); ++w) {
    flush_addresses(static_cast<int>(w));
    if (!warps[w].open.empty() || !warps[w].products.empty()) fault("ends with a product in flight");
    if (warps[w].issued != warps[w / 4 * 4].issued) fault("the warps of a warpgroup ask for different products");
  }
  if (!box_copies.empty()) fault("ends with a copy in flight");
  for (const auto& [number, one] : named_barriers)
    if (one.arrived > 0) fault("ends with some threads arrived at barrier " + std::to_string(number));
}

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
      for (std::uint32_t word = copy.to / 4; word < (copy.to + copy.size) / 4; ++word) {
        Shadow& s = block->shadow[word];
        s.writer = block->stamp_of(block->running);
        s.in_flight = false;
      }
    }
    committed.pop_front();
  }
}

Sabotage& sabotage() {
  static Sabotage present;
  return present;
}

bool omitted(const char* instruction) {
  const Sabotage& present = sabotage();
  return present.omit == instruction && block->running >= present.from && block->running < present.end;
}

void need_value(float value) {
  if (std::bit_cast<std::uint32_t>(value) == kPoison)
    block->fault("reads an accumulator while its product is in flight");
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
  block->meet("warp barrier", nothing, [&](const auto&) {
    const int first = block->warp_index() * kWarp;
    emulator::Clock all;
    for (int i = first; i < first + kWarp; ++i) block->release(i, all);
    for (int i = first; i < first + kWarp; ++i) block->acquire(i, all);
  });
}

float shuffle_xor(float value, int mask) {
  struct Arguments {
    float value;
    int mask;
    float result;
  } mine{value, mask, 0};
  emulator::need_value(value);
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
  emulator::need_value(low);
  emulator::need_value(high);
  return substrate::to_bf16(low).bits | static_cast<std::uint32_t>(substrate::to_bf16(high).bits) << 16;
}
template <>
std::uint32_t pack<Fp16>(float low, float high) {
  emulator::need_value(low);
  emulator::need_value(high);
  return substrate::to_f16(low).bits | static_cast<std::uint32_t>(substrate::to_f16(high).bits) << 16;
}

float power_of_two(float x) {
  emulator::need_value(x);
  return std::exp2(x);
}
float natural_log(float x) { return std::log(x); }
float larger(float a, float b) {
  emulator::need_value(a);
  emulator::need_value(b);
  return std::fmax(a, b);
}
float fused(float a, float b, float c) {
  emulator::need_value(a);
  return std::fma(a, b, c);
}
float inverse_root(float x) { return 1.0F / std::sqrt(x); }

void store_shared(std::uint32_t to, std::uint32_t word) {
  if (block->bad_shared(to, 4)) return;
  block->note_write(to - emulator::kSharedBase, 4, block->running);
  block->self().stores4.push_back(to);
  std::memcpy(block->shared.data() + to - emulator::kSharedBase, &word, 4);
}
void store_shared(std::uint32_t to, float value) { store_shared(to, std::bit_cast<std::uint32_t>(value)); }
void store_shared(std::uint32_t to, const float (&values)[4]) {
  Words4 words{};
  for (std::size_t i = 0; i < 4; ++i) {
    emulator::need_value(values[i]);
    words.word[i] = std::bit_cast<std::uint32_t>(values[i]);
  }
  store_shared(to, words);
}
void store_shared(std::uint32_t to, const Words4& words) {
  if (block->bad_shared(to, 16)) return;
  block->note_write(to - emulator::kSharedBase, 16, block->running);
  block->self().stores16.push_back(to);
  std::memcpy(block->shared.data() + to - emulator::kSharedBase, words.word, 16);
}

float load_shared_float(std::uint32_t from) {
  float value = std::nanf("");
  if (block->bad_shared(from, 4)) return value;
  block->note_read(from - emulator::kSharedBase, 4, block->running);
  block->self().loads4.push_back(from);
  std::memcpy(&value, block->shared.data() + from - emulator::kSharedBase, 4);
  return value;
}

std::uint32_t load_shared_word(std::uint32_t from) { return std::bit_cast<std::uint32_t>(load_shared_float(from)); }

Words4 load_shared_words(std::uint32_t from) {
  Words4 words{};
  if (block->bad_shared(from, 16)) return words;
  block->note_read(from - emulator::kSharedBase, 16, block->running);
  block->self().loads16.push_back(from);
  std::memcpy(words.word, block->shared.data() + from - emulator::kSharedBase, 16);
  return words;
}

}  // namespace assay::attention::cuda
