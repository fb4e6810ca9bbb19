#pragma once
// What Flash-Decoding and paged decode share as cases: few queries, many keys, the number of splits.
#include <memory>

#include "impls/attention/cuda/decode.h"
#include "impls/attention/cuda/device_case.h"

namespace assay::attention::cuda {

// device_axes() with one query and 8192 keys by default, and `splits`.
std::vector<harness::Axis> decode_axes();

// Room for partial results.
struct DecodeWorkspace {
  DeviceBuffer<float> o, lse;
};

// Contiguous keys; choose_splits() for the device where `splits` is 0.
DecodeProblem decode_problem(const Problem& problem, const DeviceTensors& tensors);
int splits_for(const Problem& problem, const Device& device, int splits);
std::shared_ptr<DecodeWorkspace> decode_workspace(const Problem& problem, Device& device, int splits);
void use(const DecodeWorkspace& workspace, int splits, DecodeProblem& problem);

std::uint32_t decode_shared_bytes(int head_dim);
// FLOPs of the tiles that all splits compute together: 16 packed rows, 64 keys a round.
double decode_issued_flops(const Problem& problem);

}  // namespace assay::attention::cuda
