// Latency and bandwidth of the levels of memory, copies into shared memory, atomics, barriers.
#include <cuda_runtime.h>

#include <stdexcept>

#include "harness/gpu/cuda_check.h"
#include "impls/hardware/cuda/ubench_kernels.h"

// What only Hopper has is empty in the code for sm_80; the host does not launch it there.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
#define ASSAY_HOPPER 1
#else
#define ASSAY_HOPPER 0
#endif

namespace assay::hardware::cuda {
namespace {

using harness::gpu::check;
using harness::gpu::check_launch;

__device__ std::uint32_t clock_now() {
  std::uint32_t now = 0;
  asm volatile("mov.u32 %0, %%clock;" : "=r"(now)::"memory");
  return now;
}
__device__ std::uint32_t shared_address(const void* at) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(at));
}

// -- latency

template <Level kLevel>
__device__ std::uint32_t follow(const std::uint32_t* chain, std::uint32_t base, std::uint32_t node) {
  std::uint32_t next = 0;
  const std::uint32_t word = node * chain_stride;
  if constexpr (kLevel == Level::l1)
    asm volatile("ld.global.ca.u32 %0, [%1];" : "=r"(next) : "l"(__cvta_generic_to_global(chain + word)) : "memory");
  else if constexpr (kLevel == Level::l2 || kLevel == Level::global)
    asm volatile("ld.global.cg.u32 %0, [%1];" : "=r"(next) : "l"(__cvta_generic_to_global(chain + word)) : "memory");
  else if constexpr (kLevel == Level::shared)
    asm volatile("ld.shared.u32 %0, [%1];" : "=r"(next) : "r"(base + word * 4) : "memory");
#if ASSAY_HOPPER
  else
    asm volatile("ld.shared::cluster.u32 %0, [%1];" : "=r"(next) : "r"(base + word * 4) : "memory");
#endif
  return next;
}

template <Level kLevel>
__global__ void __launch_bounds__(32) chase_kernel(const __grid_constant__ Chase p) {
  __shared__ std::uint32_t
      held[kLevel == Level::shared || kLevel == Level::cluster ? shared_chain_nodes * chain_stride : 1];
  std::uint32_t base = 0;
  if constexpr (kLevel == Level::shared || kLevel == Level::cluster) {
    for (int i = static_cast<int>(threadIdx.x); i < shared_chain_nodes; i += 32)
      held[i * chain_stride] = p.chain[i * chain_stride];
    __syncthreads();
    base = shared_address(held);
  }
#if ASSAY_HOPPER
  if constexpr (kLevel == Level::cluster) {
    asm volatile("barrier.cluster.arrive.aligned;\n barrier.cluster.wait.aligned;" ::: "memory");
    asm volatile("mapa.shared::cluster.u32 %0, %0, %1;" : "+r"(base) : "r"(1));
  }
#endif
  if (blockIdx.x == 0 && threadIdx.x == 0) {
    const std::uint32_t from = *p.position;
    std::uint32_t node = from;
    for (int i = 0; i < p.warm; ++i) node = follow<kLevel>(p.chain, base, node);
    const std::uint32_t start = clock_now();
#pragma unroll 8
    for (int i = 0; i < p.steps; ++i) node = follow<kLevel>(p.chain, base, node);
    const std::uint32_t end = clock_now();
    p.ends[0] = from;
    p.ends[1] = node;
    for (int i = 0; i < chain_trail; ++i) p.ends[2 + i] = node = follow<kLevel>(p.chain, base, node);
    *p.position = node;
    p.cycles[0] = end - start;
  }
#if ASSAY_HOPPER
  // The other block's memory must stay until it has been read.
  if constexpr (kLevel == Level::cluster) {
    __syncwarp();
    asm volatile("barrier.cluster.arrive.aligned;\n barrier.cluster.wait.aligned;" ::: "memory");
  }
#endif
}

// A launch of clusters of two blocks.
template <class... Parameters>
void launch_pairs(void (*kernel)(Parameters...), int blocks, int threads, Stream stream, Parameters... arguments) {
  cudaLaunchAttribute cluster{};
  cluster.id = cudaLaunchAttributeClusterDimension;
  cluster.val.clusterDim.x = 2;
  cluster.val.clusterDim.y = cluster.val.clusterDim.z = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(blocks));
  config.blockDim = dim3(static_cast<unsigned>(threads));
  config.stream = stream;
  config.attrs = &cluster;
  config.numAttrs = 1;
  check(cudaLaunchKernelEx(&config, kernel, arguments...), "launching clusters");
}

// -- bandwidth

__device__ std::uint32_t sum_of(const uint4& v) { return v.x + v.y + v.z + v.w; }
__device__ uint4 load_cached(const uint4* from) {
  uint4 v;
  asm volatile("ld.global.ca.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "l"(__cvta_generic_to_global(from)));
  return v;
}

__global__ void __launch_bounds__(bandwidth_threads) read_l1_kernel(const __grid_constant__ Read p) {
  const auto* const own = reinterpret_cast<const uint4*>(p.words) + blockIdx.x * static_cast<std::int64_t>(l1_vectors);
  std::uint32_t sum = 0;
  int at = static_cast<int>(threadIdx.x);
  for (int r = 0; r < l1_vectors / bandwidth_threads; ++r) {  // into L1
    load_cached(own + at);
    at = (at + bandwidth_threads) % l1_vectors;
  }
  __syncthreads();
  const std::uint32_t start = clock_now();
#pragma unroll 8
  for (int r = 0; r < p.rounds; ++r) {
    sum += sum_of(load_cached(own + at));
    at = (at + 32) % l1_vectors;
  }
  __syncthreads();
  const std::uint32_t end = clock_now();
  p.sums[blockIdx.x * bandwidth_threads + threadIdx.x] = sum;
  if (threadIdx.x == 0) p.cycles[blockIdx.x] = end - start;
}

__global__ void __launch_bounds__(bandwidth_threads) read_l2_kernel(const __grid_constant__ Read p) {
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * bandwidth_threads;
  const std::int64_t first = blockIdx.x * static_cast<std::int64_t>(bandwidth_threads) + threadIdx.x;
  std::uint32_t sum = 0;
  const std::uint32_t start = clock_now();
  for (int r = 0; r < p.rounds; ++r) {
#pragma unroll 4
    for (std::int64_t at = first; at < p.vectors; at += step) {
      uint4 v;
      asm volatile("ld.global.cg.v4.u32 {%0, %1, %2, %3}, [%4];"
                   : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                   : "l"(__cvta_generic_to_global(reinterpret_cast<const uint4*>(p.words) + at)));
      sum += sum_of(v);
    }
  }
  const std::uint32_t end = clock_now();
  __shared__ std::uint32_t all;
  if (threadIdx.x == 0) all = 0;
  __syncthreads();
  atomicAdd(&all, sum);
  __syncthreads();
  if (threadIdx.x != 0) return;
  p.sums[blockIdx.x] = all;
  p.cycles[blockIdx.x] = end - start;
}

__global__ void __launch_bounds__(bandwidth_threads) read_cluster_kernel(const __grid_constant__ Read p) {
#if ASSAY_HOPPER
  __shared__ uint4 held[l1_vectors];
  const auto* const own = reinterpret_cast<const uint4*>(p.words) + blockIdx.x * static_cast<std::int64_t>(l1_vectors);
  for (int i = static_cast<int>(threadIdx.x); i < l1_vectors; i += bandwidth_threads) held[i] = own[i];
  asm volatile("barrier.cluster.arrive.aligned;\n barrier.cluster.wait.aligned;" ::: "memory");
  std::uint32_t base = shared_address(held);
  asm volatile("mapa.shared::cluster.u32 %0, %0, %1;" : "+r"(base) : "r"((blockIdx.x & 1U) ^ 1U));
  std::uint32_t sum = 0;
  std::uint32_t at = threadIdx.x;
  const std::uint32_t start = clock_now();
#pragma unroll 8
  for (int r = 0; r < p.rounds; ++r) {
    uint4 v;
    asm volatile("ld.shared::cluster.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                 : "r"(base + at * 16));
    sum += sum_of(v);
    at = (at + 32) % l1_vectors;
  }
  const std::uint32_t end = clock_now();
  asm volatile("barrier.cluster.arrive.aligned;\n barrier.cluster.wait.aligned;" ::: "memory");
  p.sums[blockIdx.x * bandwidth_threads + threadIdx.x] = sum;
  if (threadIdx.x == 0) p.cycles[blockIdx.x] = end - start;
#endif
}

// -- copies into shared memory

template <CopyEngine kEngine>
__global__ void __launch_bounds__(copy_threads) copy_in_kernel(const __grid_constant__ CopyIn p) {
#if !ASSAY_HOPPER
  if constexpr (kEngine == CopyEngine::bulk) return;
#endif
  extern __shared__ __align__(128) unsigned char boxes[];
  [[maybe_unused]] __shared__ __align__(8) std::uint64_t arrived[copy_stages];
  const int thread = static_cast<int>(threadIdx.x);
  const int vectors = p.box_bytes / 16;
  const std::uint32_t base = shared_address(boxes);
  const auto box_at = [&](std::int64_t box) { return reinterpret_cast<const uint4*>(p.words) + box * vectors; };
  const auto start_box = [&](std::int64_t i) {
    const std::int64_t box = blockIdx.x + i * gridDim.x;
    const auto stage = static_cast<std::uint32_t>(i % copy_stages);
    const std::uint32_t to = base + stage * static_cast<std::uint32_t>(p.box_bytes);
    if constexpr (kEngine == CopyEngine::cp_async) {
      if (box < p.boxes)
        for (int v = thread; v < vectors; v += copy_threads)
          asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to + v * 16),
                       "l"(__cvta_generic_to_global(box_at(box) + v))
                       : "memory");
      asm volatile("cp.async.commit_group;" ::: "memory");
    } else if constexpr (kEngine == CopyEngine::registers) {
      if (box < p.boxes)
        for (int v = thread; v < vectors; v += copy_threads)
          reinterpret_cast<uint4*>(boxes + stage * p.box_bytes)[v] = box_at(box)[v];
    }
#if ASSAY_HOPPER
    if constexpr (kEngine == CopyEngine::bulk) {
      if (thread != 0 || box >= p.boxes) return;
      const std::uint32_t barrier = shared_address(&arrived[stage]);
      asm volatile("mbarrier.arrive.expect_tx.shared.b64 _, [%0], %1;" ::"r"(barrier), "r"(p.box_bytes) : "memory");
      asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(to),
                   "l"(__cvta_generic_to_global(box_at(box))), "r"(p.box_bytes), "r"(barrier)
                   : "memory");
    }
#endif
  };
#if ASSAY_HOPPER
  if constexpr (kEngine == CopyEngine::bulk) {
    if (thread == 0) {
      for (std::uint64_t& each : arrived)
        asm volatile("mbarrier.init.shared.b64 [%0], 1;" ::"r"(shared_address(&each)) : "memory");
      asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    }
    __syncthreads();
  }
#endif
  std::uint32_t sum = 0;
  const std::uint32_t start = clock_now();
  for (int i = 0; i < copy_stages - 1; ++i) start_box(i);
  for (std::int64_t i = 0; blockIdx.x + i * gridDim.x < p.boxes; ++i) {
    start_box(i + copy_stages - 1);  // its stage was read in the round before, and all have passed the barrier since
    if constexpr (kEngine == CopyEngine::cp_async)
      asm volatile("cp.async.wait_group %0;" ::"n"(copy_stages - 1) : "memory");
#if ASSAY_HOPPER
    if constexpr (kEngine == CopyEngine::bulk) {
      const std::uint32_t barrier = shared_address(&arrived[i % copy_stages]);
      const auto parity = static_cast<std::uint32_t>(i / copy_stages & 1);
      asm volatile(
          "{\n .reg .pred done;\n"
          "again:\n mbarrier.try_wait.parity.shared.b64 done, [%0], %1;\n"
          " @!done bra again;\n}" ::"r"(barrier),
          "r"(parity)
          : "memory");
    }
#endif
    if constexpr (kEngine != CopyEngine::bulk) __syncthreads();
    const auto* const box = reinterpret_cast<const uint4*>(boxes + i % copy_stages * p.box_bytes);
    for (int v = thread; v < vectors; v += copy_threads) sum += sum_of(box[v]);
    __syncthreads();
  }
  const std::uint32_t end = clock_now();
  if constexpr (kEngine == CopyEngine::cp_async) asm volatile("cp.async.wait_all;" ::: "memory");
  p.sums[blockIdx.x * copy_threads + thread] = sum;
  if (thread == 0) p.cycles[blockIdx.x] = end - start;
}

// -- atomics and barriers

template <Atomic kWhere>
__global__ void __launch_bounds__(1024) atomic_kernel(std::uint32_t* counters, std::uint32_t* cycles, int rounds) {
  __shared__ std::uint32_t of_block;
  if (threadIdx.x == 0) of_block = 0;
  __syncthreads();
  std::uint32_t* const at = kWhere == Atomic::shared_memory  ? &of_block
                            : kWhere == Atomic::same_address ? counters
                                                             : counters + blockIdx.x * blockDim.x + threadIdx.x;
  const std::uint32_t start = clock_now();
  // Of each thread by itself: the compiler would make one addition a warp, or one of all rounds.
  if constexpr (kWhere == Atomic::shared_memory) {
    const std::uint32_t address = shared_address(at);
    for (int r = 0; r < rounds; ++r) {
      std::uint32_t old = 0;
      asm volatile("atom.shared.add.u32 %0, [%1], 1;" : "=r"(old) : "r"(address) : "memory");
    }
  } else {
    for (int r = 0; r < rounds; ++r) {
      std::uint32_t old = 0;
      asm volatile("atom.global.add.u32 %0, [%1], 1;" : "=r"(old) : "l"(__cvta_generic_to_global(at)) : "memory");
    }
  }
  const std::uint32_t end = clock_now();
  __syncthreads();
  if (threadIdx.x != 0) return;
  if constexpr (kWhere == Atomic::shared_memory) counters[blockIdx.x] = of_block;
  cycles[blockIdx.x] = end - start;
}

template <Barrier kWhich>
__global__ void __launch_bounds__(1024) barrier_kernel(std::uint32_t* passed, std::uint32_t* cycles, int rounds) {
#if !ASSAY_HOPPER
  if constexpr (kWhich == Barrier::cluster) return;
#endif
  std::uint32_t count = 0;
  const std::uint32_t start = clock_now();
  for (int r = 0; r < rounds; ++r) {
    if constexpr (kWhich == Barrier::warp) asm volatile("bar.warp.sync 0xffffffff;" ::: "memory");
    if constexpr (kWhich == Barrier::block) asm volatile("bar.sync 0;" ::: "memory");
#if ASSAY_HOPPER
    if constexpr (kWhich == Barrier::cluster)
      asm volatile("barrier.cluster.arrive.aligned;\n barrier.cluster.wait.aligned;" ::: "memory");
#endif
    ++count;
  }
  const std::uint32_t end = clock_now();
  passed[blockIdx.x * blockDim.x + threadIdx.x] = count;
  if (threadIdx.x == 0) cycles[blockIdx.x] = end - start;
}

}  // namespace

void launch_chase(Level level, const Chase& chase, Stream stream) {
  switch (level) {
    case Level::l1:
      chase_kernel<Level::l1><<<1, 32, 0, stream>>>(chase);
      break;
    case Level::l2:
      chase_kernel<Level::l2><<<1, 32, 0, stream>>>(chase);
      break;
    case Level::global:
      chase_kernel<Level::global><<<1, 32, 0, stream>>>(chase);
      break;
    case Level::shared:
      chase_kernel<Level::shared><<<1, 32, 0, stream>>>(chase);
      break;
    case Level::cluster:
      return launch_pairs(chase_kernel<Level::cluster>, 2, 32, stream, chase);
  }
  check_launch("launching a pointer chase");
}

void launch_read_l1(const Read& read, int blocks, Stream stream) {
  read_l1_kernel<<<blocks, bandwidth_threads, 0, stream>>>(read);
  check_launch("launching a read of L1");
}
void launch_read_l2(const Read& read, int blocks, Stream stream) {
  read_l2_kernel<<<blocks, bandwidth_threads, 0, stream>>>(read);
  check_launch("launching a read of L2");
}
void launch_read_cluster(const Read& read, int blocks, Stream stream) {
  launch_pairs(read_cluster_kernel, blocks, bandwidth_threads, stream, read);
}

void launch_copy_in(CopyEngine engine, const CopyIn& copy, int blocks, Stream stream) {
  if (copy.box_bytes % 4096 != 0 || copy.box_bytes > 49152)
    throw std::invalid_argument("a box is a multiple of 4096 bytes up to 48 KiB");
  const int shared = copy_stages * copy.box_bytes;
  const auto go = [&](void (*kernel)(CopyIn)) {
    check(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize,
                               shared),
          "asking for shared memory");
    kernel<<<blocks, copy_threads, static_cast<std::size_t>(shared), stream>>>(copy);
    check_launch("launching copies into shared memory");
  };
  if (engine == CopyEngine::registers) return go(copy_in_kernel<CopyEngine::registers>);
  if (engine == CopyEngine::cp_async) return go(copy_in_kernel<CopyEngine::cp_async>);
  go(copy_in_kernel<CopyEngine::bulk>);
}

void launch_atomic(Atomic where, std::uint32_t* counters, std::uint32_t* cycles, int rounds, int blocks, int threads,
                   Stream stream) {
  if (where == Atomic::same_address)
    atomic_kernel<Atomic::same_address><<<blocks, threads, 0, stream>>>(counters, cycles, rounds);
  else if (where == Atomic::own_address)
    atomic_kernel<Atomic::own_address><<<blocks, threads, 0, stream>>>(counters, cycles, rounds);
  else
    atomic_kernel<Atomic::shared_memory><<<blocks, threads, 0, stream>>>(counters, cycles, rounds);
  check_launch("launching atomics");
}

void launch_barrier(Barrier which, std::uint32_t* passed, std::uint32_t* cycles, int rounds, int blocks, int threads,
                    Stream stream) {
  if (which == Barrier::cluster)
    return launch_pairs(barrier_kernel<Barrier::cluster>, blocks, threads, stream, passed, cycles, rounds);
  if (which == Barrier::warp)
    barrier_kernel<Barrier::warp><<<blocks, threads, 0, stream>>>(passed, cycles, rounds);
  else
    barrier_kernel<Barrier::block><<<blocks, threads, 0, stream>>>(passed, cycles, rounds);
  check_launch("launching barriers");
}

}  // namespace assay::hardware::cuda
