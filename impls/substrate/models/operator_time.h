#pragma once
// How long one operator takes on a device: the larger of compute and memory, with the quantisation of tiles and waves,
// split-K, operands from L2, the clock that falls under long load, rows of streaming kernels, and launches. Constants
// come from the device's descriptor; the fitted ones (eff_gemm, eff_memory ...) from measured operator times, never
// from a claim.
#include <string>
#include <vector>

#include "datasets/machine.h"
#include "impls/substrate/models/operator_work.h"

namespace assay::substrate {

struct OperatorTime {
  double seconds = 0;
  // What bounds it. matmul + softmax + traffic + launch is at least `seconds`: where two run at once the larger counts.
  double matmul = 0;   // tensor cores busy
  double softmax = 0;  // exp units and FP32 pipe, exposed behind the matmul
  double traffic = 0;  // device memory, or L2 where read-modify-write partial sums bound a kernel
  double launch = 0;
  bool inside_domain = true;  // shape, dtype and device inside what the constants were fitted on
};

double peak(const datasets::Device& device, OpDtype dtype);  // FLOP/s, dense
// How much slower a kernel gets that keeps the tensor cores busy for `seconds`: the power limit takes the boost clock
// back.
double sustained(const datasets::Device& device, double seconds);
OperatorTime operator_time(const datasets::Device& device, const OpWork& work);
inline double operator_seconds(const datasets::Device& device, const OpWork& work) {
  return operator_time(device, work).seconds;
}

// Whether the device's constants (own or carried) were fitted on operators of this kind and size.
bool calibrated_for(const datasets::Device& device, const OpWork& work);

}  // namespace assay::substrate
