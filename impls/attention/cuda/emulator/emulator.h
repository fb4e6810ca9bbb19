#pragma once
// simt.h on a CPU. Every thread of a block is a fiber; matrix instructions, shuffles and barriers are where fibers
// meet. Asynchronous copies land when they are waited for, not before, and the order in which fibers run can be drawn
// from a seed, so a kernel that misses a wait or a barrier gives a wrong result or a fault here.
//
// Faults it finds: two threads at one word of shared memory, one of them writing, with nothing that orders them
// between; reading what a copy in flight will write; shared or global accesses out of bounds or misaligned; lanes that
// meet at different instructions; threads that wait for others for ever; copies still in flight at the end. Bank
// conflicts are counted. hopper.h adds what sm_90a has.
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <type_traits>
#include <vector>

#include "impls/attention/cuda/simt.h"

namespace assay::attention::cuda {

namespace emulator {

struct Launch {
  int x = 1, y = 1, z = 1;  // blocks
  int threads = kWarp;      // a block
  std::size_t shared_bytes = 0;
  std::uint64_t order = 0;  // 0: threads in order; else the seed of the order they run in
};

// Global memory a kernel may touch. Anything else is a fault.
struct Region {
  const void* start = nullptr;
  std::size_t bytes = 0;
  bool writable = false;
  std::vector<std::uint8_t> writes = {};  // times each byte was written
};

struct Findings {
  std::vector<std::string> faults;  // the first few
  std::int64_t fault_count = 0;
  std::int64_t wavefronts = 0;       // shared-memory passes that were needed ...
  std::int64_t bank_conflicts = 0;   // ... and those beyond the least possible
  std::int64_t matrix_products = 0;  // m16n8k16 of a warp
  std::int64_t copied_bytes = 0;     // by asynchronous copies
};

// Runs `kernel` once for every thread of every block.
Findings run(const Launch& launch, std::vector<Region>& memory, const std::function<void()>& kernel);

void wait_for_copies(int pending);
// Notes the access; false, and a fault, where it is not allowed.
bool may_touch(const void* p, std::size_t bytes, bool write);
float add(float* to, float value);
// For tests: kernels made wrong on their way through the emulator, to see that it is found.
struct Sabotage {
  std::string omit;  // an instruction of hopper.h, by its name there, that threads [from, end) leave out ...
  int from = 0, end = 1 << 20;
  std::uint32_t parity = 1;        // wait_phase waits for its parity & this
  std::uint64_t operand = 0;       // added to descriptors of right sides
  std::uint32_t fewer_bytes = 0;   // that arrive_expecting expects
  std::uint32_t copy_address = 0;  // added to where load_box writes
};
// Of launches from now on.
Sabotage& sabotage();
bool omitted(const char* instruction);

// What an accumulator holds while its product is in flight; a fault if `value` is that.
inline constexpr std::uint32_t kPoison = 0x7fc0deadU;
void need_value(float value);

}  // namespace emulator

int thread_index();
int block_x();
int block_y();
int block_z();
inline int fresh(int value) { return value; }
std::uint32_t shared_base();
void barrier();
void warp_barrier();
float shuffle_xor(float value, int mask);
void copy_async(std::uint32_t to, const void* from, bool valid);
void copy_async_word(std::uint32_t to, const float* from, bool valid);
void copy_commit();
template <int kPending>
void copy_wait() {
  emulator::wait_for_copies(kPending);
}
void load_matrices(std::uint32_t (&r)[4], std::uint32_t address);
void load_matrices_transposed(std::uint32_t (&r)[4], std::uint32_t address);

template <class Element>
void multiply_add(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1);
template <>
void multiply_add<Bf16>(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1);
template <>
void multiply_add<Fp16>(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1);

template <class Element>
float unpack(std::uint16_t bits);
template <>
float unpack<Bf16>(std::uint16_t bits);
template <>
float unpack<Fp16>(std::uint16_t bits);
template <class Element>
std::uint32_t pack(float low, float high);
template <>
std::uint32_t pack<Bf16>(float low, float high);
template <>
std::uint32_t pack<Fp16>(float low, float high);

float power_of_two(float x);
float natural_log(float x);
float larger(float a, float b);
float fused(float a, float b, float c);
float inverse_root(float x);

void store_shared(std::uint32_t to, std::uint32_t word);
void store_shared(std::uint32_t to, float value);
void store_shared(std::uint32_t to, const float (&values)[4]);  // 16 bytes at once
void store_shared(std::uint32_t to, const Words4& words);
float load_shared_float(std::uint32_t from);
std::uint32_t load_shared_word(std::uint32_t from);
Words4 load_shared_words(std::uint32_t from);

template <class T>
T load_global(const T* from) {
  return emulator::may_touch(from, sizeof(T), false) ? *from : T{};
}
template <class T>
void store_global(T* to, T value) {
  if constexpr (std::is_same_v<T, float>) emulator::need_value(value);
  if (emulator::may_touch(to, sizeof(T), true)) *to = value;
}
inline void add_global(float* to, float value) { emulator::add(to, value); }
inline int count_global(int* counter) { return emulator::may_touch(counter, sizeof(int), true) ? (*counter)++ : 0; }

}  // namespace assay::attention::cuda
