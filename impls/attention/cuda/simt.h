#pragma once
// What a kernel says to the machine: who am I, copies, barriers, matrix instructions. Compiled by nvcc each is one or
// two PTX instructions of sm_80; compiled as plain C++ each is carried out by the emulator (emulator/), so that the
// same kernel source runs on a CPU, where every access to shared memory is checked for races, bounds and bank
// conflicts.
#include <cstdint>

#include "harness/gpu/host_device.h"

#ifdef __CUDACC__
#define ASSAY_DEVICE __device__ __forceinline__
#else
#define ASSAY_DEVICE inline
#endif

namespace assay::attention::cuda {

// Element types of operands; both are stored as 16 bits and accumulated in fp32.
struct Bf16 {};
struct Fp16 {};

inline constexpr int kWarp = 32;
inline constexpr float kMinusInfinity = -__builtin_huge_valf();

// Four 32-bit words that move as one 16-byte access.
struct alignas(16) Words4 {
  std::uint32_t word[4];
};

}  // namespace assay::attention::cuda

#ifdef __CUDACC__
#include "impls/attention/cuda/simt_device.h"
#else
#include "impls/attention/cuda/emulator/emulator.h"
#endif
