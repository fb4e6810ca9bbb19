#pragma once
// hopper.h on a CPU. A copy lands as late as can be, or at a time that the launch's order draws; a product reads its
// operands and gives its results when it is waited for, and until then its accumulators hold a number that is a fault
// to use. Descriptors are decoded bit by bit, and what the hardware would refuse or read elsewhere is a fault or a
// wrong result.
//
// Faults it finds, beyond those of emulator.h: shared memory overwritten while a product or a copy may still read it;
// operands read before their phase was waited for; ordinary stores that reach the copy engine without a fence;
// accumulators used, or operands in registers changed, while their product is in flight or with no wgmma.fence since
// they were touched; phase barriers used before they are published or with more arrivals than they expect; warps of a
// warpgroup that ask for different products; registers taken that nobody gave.
#include "impls/attention/cuda/descriptors.h"
#include "impls/attention/cuda/emulator/emulator.h"

namespace assay::attention::cuda {

namespace emulator {

// In place of the driver's; refuses what cuTensorMapEncodeTiled refuses, with std::invalid_argument.
TensorMap encode_tiled(const TiledTensor& tensor);

struct ProductOf {
  int columns;
  bool turned, accumulate;
  std::uint64_t a, b;
  float (*unpack)(std::uint16_t);
  float* c;
  const std::uint32_t* left;  // null: `a` describes the left side
  bool turned_left = false;   // whose depth is then in its rows
};
void start_product(const ProductOf& product);
void fence_products();
void fence_registers(const void* registers, std::size_t bytes);
void wait_for_products(int pending);
void need_no_product_with(const void* registers, std::size_t bytes);
void change_registers(int count, bool give);

}  // namespace emulator

void start_phase_barrier(std::uint32_t at, int arrivals);
void publish_phase_barriers();
void arrive(std::uint32_t at);
void arrive_expecting(std::uint32_t at, std::uint32_t bytes);
void wait_phase(std::uint32_t at, std::uint32_t parity);
void load_box(std::uint32_t to, const TensorMap& from, int row, int head, int b, std::uint32_t at, int panel = 0);
void store_box(const TensorMap& to, std::uint32_t from, int row, int head, int b);
void load_line(std::uint32_t to, const float* from, std::uint32_t bytes, std::uint32_t at);
void add_line(float* to, std::uint32_t from, std::uint32_t bytes);
void wait_for_stores();
void fence_for_copies();
void product_commit();
void named_barrier(int id, int threads);
void named_arrive(int id, int threads);
inline int warp_uniform(int value) { return value; }

template <class... Registers>
void product_fence(const Registers&... registers) {
  if (emulator::omitted("product_fence")) return;
  emulator::fence_products();
  (emulator::fence_registers(&registers, sizeof registers), ...);
}
template <class Element, bool kAccumulate, int kTiles>
void multiply_shared(float (&c)[1][kTiles][4], std::uint64_t a, std::uint64_t b) {
  emulator::start_product({kTiles * 8, false, kAccumulate, a, b, unpack<Element>, &c[0][0][0], nullptr});
}
template <class Element, bool kAccumulate, int kTiles>
void multiply_turned(float (&c)[1][kTiles][4], std::uint64_t a, std::uint64_t b) {
  emulator::start_product({kTiles * 8, true, kAccumulate, a, b, unpack<Element>, &c[0][0][0], nullptr, true});
}
template <class Element, bool kAccumulate, int kTiles>
void multiply_left(float (&c)[kTiles][4], const std::uint32_t (&a)[4], std::uint64_t b) {
  emulator::start_product({kTiles * 8, true, kAccumulate, 0, b, unpack<Element>, &c[0][0], a});
}
template <int kPending, class... Registers>
void product_wait(const Registers&... registers) {
  if (emulator::omitted("product_wait")) return;
  emulator::wait_for_products(kPending);
  (emulator::need_no_product_with(&registers, sizeof registers), ...);
}
template <int kCount>
void give_registers() {
  if (!emulator::omitted("give_registers")) emulator::change_registers(kCount, true);
}
template <int kCount>
void take_registers() {
  emulator::change_registers(kCount, false);
}

}  // namespace assay::attention::cuda
