// Rates and latencies of the matrix instructions: mma.sync from registers, wgmma from shared memory.
#include <cuda_runtime.h>

#include <stdexcept>
#include <type_traits>

#include "harness/gpu/cuda_check.h"
#include "impls/hardware/cuda/ubench_kernels.h"

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define ASSAY_WGMMA 1
#else
#define ASSAY_WGMMA 0
#endif
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 890
#define ASSAY_FP8 1
#else
#define ASSAY_FP8 0
#endif

namespace assay::hardware::cuda {
namespace {

using harness::gpu::check_launch;

__device__ std::uint32_t clock_now() {
  std::uint32_t now = 0;
  asm volatile("mov.u32 %0, %%clock;" : "=r"(now)::"memory");
  return now;
}

#define ASSAY_MMA(NAME, D, A, B)                                                       \
  asm volatile(NAME " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};" \
               : "+f"((D)[0]), "+f"((D)[1]), "+f"((D)[2]), "+f"((D)[3])                \
               : "r"((A)[0]), "r"((A)[1]), "r"((A)[2]), "r"((A)[3]), "r"((B)[0]), "r"((B)[1]))

template <MatrixType kType>
__device__ void multiply(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  if constexpr (kType == MatrixType::bf16) ASSAY_MMA("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32", d, a, b);
  if constexpr (kType == MatrixType::fp16) ASSAY_MMA("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32", d, a, b);
  if constexpr (kType == MatrixType::tf32) ASSAY_MMA("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32", d, a, b);
#if ASSAY_FP8
  if constexpr (kType == MatrixType::e4m3) ASSAY_MMA("mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32", d, a, b);
#endif
}
__device__ void multiply(int (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

template <MatrixType kType, class Sum, int kChains>
__global__ void __launch_bounds__(1024) mma_kernel(const __grid_constant__ Matrix p) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  std::uint32_t a[4];
  std::uint32_t b[kChains][2];
  Sum d[kChains][4] = {};
#pragma unroll
  for (int i = 0; i < 4; ++i) a[i] = p.a[lane * 4 + i];
#pragma unroll
  for (int c = 0; c < kChains; ++c) {
    b[c][0] = p.b[(c * 32 + lane) * 2];
    b[c][1] = p.b[(c * 32 + lane) * 2 + 1];
  }
  __syncthreads();
  const std::uint32_t start = clock_now();
#pragma unroll 4
  for (int r = 0; r < p.rounds; ++r) {
#pragma unroll
    for (int c = 0; c < kChains; ++c) {
      if constexpr (kType == MatrixType::int8)
        multiply(d[c], a, b[c]);
      else
        multiply<kType>(d[c], a, b[c]);
    }
  }
  __syncthreads();
  const std::uint32_t end = clock_now();
  const std::int64_t warp = blockIdx.x * static_cast<std::int64_t>(blockDim.x / 32) + threadIdx.x / 32;
#pragma unroll
  for (int c = 0; c < kChains; ++c)
#pragma unroll
    for (int i = 0; i < 4; ++i) static_cast<Sum*>(p.d)[((warp * kChains + c) * 32 + lane) * 4 + i] = d[c][i];
  if (threadIdx.x == 0) p.cycles[blockIdx.x] = end - start;
}

// -- wgmma. A tile [rows][K] in shared memory without a swizzle: pieces of 8 rows and 16 bytes lie together, the pieces
// of one column of 16 bytes after each other.
[[maybe_unused]] __device__ std::uint64_t descriptor(std::uint32_t address, int rows) {
  const std::uint64_t along_k = static_cast<std::uint64_t>(rows / 8) * 128;  // from a piece to the next 16 bytes of K
  const std::uint64_t along_rows = 128;                                      // to the next 8 rows
  return (static_cast<std::uint64_t>(address & 0x3ffffU) >> 4) | along_k >> 4 << 16 | along_rows >> 4 << 32;
}

#define ASSAY_8(X, I) X(I), X(I + 1), X(I + 2), X(I + 3), X(I + 4), X(I + 5), X(I + 6), X(I + 7)
#define ASSAY_32(X, I) ASSAY_8(X, I), ASSAY_8(X, I + 8), ASSAY_8(X, I + 16), ASSAY_8(X, I + 24)
#define ASSAY_SUM(I) "+f"(d[I])
#define ASSAY_WHOLE_SUM(I) "+r"(d[I])
#define ASSAY_N32                                                                                             \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, " \
  "%23, %24, %25, %26, %27, %28, %29, %30, %31"
#define ASSAY_N64                                                                                          \
  ASSAY_N32                                                                                                \
  ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, " \
  "%52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define ASSAY_N128                                                                                           \
  ASSAY_N64                                                                                                  \
  ", %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, %80, %81, %82, %83, "   \
  "%84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, %96, %97, %98, %99, %100, %101, %102, %103, " \
  "%104, %105, %106, %107, %108, %109, %110, %111, %112, %113, %114, %115, %116, %117, %118, %119, %120, "   \
  "%121, %122, %123, %124, %125, %126, %127"

// SCALES: of D; for floating types of A and B; 16-bit types also say whether an operand is transposed.
#define ASSAY_WGMMA_64(NAME, SUM, SCALES)                                                     \
  asm volatile("wgmma.mma_async.sync.aligned." NAME " {" ASSAY_N32 "}, %32, %33, " SCALES ";" \
               : ASSAY_32(SUM, 0)                                                             \
               : "l"(a), "l"(b))
#define ASSAY_WGMMA_128(NAME, SUM, SCALES)                                                    \
  asm volatile("wgmma.mma_async.sync.aligned." NAME " {" ASSAY_N64 "}, %64, %65, " SCALES ";" \
               : ASSAY_32(SUM, 0), ASSAY_32(SUM, 32)                                          \
               : "l"(a), "l"(b))
#define ASSAY_WGMMA_256(NAME, SUM, SCALES)                                                       \
  asm volatile("wgmma.mma_async.sync.aligned." NAME " {" ASSAY_N128 "}, %128, %129, " SCALES ";" \
               : ASSAY_32(SUM, 0), ASSAY_32(SUM, 32), ASSAY_32(SUM, 64), ASSAY_32(SUM, 96)       \
               : "l"(a), "l"(b))
#define ASSAY_WGMMA_SHAPES(TYPE, TAIL, SUM, SCALES)                                                   \
  if constexpr (kType == MatrixType::TYPE && kN == 64) ASSAY_WGMMA_64("m64n64" TAIL, SUM, SCALES);    \
  if constexpr (kType == MatrixType::TYPE && kN == 128) ASSAY_WGMMA_128("m64n128" TAIL, SUM, SCALES); \
  if constexpr (kType == MatrixType::TYPE && kN == 256) ASSAY_WGMMA_256("m64n256" TAIL, SUM, SCALES)

// fp32 sums, or int32.
template <MatrixType kType, int kN>
__device__ void multiply_group(float (&d)[kN / 2], std::uint64_t a, std::uint64_t b) {
#if ASSAY_WGMMA
  ASSAY_WGMMA_SHAPES(bf16, "k16.f32.bf16.bf16", ASSAY_SUM, "1, 1, 1, 0, 0");
  ASSAY_WGMMA_SHAPES(fp16, "k16.f32.f16.f16", ASSAY_SUM, "1, 1, 1, 0, 0");
  ASSAY_WGMMA_SHAPES(tf32, "k8.f32.tf32.tf32", ASSAY_SUM, "1, 1, 1");
  ASSAY_WGMMA_SHAPES(e4m3, "k32.f32.e4m3.e4m3", ASSAY_SUM, "1, 1, 1");
#endif
}
template <MatrixType kType, int kN>
__device__ void multiply_group(int (&d)[kN / 2], std::uint64_t a, std::uint64_t b) {
#if ASSAY_WGMMA
  ASSAY_WGMMA_SHAPES(int8, "k32.s32.s8.s8", ASSAY_WHOLE_SUM, "1");
#endif
}

template <MatrixType kType, int kN>
__global__ void __launch_bounds__(384) wgmma_kernel(const __grid_constant__ Matrix p) {
#if ASSAY_WGMMA
  constexpr int kWordsA = 64 * 32 / 4;
  constexpr int kWordsB = kN * 32 / 4;
  __shared__ __align__(128) std::uint32_t tile_a[kWordsA];
  __shared__ __align__(128) std::uint32_t tile_b[kWordsB];
  for (int i = static_cast<int>(threadIdx.x); i < kWordsA; i += static_cast<int>(blockDim.x)) tile_a[i] = p.a[i];
  for (int i = static_cast<int>(threadIdx.x); i < kWordsB; i += static_cast<int>(blockDim.x)) tile_b[i] = p.b[i];
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
  __syncthreads();
  const std::uint64_t a = descriptor(static_cast<std::uint32_t>(__cvta_generic_to_shared(tile_a)), 64);
  const std::uint64_t b = descriptor(static_cast<std::uint32_t>(__cvta_generic_to_shared(tile_b)), kN);
  using Sum = std::conditional_t<kType == MatrixType::int8, int, float>;
  Sum d[kN / 2];
#pragma unroll
  for (int i = 0; i < kN / 2; ++i) d[i] = 0;
  const std::uint32_t start = clock_now();
  for (int r = 0; r < p.rounds; r += 8) {
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#pragma unroll
    for (int i = 0; i < 8; ++i) multiply_group<kType, kN>(d, a, b);
    asm volatile("wgmma.commit_group.sync.aligned;\n wgmma.wait_group.sync.aligned 0;" ::: "memory");
  }
  const std::uint32_t end = clock_now();
  const std::int64_t thread = blockIdx.x * static_cast<std::int64_t>(blockDim.x) + threadIdx.x;
#pragma unroll
  for (int i = 0; i < kN / 2; ++i) static_cast<Sum*>(p.d)[thread * (kN / 2) + i] = d[i];
  if (threadIdx.x == 0) p.cycles[blockIdx.x] = end - start;
#endif
}

template <MatrixType kType, class Sum>
void launch_mma_of(int chains, const Matrix& matrix, int blocks, int warps, Stream stream) {
  if (chains == 1)
    mma_kernel<kType, Sum, 1><<<blocks, 32 * warps, 0, stream>>>(matrix);
  else if (chains == 4)
    mma_kernel<kType, Sum, 4><<<blocks, 32 * warps, 0, stream>>>(matrix);
  else
    throw std::invalid_argument("chains: 1 or 4");
}

template <MatrixType kType>
void launch_wgmma_of(int n, const Matrix& matrix, int blocks, int groups, Stream stream) {
  if (n == 64)
    wgmma_kernel<kType, 64><<<blocks, 128 * groups, 0, stream>>>(matrix);
  else if (n == 128)
    wgmma_kernel<kType, 128><<<blocks, 128 * groups, 0, stream>>>(matrix);
  else if (n == 256)
    wgmma_kernel<kType, 256><<<blocks, 128 * groups, 0, stream>>>(matrix);
  else
    throw std::invalid_argument("n: 64, 128 or 256");
}

}  // namespace

void launch_mma(MatrixType type, int chains, const Matrix& matrix, int blocks, int warps, Stream stream) {
  switch (type) {
    case MatrixType::bf16:
      launch_mma_of<MatrixType::bf16, float>(chains, matrix, blocks, warps, stream);
      break;
    case MatrixType::fp16:
      launch_mma_of<MatrixType::fp16, float>(chains, matrix, blocks, warps, stream);
      break;
    case MatrixType::tf32:
      launch_mma_of<MatrixType::tf32, float>(chains, matrix, blocks, warps, stream);
      break;
    case MatrixType::int8:
      launch_mma_of<MatrixType::int8, int>(chains, matrix, blocks, warps, stream);
      break;
    case MatrixType::e4m3:
      launch_mma_of<MatrixType::e4m3, float>(chains, matrix, blocks, warps, stream);
      break;
  }
  check_launch("launching mma.sync");
}

void launch_wgmma(MatrixType type, int n, const Matrix& matrix, int blocks, int groups, Stream stream) {
  switch (type) {
    case MatrixType::bf16:
      launch_wgmma_of<MatrixType::bf16>(n, matrix, blocks, groups, stream);
      break;
    case MatrixType::fp16:
      launch_wgmma_of<MatrixType::fp16>(n, matrix, blocks, groups, stream);
      break;
    case MatrixType::tf32:
      launch_wgmma_of<MatrixType::tf32>(n, matrix, blocks, groups, stream);
      break;
    case MatrixType::int8:
      launch_wgmma_of<MatrixType::int8>(n, matrix, blocks, groups, stream);
      break;
    case MatrixType::e4m3:
      launch_wgmma_of<MatrixType::e4m3>(n, matrix, blocks, groups, stream);
      break;
  }
  check_launch("launching wgmma");
}

}  // namespace assay::hardware::cuda
