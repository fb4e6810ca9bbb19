#pragma once
// Devices of ranks whose memory is the host's and whose streams do everything at once. They know which device is in
// use, by thread, and refuse a stream of another one, as CUDA would for an event.
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <stdexcept>

#include "impls/substrate/fabric/nccl/rank_devices.h"

namespace assay::substrate::nccl {

class HostRankDevices : public RankDevices {
 public:
  explicit HostRankDevices(int count) : count_(count) {}
  ~HostRankDevices() override {
    for (const auto& [memory, size] : allocations_) std::free(memory);
  }

  std::size_t allocations() const {
    const std::lock_guard lock(mutex_);
    return allocations_.size();
  }
  int streams() const {
    const std::lock_guard lock(mutex_);
    return static_cast<int>(device_of_.size());
  }
  std::map<void*, std::size_t> memory() const {
    const std::lock_guard lock(mutex_);
    return allocations_;
  }
  std::atomic<int> additions = 0;
  std::atomic<bool> fails = false;  // the next wait on the host reports a fault

  int count() const override { return count_; }
  void use(int device) override {
    if (device < 0 || device >= count_) throw std::logic_error("no such device");
    current() = device;
  }
  int in_use() const override { return current(); }
  Stream make_stream() override {
    const std::lock_guard lock(mutex_);
    const auto stream = reinterpret_cast<Stream>(++next_);
    device_of_[stream] = current();
    return stream;
  }
  void drop_stream(Stream stream) noexcept override {
    const std::lock_guard lock(mutex_);
    device_of_.erase(stream);
  }
  void synchronize(Stream stream, const char*) override { expect(stream); }
  Event record(Stream stream) override {
    expect(stream);
    return std::make_shared<Stream>(stream);
  }
  void wait_in_stream(Stream stream, const Event& event) override {
    expect(stream);
    if (!event) throw std::logic_error("waits for nothing");
  }
  void wait_on_host(const Event& event, const char*) override {
    if (!event) throw std::logic_error("waits for nothing");
    if (fails) throw std::runtime_error("a fault of the device");
  }
  double seconds_between(const Event& first, const Event& second) override {
    if (device(first) != device(second)) throw std::logic_error("events of two devices");
    return 1e-6;
  }
  void* allocate(std::size_t bytes, Stream stream) override {
    expect(stream);
    void* const memory = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
    std::memset(memory, 0xff, bytes);
    const std::lock_guard lock(mutex_);
    allocations_[memory] = bytes;
    return memory;
  }
  void release(void* memory, Stream) noexcept override {
    {
      const std::lock_guard lock(mutex_);
      allocations_.erase(memory);
    }
    std::free(memory);
  }
  void fill(void* memory, unsigned char value, std::size_t bytes, Stream) override {
    std::memset(memory, value, bytes);
  }
  void copy(void* to, const void* from, std::size_t bytes, Stream stream) override {
    expect(stream);
    std::memcpy(to, from, bytes);
  }
  void move(void* to, const void* from, std::size_t bytes, Stream stream) override {
    expect(stream);
    std::memcpy(to, from, bytes);
  }
  void add(void* sum, DType of_sum, const void* addend, DType of_addend, std::int64_t count, Stream stream) override {
    expect(stream);
    ++additions;
    for (std::int64_t i = 0; i < count; ++i) {
      const float all = value(sum, of_sum, i) + value(addend, of_addend, i);
      if (of_sum == DType::f32)
        std::memcpy(static_cast<std::byte*>(sum) + 4 * i, &all, 4);
      else
        narrow(static_cast<std::byte*>(sum) + 2 * i, &all, 1, stream);
    }
  }
  void narrow(void* to, const float* from, std::int64_t count, Stream stream) override {
    expect(stream);
    for (std::int64_t i = 0; i < count; ++i) {
      const BFloat16 rounded = to_bf16(from[i]);
      std::memcpy(static_cast<std::byte*>(to) + 2 * i, &rounded, 2);
    }
  }

 private:
  static float value(const void* from, DType dtype, std::int64_t i) {
    if (dtype == DType::f32) return static_cast<const float*>(from)[i];
    BFloat16 narrow_value;
    std::memcpy(&narrow_value, static_cast<const std::byte*>(from) + 2 * i, 2);
    return to_float(narrow_value);
  }
  static int& current() {
    thread_local int device = 0;
    return device;
  }
  void expect(Stream stream) const {
    const std::lock_guard lock(mutex_);
    if (device_of_.at(stream) != current()) throw std::logic_error("the stream's device is not in use");
  }
  int device(const Event& event) const {
    const std::lock_guard lock(mutex_);
    return device_of_.at(*static_cast<const Stream*>(event.get()));
  }

  int count_;
  mutable std::mutex mutex_;
  std::map<Stream, int> device_of_;
  std::map<void*, std::size_t> allocations_;
  std::uintptr_t next_ = 0;
};

}  // namespace assay::substrate::nccl
