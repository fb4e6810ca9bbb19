#pragma once
// Kernels behind hardware/hopper-ubench: each asks one thing of one unit, counts clock cycles itself, and leaves a
// result that the host can predict. No CUDA header is needed to launch them.
//
// Every kernel writes into `cycles` (one a block) the clock cycles that its measured part took there.
#include <cstdint>

#include "harness/gpu/device.h"

namespace assay::hardware::cuda {

using harness::gpu::Stream;

// -- latency: one thread follows `next`; element i of a chain lies at word i * chain_stride
inline constexpr int chain_stride = 32;  // 128 bytes: a line each
inline constexpr int chain_trail = 32;
inline constexpr int shared_chain_nodes = 64;  // 8 KiB
enum class Level : int { l1, l2, global, shared, cluster };
struct Chase {
  const std::uint32_t* chain = nullptr;
  std::uint32_t* position = nullptr;  // where the last run ended, in nodes; this run goes on from there
  std::uint32_t* ends = nullptr;  // [2 + chain_trail]: where this run began and ended, and the next nodes, not counted
  std::uint32_t* cycles = nullptr;
  int warm = 0;  // steps that are not counted, before
  int steps = 0;
};
// cluster: the chain lies in the shared memory of the other block of a cluster of two (sm_90).
void launch_chase(Level level, const Chase& chase, Stream stream);

// -- bandwidth: `sums` one a thread (l1, cluster) or a block (l2)
inline constexpr int bandwidth_threads = 1024;
inline constexpr int l1_vectors = 1024;  // of 16 bytes, a block's own region
struct Read {
  const std::uint32_t* words = nullptr;
  std::int64_t vectors = 0;  // of l2: all blocks read all of them, `rounds` times
  int rounds = 0;
  std::uint32_t* sums = nullptr;
  std::uint32_t* cycles = nullptr;
};
void launch_read_l1(const Read& read, int blocks, Stream stream);
void launch_read_l2(const Read& read, int blocks, Stream stream);
// Blocks of a cluster of two read each other's shared memory (sm_90): l1_vectors vectors of the other block's region.
void launch_read_cluster(const Read& read, int blocks, Stream stream);

// -- global to shared memory in boxes, `copy_stages` under way; every thread adds up what arrives. sums: one a thread
inline constexpr int copy_threads = 256;
inline constexpr int copy_stages = 4;
struct CopyIn {
  const std::uint32_t* words = nullptr;
  std::int64_t boxes = 0;
  int box_bytes = 4096;  // a multiple of 4096, at most 48 KiB
  std::uint32_t* sums = nullptr;
  std::uint32_t* cycles = nullptr;
};
enum class CopyEngine : int { registers, cp_async, bulk };  // bulk: cp.async.bulk with an mbarrier (sm_90), one thread
void launch_copy_in(CopyEngine engine, const CopyIn& copy, int blocks, Stream stream);

// -- matrix units. Warps of mma.sync keep `chains` (1 or 4) accumulators; warp groups of wgmma one of 64 x n
enum class MatrixType : int { bf16, fp16, tf32, int8, e4m3 };
struct Matrix {
  const std::uint32_t* a = nullptr;  // mma: [lane][4] fragments; wgmma: the tile as its descriptor has it
  const std::uint32_t* b = nullptr;  // mma: [chain][lane][2]
  void* d = nullptr;                 // fp32 or int32; mma: [warp][chain][lane][4]; wgmma: [group][thread][n/2]
  std::uint32_t* cycles = nullptr;
  int rounds = 0;
};
void launch_mma(MatrixType type, int chains, const Matrix& matrix, int blocks, int warps, Stream stream);
// n 64, 128 or 256; both operands from shared memory (sm_90a).
void launch_wgmma(MatrixType type, int n, const Matrix& matrix, int blocks, int groups, Stream stream);

// -- fused integer operations: x = max(x + a, b), once or in both halves, then not below 0 (relu); `rounds` times for
// each of `chains` (1 or 4) values a thread
enum class Dpx : int { addmax_s32, addmax_s32_relu, addmax_s16x2, addmax_s16x2_relu };
struct DpxChains {
  const std::uint32_t* operands = nullptr;  // x [chain][lane], a [lane], b [lane]
  std::uint32_t* results = nullptr;         // [thread of the grid][chain]
  std::uint32_t* cycles = nullptr;
  int rounds = 0;
};
void launch_dpx(Dpx what, int chains, const DpxChains& problem, int blocks, int warps, Stream stream);

// -- atomics and barriers
enum class Atomic : int { same_address, own_address, shared_memory };
// counters: one (same_address), one a thread, or one a block; each thread adds 1 `rounds` times.
void launch_atomic(Atomic where, std::uint32_t* counters, std::uint32_t* cycles, int rounds, int blocks, int threads,
                   Stream stream);
enum class Barrier : int { warp, block, cluster };  // cluster: of two blocks (sm_90)
// Threads pass `rounds` barriers; `passed` counts them, one a thread.
void launch_barrier(Barrier which, std::uint32_t* passed, std::uint32_t* cycles, int rounds, int blocks, int threads,
                    Stream stream);

}  // namespace assay::hardware::cuda
