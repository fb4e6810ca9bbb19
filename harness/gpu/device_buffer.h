#pragma once
// Owned device memory of a number of elements.
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "harness/gpu/device.h"

namespace assay::harness::gpu {

// The device must outlive it; State's does.
template <typename T>
class DeviceBuffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  DeviceBuffer() = default;
  DeviceBuffer(Device& device, std::size_t count)
      : device_(&device), count_(count), data_(count == 0 ? nullptr : device.allocate(count * sizeof(T))) {}
  ~DeviceBuffer() {
    if (data_ != nullptr) device_->release(data_);
  }
  DeviceBuffer(DeviceBuffer&& other) noexcept { swap(other); }
  DeviceBuffer& operator=(DeviceBuffer&& other) noexcept {
    swap(other);
    return *this;
  }
  DeviceBuffer(const DeviceBuffer&) = delete;
  DeviceBuffer& operator=(const DeviceBuffer&) = delete;

  T* data() const { return static_cast<T*>(data_); }  // a device address
  std::size_t size() const { return count_; }
  std::size_t bytes() const { return count_ * sizeof(T); }

  // From and to host memory of the same number of elements.
  void upload(std::span<const T> from) {
    expect(from.size());
    if (data_ != nullptr) device_->copy_in(data_, from.data(), bytes());
  }
  void download(std::span<T> to) const {
    expect(to.size());
    if (data_ != nullptr) device_->copy_out(to.data(), data_, bytes());
  }
  std::vector<T> download() const {
    std::vector<T> to(count_);
    download(std::span<T>(to));
    return to;
  }

 private:
  void swap(DeviceBuffer& other) noexcept {
    std::swap(device_, other.device_);
    std::swap(count_, other.count_);
    std::swap(data_, other.data_);
  }
  void expect(std::size_t count) const {
    if (count != count_) throw std::invalid_argument("a copy of another number of elements than the buffer has");
  }

  Device* device_ = nullptr;
  std::size_t count_ = 0;
  void* data_ = nullptr;
};

}  // namespace assay::harness::gpu
