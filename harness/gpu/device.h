#pragma once
// A GPU as the harness and the techniques see it: facts, memory, one stream, and what timing on it takes. The whole of
// what a device must supply; harness/gpu/cuda has the real one, tests have one that only keeps a log.
// No CUDA header is needed to include this.
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>

struct CUstream_st;

namespace assay::harness::gpu {

using Stream = CUstream_st*;  // cudaStream_t and CUstream

struct DeviceFacts {
  std::string name;    // "NVIDIA H100 80GB HBM3"
  std::string uuid;    // "GPU-..." as NVML and nvidia-smi write it
  int capability = 0;  // 80, 90 ...: ten times the compute capability
  int multiprocessors = 0;
  std::int64_t memory_bytes = 0;
  std::int64_t l2_bytes = 0;
  std::int64_t shared_bytes_a_block = 0;           // the most a kernel can opt in to
  std::int64_t shared_bytes_a_multiprocessor = 0;  // shared by the blocks that run on one
  int runtime_version = 0;                         // of the CUDA runtime linked in: 13000 is 13.0
  int driver_version = 0;                          // the newest CUDA that the driver knows
};

// No GPU can be used here; the case is skipped. `what()` is one line that starts with "no device".
class NoDevice : public std::runtime_error {
 public:
  explicit NoDevice(const std::string& reason) : std::runtime_error("no device: " + reason) {}
};

// A call or a kernel failed: "cudaErrorIllegalAddress: an illegal memory access was encountered (attention forward)".
// The process has no usable device afterwards; the runner replaces the worker.
class DeviceError : public std::runtime_error {
 public:
  DeviceError(std::string name, const std::string& text, const std::string& doing)
      : std::runtime_error(name + ": " + text + " (" + doing + ")"), name_(std::move(name)) {}
  const std::string& name() const { return name_; }

 private:
  std::string name_;  // as in driver_types.h
};

class Device {
 public:
  virtual ~Device() = default;
  virtual const DeviceFacts& facts() const = 0;

  // Everything of a case goes through this stream, in order. It does not synchronise with the default stream.
  virtual Stream stream() const = 0;
  // Waits until the stream is empty and throws DeviceError for whatever failed in it, launches included.
  virtual void synchronize(const char* doing) = 0;

  // Memory from the stream's pool, which keeps what is given back. 256-byte aligned, not initialised.
  virtual void* allocate(std::size_t bytes) = 0;
  virtual void release(void* memory) noexcept = 0;
  // These return when the copy is done.
  virtual void copy_in(void* device_to, const void* host_from, std::size_t bytes) = 0;
  virtual void copy_out(void* host_to, const void* device_from, std::size_t bytes) = 0;
  // In stream order.
  virtual void fill(void* memory, unsigned char value, std::size_t bytes) = 0;

  // -- timing
  // Puts a mark into the stream; seconds between two marks once the stream has passed both.
  virtual void mark(std::size_t index) = 0;
  virtual double seconds_between(std::size_t first, std::size_t second) = 0;
  // Holds the stream until the gate is opened (by any thread), so that work is enqueued before the first of it runs.
  virtual void close_gate() = 0;
  virtual void open_gate() noexcept = 0;
  // Writes over twice the L2 cache, in stream order.
  virtual void flush_cache() = 0;
  // What `enqueue` puts into the stream, as one graph. Nothing runs.
  using Graph = std::shared_ptr<void>;
  virtual Graph capture(const std::function<void()>& enqueue) = 0;
  virtual void launch(const Graph& graph) = 0;
};

// The facts of the device that open_device() would open, without opening it. Throws NoDevice as that does.
DeviceFacts find_device();

// The first visible device (CUDA_VISIBLE_DEVICES chooses). Throws NoDevice where there is no driver, no device, no code
// for it in this build, or no CUDA in this build at all.
std::unique_ptr<Device> open_device();

}  // namespace assay::harness::gpu
