#pragma once
// Memory for tensors: aligned buffers, and views of [batch, head, row, column] with any strides over them.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <span>
#include <utility>

#include "impls/substrate/dtype.h"

namespace assay::substrate {

// Owns `size` elements of a trivial type on a page boundary, so that no tile row straddles a line it need not.
template <class T>
class AlignedBuffer {
 public:
  static constexpr std::size_t kAlignment = 4096;

  AlignedBuffer() = default;
  explicit AlignedBuffer(std::size_t size) : size_(size) {
    if (size == 0) return;
    data_ = static_cast<T*>(::operator new(size * sizeof(T), std::align_val_t{kAlignment}));
    std::memset(static_cast<void*>(data_), 0, size * sizeof(T));  // also touches every page before anything is timed
  }
  AlignedBuffer(AlignedBuffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  AlignedBuffer(const AlignedBuffer&) = delete;
  AlignedBuffer& operator=(const AlignedBuffer&) = delete;
  ~AlignedBuffer() { ::operator delete(data_, std::align_val_t{kAlignment}); }

  T* data() { return data_; }
  const T* data() const { return data_; }
  std::size_t size() const { return size_; }
  std::size_t bytes() const { return size_ * sizeof(T); }
  std::span<T> span() { return {data_, size_}; }
  std::span<const T> span() const { return {data_, size_}; }
  T& operator[](std::size_t i) { return data_[i]; }
  const T& operator[](std::size_t i) const { return data_[i]; }

 private:
  T* data_ = nullptr;
  std::size_t size_ = 0;
};

// Element (b, h, r, c) lies at data + b*batch + h*head + r*row + c, strides counted in elements; columns are
// contiguous.
struct View {
  std::byte* data = nullptr;
  DType dtype = DType::f32;
  std::int64_t batch = 0;
  std::int64_t head = 0;
  std::int64_t row = 0;

  std::byte* at(std::int64_t b, std::int64_t h, std::int64_t r) const {
    return data + (b * batch + h * head + r * row) * size_of(dtype);
  }
  float load(std::int64_t b, std::int64_t h, std::int64_t r, std::int64_t c) const {
    const std::byte* p = at(b, h, r) + c * size_of(dtype);
    if (dtype == DType::f32) {
      float value = 0;
      std::memcpy(&value, p, sizeof value);
      return value;
    }
    std::uint16_t bits = 0;
    std::memcpy(&bits, p, sizeof bits);
    return dtype == DType::bf16 ? to_float(BFloat16{bits}) : to_float(Float16{bits});
  }
  void store(std::int64_t b, std::int64_t h, std::int64_t r, std::int64_t c, float value) const {
    std::byte* p = at(b, h, r) + c * size_of(dtype);
    if (dtype == DType::f32) {
      std::memcpy(p, &value, sizeof value);
    } else {
      const std::uint16_t bits = dtype == DType::bf16 ? to_bf16(value).bits : to_f16(value).bits;
      std::memcpy(p, &bits, sizeof bits);
    }
  }
};

}  // namespace assay::substrate
