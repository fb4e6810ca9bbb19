#pragma once
// The thin layer between the kernels of this folder and the harness: what registration.h is for the CPU's.
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "harness/gpu/device_buffer.h"
#include "harness/registry.h"
#include "harness/state.h"
#include "impls/attention/cuda/forward.h"
#include "impls/attention/problem.h"

namespace assay::attention::cuda {

using harness::gpu::Device;
using harness::gpu::DeviceBuffer;

// sequence_length, context, batch, heads, kv_heads, head_dim, causal, dtype, inputs.
std::vector<harness::Axis> device_axes();

// Of techniques that take batches of uneven lengths too: `lengths`, even or ragged.
harness::Axis lengths_axis();

// Reads and checks them; UserError for what no kernel here is made for.
Problem read_device_problem(const harness::State& state);

ElementType element_type(DType dtype);

// Bytes of a tensor [B, heads, rows, d].
std::size_t bytes_of(const Problem& problem, int heads, int rows);
// A contiguous tensor [B, heads, rows, d] at a device address.
Matrix contiguous(const Problem& problem, int heads, int rows, void* data);

// Skips the case on a device of another compute capability than `only_on` (90 is 9.0); 0: any.
void need_capability(harness::State& state, int only_on);
// Skips the case where the device allows a block less shared memory than the kernel has.
void need_shared_memory(harness::State& state, std::uint32_t bytes);
std::uint32_t shared_bytes_of(int head_dim, std::uint32_t of_64, std::uint32_t of_128, std::uint32_t of_256);

// Q, K, V, O as Storage has them and LSE, in device memory.
struct DeviceTensors {
  DeviceTensors(Device& device, const Problem& problem);
  void upload(const Problem& problem, const Tensors& from);  // Q, K, V
  void download(Storage& to) const;                          // O, LSE
  ForwardProblem forward(const Problem& problem) const;

  DeviceBuffer<std::byte> q, k, v, o;
  DeviceBuffer<float> lse;
};

// A technique made ready for a problem: workspace is allocated; `run` enqueues on the device's stream. `load`, where
// there is one, takes K and V from the host in a layout of the technique's own, before `run`.
struct DeviceTechnique {
  std::function<void(const DeviceTensors&)> run;
  std::function<void(const Tensors&)> load = nullptr;
};
using MakeDeviceTechnique = std::function<DeviceTechnique(const Problem&, Device&)>;

// What a forward kernel is made for.
struct KernelNeeds {
  double issued = 0;  // FLOPs with whole tiles counted
  std::uint32_t shared_bytes = 0;
  int only_on = 0;  // as need_capability() has it
};

// Sequences of a batch with fewer keys than it has room for: keys of each, of a problem's; its queries are the last
// ones. `even` is the technique that takes all keys for its own, which the gate has to notice.
struct UnevenKeys {
  std::vector<int> (*lengths)(const Problem&) = nullptr;  // null: all sequences have all keys
  MakeDeviceTechnique even = nullptr;
};

// Everything a forward technique does with its State.
void run_on_device(harness::State& state, const Problem& problem, const KernelNeeds& needs,
                   const MakeDeviceTechnique& make, const UnevenKeys& uneven = {});

// The roof that a problem is held against.
std::string roof_of(const Problem& problem);

// FLOPs of two products over every tile of `rows` queries and `keys` keys that the mask touches.
double issued_flops(const Problem& problem, int rows, int keys);

}  // namespace assay::attention::cuda
