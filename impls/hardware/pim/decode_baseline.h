#pragma once
// The other side of every ratio: the same tokens generated at batch 1 on a GPU or CPU, kernel after kernel.
//
//   T = sum over kernels of max(ops / (e_c peak), bytes / (e_b bandwidth)) + launch
//
// `roofline` has e = 1, no launch cost and no kernel but what the arithmetic needs; `framework` runs the kernels of an
// eager PyTorch GPT-2 layer one by one, with the efficiencies of the device and the cost of issuing a kernel. The gap
// between the two is how much of a published ratio is owed to the baseline's software.
#include <string>
#include <utility>
#include <vector>

#include "datasets/machine.h"
#include "impls/hardware/pim/gpt_shape.h"
#include "impls/hardware/pim/pim_run.h"

namespace assay::hardware {

struct Software {
  std::string name;
  double compute_efficiency = 1, memory_efficiency = 1;
  double launch_seconds = 0;  // of every kernel
  bool eager = false;         // every elementwise operation a kernel, the cache copied to append to it
};

Software roofline_software();
// Efficiencies of the descriptor (eff_gemm, eff_memory) where it has them, else the caps that AttAcc uses (0.80, 0.85);
// 7.5 us a kernel, the middle of the 5 to 10 us of eager frameworks.
Software framework_software(const datasets::Device& device);
constexpr double kEagerLaunchSeconds = 7.5e-6, kEagerLaunchResidual = 1.0 / 3;

struct BaselineRun {
  double seconds = 0, first_token = 0;
  double joules = 0;  // board power times time; 0 where the descriptor has no power
  double bytes = 0;   // to and from device memory
  double kernels = 0;
  double memory_seconds = 0, compute_seconds = 0, launch_seconds = 0;  // of `seconds`, by what bounds the kernel
};

// UserError where the device lacks a peak for `dtype` (fp16, bf16, fp32) or room for the model.
BaselineRun decode_on(const datasets::Device& device, const std::string& dtype, const GptShape& shape,
                      const DecodePlan& plan, const Software& software);

// The same with every constant of the device that has a residual, and the framework's launch, moved by it each way.
std::vector<std::pair<std::string, BaselineRun>> moved_baselines(const datasets::Device& device,
                                                                 const std::string& dtype, const GptShape& shape,
                                                                 const DecodePlan& plan, const Software& software);

}  // namespace assay::hardware
