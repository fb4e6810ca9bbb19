#pragma once
// simt.h as PTX. A shared address is a byte address in the shared window.
#include "impls/attention/cuda/simt.h"

namespace assay::attention::cuda {

ASSAY_DEVICE int thread_index() { return static_cast<int>(threadIdx.x); }
ASSAY_DEVICE int block_x() { return static_cast<int>(blockIdx.x); }
ASSAY_DEVICE int block_y() { return static_cast<int>(blockIdx.y); }
ASSAY_DEVICE int block_z() { return static_cast<int>(blockIdx.z); }

// The same value, of which the compiler knows nothing: what is computed from it inside a loop is not computed once
// before the loop and held in registers, which the accumulators need more.
ASSAY_DEVICE int fresh(int value) {
  asm volatile("" : "+r"(value));
  return value;
}

// The start of the launch's dynamic shared memory, a multiple of 1024 bytes.
ASSAY_DEVICE std::uint32_t shared_base() {
  extern __shared__ __align__(1024) unsigned char dynamic_shared[];
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(dynamic_shared));
}

ASSAY_DEVICE void barrier() { __syncthreads(); }
ASSAY_DEVICE void warp_barrier() { __syncwarp(); }
ASSAY_DEVICE float shuffle_xor(float value, int mask) { return __shfl_xor_sync(0xffffffffU, value, mask); }

// Starts a copy of 16 bytes to shared memory past the registers and L1; zeros are written when not `valid` and nothing
// is read.
ASSAY_DEVICE void copy_async(std::uint32_t to, const void* from, bool valid) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(__cvta_generic_to_global(from)),
               "r"(valid ? 16 : 0)
               : "memory");
}
// The same for 4 bytes.
ASSAY_DEVICE void copy_async_word(std::uint32_t to, const float* from, bool valid) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(to), "l"(__cvta_generic_to_global(from)),
               "r"(valid ? 4 : 0)
               : "memory");
}
ASSAY_DEVICE void copy_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Waits until at most kPending of this thread's committed groups are unfinished.
template <int kPending>
ASSAY_DEVICE void copy_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

// Four 8x8 matrices of 16-bit elements: lanes 8i..8i+7 give the addresses of the rows of matrix i; of matrix i every
// lane receives, in r[i], elements 2(lane%4) and +1 of row lane/4 (or of column lane/4 when transposed).
ASSAY_DEVICE void load_matrices(std::uint32_t (&r)[4], std::uint32_t address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address)
               : "memory");
}
ASSAY_DEVICE void load_matrices_transposed(std::uint32_t (&r)[4], std::uint32_t address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address)
               : "memory");
}

// C[16x8] += A[16x16] B[16x8], fragments as the PTX manual lays them out for m16n8k16.
template <class Element>
ASSAY_DEVICE void multiply_add(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1);
template <>
ASSAY_DEVICE void multiply_add<Bf16>(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
template <>
ASSAY_DEVICE void multiply_add<Fp16>(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
      "{%0, %1, %2, %3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

// Two numbers rounded to nearest even, the first in the low half.
template <class Element>
ASSAY_DEVICE std::uint32_t pack(float low, float high);
template <>
ASSAY_DEVICE std::uint32_t pack<Bf16>(float low, float high) {
  std::uint32_t both = 0;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
  return both;
}
template <>
ASSAY_DEVICE std::uint32_t pack<Fp16>(float low, float high) {
  std::uint32_t both = 0;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
  return both;
}

template <class Element>
ASSAY_DEVICE float unpack(std::uint16_t bits);
template <>
ASSAY_DEVICE float unpack<Bf16>(std::uint16_t bits) {
  return __uint_as_float(static_cast<std::uint32_t>(bits) << 16);
}
template <>
ASSAY_DEVICE float unpack<Fp16>(std::uint16_t bits) {
  float value = 0;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
  return value;
}

ASSAY_DEVICE float power_of_two(float x) {
  float y = 0;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
ASSAY_DEVICE float natural_log(float x) { return logf(x); }
ASSAY_DEVICE float larger(float a, float b) { return fmaxf(a, b); }
ASSAY_DEVICE float fused(float a, float b, float c) { return fmaf(a, b, c); }
ASSAY_DEVICE float inverse_root(float x) { return rsqrtf(x); }

ASSAY_DEVICE void store_shared(std::uint32_t to, std::uint32_t word) {
  asm volatile("st.shared.b32 [%0], %1;" ::"r"(to), "r"(word) : "memory");
}
ASSAY_DEVICE void store_shared(std::uint32_t to, float value) { store_shared(to, __float_as_uint(value)); }
ASSAY_DEVICE void store_shared(std::uint32_t to, const float (&values)[4]) {
  asm volatile("st.shared.v4.f32 [%0], {%1, %2, %3, %4};" ::"r"(to), "f"(values[0]), "f"(values[1]), "f"(values[2]),
               "f"(values[3])
               : "memory");
}
ASSAY_DEVICE void store_shared(std::uint32_t to, const Words4& words) {
  asm volatile("st.shared.v4.b32 [%0], {%1, %2, %3, %4};" ::"r"(to), "r"(words.word[0]), "r"(words.word[1]),
               "r"(words.word[2]), "r"(words.word[3])
               : "memory");
}
ASSAY_DEVICE float load_shared_float(std::uint32_t from) {
  float value = 0;
  asm volatile("ld.shared.f32 %0, [%1];" : "=f"(value) : "r"(from) : "memory");
  return value;
}
ASSAY_DEVICE std::uint32_t load_shared_word(std::uint32_t from) { return __float_as_uint(load_shared_float(from)); }
ASSAY_DEVICE Words4 load_shared_words(std::uint32_t from) {
  Words4 w;
  asm volatile("ld.shared.v4.b32 {%0, %1, %2, %3}, [%4];"
               : "=r"(w.word[0]), "=r"(w.word[1]), "=r"(w.word[2]), "=r"(w.word[3])
               : "r"(from)
               : "memory");
  return w;
}

template <class T>
ASSAY_DEVICE T load_global(const T* from) {
  return *from;
}
template <class T>
ASSAY_DEVICE void store_global(T* to, T value) {
  *to = value;
}
ASSAY_DEVICE void add_global(float* to, float value) { atomicAdd(to, value); }
// One more; what it was before.
ASSAY_DEVICE int count_global(int* counter) { return atomicAdd(counter, 1); }

}  // namespace assay::attention::cuda
