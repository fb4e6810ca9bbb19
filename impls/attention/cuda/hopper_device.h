#pragma once
// hopper.h as PTX of sm_90a.
#include <type_traits>

#include "impls/attention/cuda/hopper.h"

namespace assay::attention::cuda {

// -- phase barriers

ASSAY_DEVICE void start_phase_barrier(std::uint32_t at, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(at), "r"(arrivals) : "memory");
}
ASSAY_DEVICE void publish_phase_barriers() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }
ASSAY_DEVICE void arrive(std::uint32_t at) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(at) : "memory");
}
ASSAY_DEVICE void arrive_expecting(std::uint32_t at, std::uint32_t bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(at), "r"(bytes) : "memory");
}
ASSAY_DEVICE void wait_phase(std::uint32_t at, std::uint32_t parity) {
  std::uint32_t passed = 0;
  do {
    asm volatile(
        "{\n"
        ".reg .pred p;\n"
        "mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n"
        "selp.u32 %0, 1, 0, p;\n"
        "}"
        : "=r"(passed)
        : "r"(at), "r"(parity)
        : "memory");
  } while (passed == 0);
}

// -- the copy engine

ASSAY_DEVICE void load_box(std::uint32_t to, const TensorMap& from, int row, int head, int b, std::uint32_t at,
                           int panel = 0) {
  asm volatile(
      "cp.async.bulk.tensor.5d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3, %4, %5, "
      "%6}], [%7];" ::"r"(to),
      "l"(&from), "r"(0), "r"(row), "r"(panel), "r"(head), "r"(b), "r"(at)
      : "memory");
}
ASSAY_DEVICE void store_box(const TensorMap& to, std::uint32_t from, int row, int head, int b) {
  asm volatile(
      "cp.async.bulk.tensor.5d.global.shared::cta.tile.bulk_group [%0, {%1, %2, %1, %3, %4}], [%5];" ::"l"(&to), "r"(0),
      "r"(row), "r"(head), "r"(b), "r"(from)
      : "memory");
  asm volatile("cp.async.bulk.commit_group;" ::: "memory");
}
ASSAY_DEVICE void load_line(std::uint32_t to, const float* from, std::uint32_t bytes, std::uint32_t at) {
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(to),
               "l"(__cvta_generic_to_global(from)), "r"(bytes), "r"(at)
               : "memory");
}
ASSAY_DEVICE void add_line(float* to, std::uint32_t from, std::uint32_t bytes) {
  asm volatile(
      "cp.reduce.async.bulk.global.shared::cta.bulk_group.add.f32 [%0], [%1], %2;" ::"l"(__cvta_generic_to_global(to)),
      "r"(from), "r"(bytes)
      : "memory");
  asm volatile("cp.async.bulk.commit_group;" ::: "memory");
}
ASSAY_DEVICE void wait_for_stores() { asm volatile("cp.async.bulk.wait_group.read 0;" ::: "memory"); }
ASSAY_DEVICE void fence_for_copies() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

// -- warpgroups

ASSAY_DEVICE void named_barrier(int id, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}
ASSAY_DEVICE void named_arrive(int id, int threads) {
  asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory");
}
template <int kCount>
ASSAY_DEVICE void give_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kCount));
}
template <int kCount>
ASSAY_DEVICE void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kCount));
}
ASSAY_DEVICE int warp_uniform(int value) { return __shfl_sync(0xffffffffU, value, 0); }

// -- products

// The compiler knows nothing of what is in flight: it must neither move a use of a register across the instructions
// that order it nor keep a copy of its contents.
ASSAY_DEVICE void pin(float& value) { asm volatile("" : "+f"(value)::"memory"); }
ASSAY_DEVICE void pin(std::uint32_t& value) { asm volatile("" : "+r"(value)::"memory"); }
template <class T, int kCount>
ASSAY_DEVICE void pin(T (&values)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) pin(values[i]);
}

template <class... Registers>
ASSAY_DEVICE void product_fence(Registers&... registers) {
  (pin(registers), ...);
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
ASSAY_DEVICE void product_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int kPending, class... Registers>
ASSAY_DEVICE void product_wait(Registers&... registers) {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
  (pin(registers), ...);
}

// Operands of wgmma: 4 accumulators for each 8 columns. Its text differs by shape and type alone.
#define ASSAY_C1(c, j) "+f"((c)[j][0]), "+f"((c)[j][1]), "+f"((c)[j][2]), "+f"((c)[j][3])
#define ASSAY_C2(c, j) ASSAY_C1(c, j), ASSAY_C1(c, (j) + 1)
#define ASSAY_C4(c, j) ASSAY_C2(c, j), ASSAY_C2(c, (j) + 2)
#define ASSAY_C8(c, j) ASSAY_C4(c, j), ASSAY_C4(c, (j) + 4)
#define ASSAY_C10(c) ASSAY_C8(c, 0), ASSAY_C2(c, 8)
#define ASSAY_C16(c) ASSAY_C8(c, 0), ASSAY_C8(c, 8)
#define ASSAY_TO_31                                                                                                \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, " \
  "%24, %25, %26, %27, %28, %29, %30, %31"
#define ASSAY_TO_39 ASSAY_TO_31 ", %32, %33, %34, %35, %36, %37, %38, %39"
#define ASSAY_TO_63                                                                                             \
  ASSAY_TO_39                                                                                                   \
  ", %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, " \
  "%61, %62, %63"
// Both described: C = A B^T or C += A B^T for both K-major (`turned` "0, 0"), C (+)= A^T B for both MN-major ("1, 1").
#define ASSAY_MULTIPLY_SHARED(tiles, shape, type, element, turned, outputs, list, a_at, b_at, scale_at)                \
  if constexpr (kTiles == tiles && std::is_same_v<Element, element>) {                                                 \
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, " scale_at ", 0;\nwgmma.mma_async.sync.aligned." shape ".f32." type \
                 "." type " {" list "}, " a_at ", " b_at ", p, 1, 1, " turned ";\n}"                                   \
                 : outputs                                                                                             \
                 : "l"(a), "l"(b), "n"(kAccumulate ? 1 : 0));                                                          \
  }
#define ASSAY_MULTIPLY_SHARED_8(type, element, turned) \
  ASSAY_MULTIPLY_SHARED(8, "m64n64k16", type, element, turned, ASSAY_C8(c[0], 0), ASSAY_TO_31, "%32", "%33", "%34")
#define ASSAY_MULTIPLY_SHARED_10(type, element, turned) \
  ASSAY_MULTIPLY_SHARED(10, "m64n80k16", type, element, turned, ASSAY_C10(c[0]), ASSAY_TO_39, "%40", "%41", "%42")
#define ASSAY_MULTIPLY_SHARED_16(type, element, turned) \
  ASSAY_MULTIPLY_SHARED(16, "m64n128k16", type, element, turned, ASSAY_C16(c[0]), ASSAY_TO_63, "%64", "%65", "%66")
template <class Element, bool kAccumulate, int kTiles>
ASSAY_DEVICE void multiply_shared(float (&c)[1][kTiles][4], std::uint64_t a, std::uint64_t b) {
  static_assert(kTiles == 8 || kTiles == 10 || kTiles == 16);
  ASSAY_MULTIPLY_SHARED_8("bf16", Bf16, "0, 0")
  ASSAY_MULTIPLY_SHARED_8("f16", Fp16, "0, 0")
  ASSAY_MULTIPLY_SHARED_10("bf16", Bf16, "0, 0")
  ASSAY_MULTIPLY_SHARED_10("f16", Fp16, "0, 0")
  ASSAY_MULTIPLY_SHARED_16("bf16", Bf16, "0, 0")
  ASSAY_MULTIPLY_SHARED_16("f16", Fp16, "0, 0")
}
template <class Element, bool kAccumulate, int kTiles>
ASSAY_DEVICE void multiply_turned(float (&c)[1][kTiles][4], std::uint64_t a, std::uint64_t b) {
  static_assert(kTiles == 8 || kTiles == 16);
  ASSAY_MULTIPLY_SHARED_8("bf16", Bf16, "1, 1")
  ASSAY_MULTIPLY_SHARED_8("f16", Fp16, "1, 1")
  ASSAY_MULTIPLY_SHARED_16("bf16", Bf16, "1, 1")
  ASSAY_MULTIPLY_SHARED_16("f16", Fp16, "1, 1")
}
#undef ASSAY_MULTIPLY_SHARED_8
#undef ASSAY_MULTIPLY_SHARED_10
#undef ASSAY_MULTIPLY_SHARED_16
#undef ASSAY_MULTIPLY_SHARED

// C = A B or C += A B: A in registers, B described, MN-major.
#define ASSAY_MULTIPLY_LEFT(tiles, shape, type, element, outputs, list, left, b_at, scale_at)                          \
  if constexpr (kTiles == tiles && std::is_same_v<Element, element>) {                                                 \
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, " scale_at ", 0;\nwgmma.mma_async.sync.aligned." shape ".f32." type \
                 "." type " {" list "}, {" left "}, " b_at ", p, 1, 1, 1;\n}"                                          \
                 : outputs                                                                                             \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "n"(kAccumulate ? 1 : 0));                      \
  }
template <class Element, bool kAccumulate, int kTiles>
ASSAY_DEVICE void multiply_left(float (&c)[kTiles][4], const std::uint32_t (&a)[4], std::uint64_t b) {
  static_assert(kTiles == 8 || kTiles == 16);
  ASSAY_MULTIPLY_LEFT(8, "m64n64k16", "bf16", Bf16, ASSAY_C8(c, 0), ASSAY_TO_31, "%32, %33, %34, %35", "%36", "%37")
  ASSAY_MULTIPLY_LEFT(8, "m64n64k16", "f16", Fp16, ASSAY_C8(c, 0), ASSAY_TO_31, "%32, %33, %34, %35", "%36", "%37")
  ASSAY_MULTIPLY_LEFT(16, "m64n128k16", "bf16", Bf16, ASSAY_C16(c), ASSAY_TO_63, "%64, %65, %66, %67", "%68", "%69")
  ASSAY_MULTIPLY_LEFT(16, "m64n128k16", "f16", Fp16, ASSAY_C16(c), ASSAY_TO_63, "%64, %65, %66, %67", "%68", "%69")
}
#undef ASSAY_MULTIPLY_LEFT
#undef ASSAY_C1
#undef ASSAY_C2
#undef ASSAY_C4
#undef ASSAY_C8
#undef ASSAY_C10
#undef ASSAY_C16
#undef ASSAY_TO_31
#undef ASSAY_TO_39
#undef ASSAY_TO_63

}  // namespace assay::attention::cuda
