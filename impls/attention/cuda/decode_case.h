#pragma once
// What Flash-Decoding and paged decode share as cases: few queries, many keys, the number of splits.
#include <functional>
#include <memory>
#include <vector>

#include "impls/attention/cuda/decode.h"
#include "impls/attention/cuda/device_case.h"

namespace assay::attention::cuda {

// device_axes() with one query and 8192 keys by default, `splits` and `lengths`.
std::vector<harness::Axis> decode_axes();

// Keys of each sequence of a ragged batch: all that the problem has in the first, as many as queries or more in the
// others. The same for every seed: lengths are part of the case.
std::vector<int> decode_lengths(const Problem& problem);

// What a launch needs besides its tensors: the number of splits, room for partial results, and the lengths where they
// differ.
struct DecodeWorkspace {
  int splits = 1;
  DeviceBuffer<float> o, lse;
  DeviceBuffer<int> lengths;
};

// Contiguous keys; choose_splits() for the device where `asked` is 0.
DecodeProblem decode_problem(const Problem& problem, const DeviceTensors& tensors);
std::shared_ptr<DecodeWorkspace> decode_workspace(const Problem& problem, Device& device, int asked, bool ragged);
void use(const DecodeWorkspace& workspace, DecodeProblem& problem);

// Everything decode does with its State; `make(ragged)` gives the technique for either kind of lengths.
void run_decode(harness::State& state, const std::function<MakeDeviceTechnique(bool ragged)>& make);

}  // namespace assay::attention::cuda
