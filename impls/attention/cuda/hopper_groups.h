#pragma once
// How a block of an sm_90a kernel shares out its threads and registers.
#include "impls/attention/cuda/geometry.h"

namespace assay::attention::cuda {

// Three warpgroups: one loads, two compute.
struct HopperGroups {
  static constexpr int kGroupThreads = 4 * kWarp;
  static constexpr int kGroups = 2;  // that compute
  static constexpr int kThreads = (1 + kGroups) * kGroupThreads;
  static constexpr int kGroupRows = 64;  // of a product of a warpgroup
  // Registers a thread: what the launch gives each and how they are shared out afterwards.
  static constexpr int kLaunchRegisters = 65536 / kThreads / 8 * 8;
  static constexpr int kLoaderRegisters = 40;
  static constexpr int kComputeRegisters = 232;
  static_assert(kLoaderRegisters + kGroups * kComputeRegisters <= (1 + kGroups) * kLaunchRegisters);
};

}  // namespace assay::attention::cuda
