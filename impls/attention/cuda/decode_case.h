#pragma once
// What Flash-Decoding and paged decode share as cases: few queries, many keys, the number of splits.
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "impls/attention/cuda/decode.h"
#include "impls/attention/cuda/device_case.h"

namespace assay::attention::cuda {

// device_axes() with one query and 8192 keys by default, `splits`, `lengths` and `path`.
std::vector<harness::Axis> decode_axes();

// What a case chooses.
struct DecodeChoice {
  std::string path = "sm_80";
  int splits = 0;  // 0: choose_splits() for the device
  bool ragged = false;
};

// The kernels of a path for one head size.
struct DecodePath {
  int rows = 0;  // packed rows a block
  int keys = 0;  // a round
  std::uint32_t shared_bytes = 0;
  int only_on = 0;  // as need_capability() has it
  void (*launch)(const DecodeProblem& problem, int head_dim, ElementType element, CUstream_st* stream) = nullptr;
};
DecodePath decode_path(const std::string& name, int head_dim);

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

// Contiguous keys.
DecodeProblem decode_problem(const Problem& problem, const DeviceTensors& tensors);
std::shared_ptr<DecodeWorkspace> decode_workspace(const Problem& problem, Device& device, const DecodeChoice& choice);
void use(const DecodeWorkspace& workspace, DecodeProblem& problem);

// Everything decode does with its State; `make` gives the technique for a choice.
using MakeDecode = std::function<DeviceTechnique(const Problem&, Device&, const DecodeChoice&)>;
void run_decode(harness::State& state, const MakeDecode& make);

}  // namespace assay::attention::cuda
