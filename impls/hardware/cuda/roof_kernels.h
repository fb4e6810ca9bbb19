#pragma once
// Launches of the kernels behind the roofs of a GPU, and the numbers that host and device draw alike.
#include <cstddef>
#include <cstdint>

#include "harness/gpu/device.h"
#include "harness/gpu/host_device.h"

namespace assay::hardware::cuda {

using harness::gpu::Stream;

// Word `index` of the data drawn from a seed: the finaliser of splitmix64, so that any word can be made anywhere.
ASSAY_HOST_DEVICE std::uint32_t drawn_word(std::uint64_t seed, std::uint64_t index) {
  std::uint64_t x = seed + (index + 1) * 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30U)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27U)) * 0x94d049bb133111ebULL;
  return static_cast<std::uint32_t>((x ^ (x >> 31U)) >> 32U);
}

// words[i] = drawn_word(seed, i).
void launch_draw_words(std::uint32_t* words, std::uint64_t count, std::uint64_t seed, Stream stream);

// Elements of a matrix: multiples of 1/1024 in [-1, 1), rounded to the type; fp32 holds them exactly, and so does tf32.
enum class Element { bf16, fp16, fp32, e4m3 };
void launch_draw_elements(void* elements, Element type, std::uint64_t count, std::uint64_t seed, Stream stream);

// to = from; `words` a multiple of 4.
void launch_copy(const std::uint32_t* from, std::uint32_t* to, std::uint64_t words, int multiprocessors, Stream stream);

// sums[block] = sum of the words that the block reads, as 64-bit integers. `words` a multiple of 4.
int read_blocks(int multiprocessors);
void launch_read(const std::uint32_t* from, std::uint64_t words, std::uint64_t* sums, int multiprocessors,
                 Stream stream);

// Every block copies `shared_words` words into shared memory and each of its threads adds up `rounds` vectors of 16
// bytes: round r of thread t is vector (t + 32 r) modulo the number of vectors. sums[block][thread], modulo 2^32.
inline constexpr int shared_threads = 1024;
inline constexpr int shared_words = 8192;  // 32 KiB: two blocks fit on any multiprocessor
int shared_blocks(int multiprocessors);
void launch_shared_read(const std::uint32_t* words, int rounds, std::uint32_t* sums, int multiprocessors,
                        Stream stream);

// One thread writes one word: the smallest kernel that can be checked.
void launch_store(std::uint32_t value, std::uint32_t* to, Stream stream);

}  // namespace assay::hardware::cuda
