#pragma once
// The devices of the ranks as the nccl fabric needs them: streams, events and memory of more than one GPU. The CUDA
// runtime is behind it (substrate/cuda/cuda_rank_devices.h); tests have one on host memory.
#include <cstddef>
#include <cstdint>
#include <memory>

#include "impls/substrate/dtype.h"

struct CUstream_st;

namespace assay::substrate::nccl {

using Stream = CUstream_st*;

class RankDevices {
 public:
  RankDevices() = default;
  virtual ~RankDevices() = default;
  RankDevices(const RankDevices&) = delete;
  RankDevices& operator=(const RankDevices&) = delete;

  virtual int count() const = 0;
  // The calling thread's device from now on; what is below is called with the device of its stream in use, except for
  // giving something back.
  virtual void use(int device) = 0;
  virtual int in_use() const = 0;

  virtual Stream make_stream() = 0;
  virtual void drop_stream(Stream stream) noexcept = 0;
  virtual void synchronize(Stream stream, const char* doing) = 0;

  // A mark at the end of what is in the stream now. Waiting works from any device.
  using Event = std::shared_ptr<void>;
  virtual Event record(Stream stream) = 0;
  virtual void wait_in_stream(Stream stream, const Event& event) = 0;
  virtual void wait_on_host(const Event& event, const char* doing) = 0;
  virtual double seconds_between(const Event& first, const Event& second) = 0;

  // In the order of the stream.
  virtual void* allocate(std::size_t bytes, Stream stream) = 0;
  virtual void release(void* memory, Stream stream) noexcept = 0;
  virtual void fill(void* memory, unsigned char value, std::size_t bytes, Stream stream) = 0;
  // On the device; as BufferPlace has them.
  virtual void move(void* to, const void* from, std::size_t bytes, Stream stream) = 0;
  virtual void add(void* sum, DType of_sum, const void* addend, DType of_addend, std::int64_t count, Stream stream) = 0;
  virtual void narrow(void* to, const float* from, std::int64_t count, Stream stream) = 0;
  // Between host and device, whichever either address is; back when done.
  virtual void copy(void* to, const void* from, std::size_t bytes, Stream stream) = 0;
};

}  // namespace assay::substrate::nccl
