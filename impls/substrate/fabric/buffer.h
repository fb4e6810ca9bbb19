#pragma once
// Memory of a rank. On fabrics with real data a Buffer holds bytes; on `cluster` it has only a size. While a message
// that sends it is in flight the buffer is borrowed: reading is allowed, overwriting throws (always for real data; for
// virtual buffers in builds with ASSAY_DEBUG_CHECKS, where each carries a control block to count borrows).
#include <cstddef>
#include <cstdint>
#include <memory>
#include <source_location>
#include <span>
#include <stdexcept>
#include <utility>

#include "impls/substrate/dtype.h"

struct CUstream_st;

namespace assay::substrate {

class Rank;

#ifdef ASSAY_DEBUG_CHECKS
inline constexpr bool kDebugChecks = true;
#else
inline constexpr bool kDebugChecks = false;
#endif

// A program that breaks the contract of Rank: overwrites borrowed memory, reads a virtual tensor, mismatches messages.
class ContractViolation : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

// Where the buffers of a rank lie when that is not the host's heap: memory of a device. What `read` and `write` give
// then are addresses for that device's kernels, and bodies enqueue on `stream` instead of computing. Calls come from
// the rank's thread; memory is given back in the order of the stream.
class BufferPlace {
 public:
  BufferPlace() = default;
  virtual ~BufferPlace() = default;
  BufferPlace(const BufferPlace&) = delete;
  BufferPlace& operator=(const BufferPlace&) = delete;

  virtual std::byte* allocate(std::size_t bytes) = 0;
  virtual void release(std::byte* data) noexcept = 0;
  virtual void fill(std::byte* data, unsigned char value, std::size_t bytes) = 0;
  virtual void copy(std::byte* to, const std::byte* from, std::size_t bytes) = 0;
  // sum += addend, `count` elements; the sum is rounded to its own dtype. A float32 sum takes addends of either dtype.
  virtual void add(std::byte* sum, DType of_sum, const std::byte* addend, DType of_addend, std::int64_t count) = 0;
  // float32 to bf16.
  virtual void narrow(std::byte* to, const float* from, std::int64_t count) = 0;
  virtual CUstream_st* stream() const = 0;
};

// The bytes behind a Buffer. A message in flight shares them, so that leaving a program early cannot free them under
// the copying rank. `borrows` is touched by the owning rank only.
struct Storage {
  Storage(std::byte* memory, std::int64_t size, bool is_owned, std::shared_ptr<BufferPlace> at = nullptr)
      : data(memory), bytes(size), owned(is_owned), place(std::move(at)) {}
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  std::byte* data;
  std::int64_t bytes;
  bool owned;
  std::shared_ptr<BufferPlace> place;  // null: the heap
  int borrows = 0;
};

class Buffer {
 public:
  Buffer() = default;
  Buffer(Buffer&& other) noexcept
      : rank_(std::exchange(other.rank_, nullptr)),
        storage_(std::move(other.storage_)),
        bytes_(std::exchange(other.bytes_, 0)),
        entry_(other.entry_) {}
  // Throws ContractViolation when the bytes overwritten are still borrowed by a message.
  Buffer& operator=(Buffer&& other);  // NOLINT(performance-noexcept-move-constructor): that throw is its contract
  ~Buffer() {
    if (rank_ != nullptr) release();
  }

  std::int64_t bytes() const { return bytes_; }
  bool is_virtual() const { return storage_ == nullptr || storage_->data == nullptr; }
  explicit operator bool() const { return rank_ != nullptr; }
  // Of its rank: where its data lie.
  std::shared_ptr<BufferPlace> place() const;
  const char* name() const;

  template <class T>
  std::span<const T> read(std::source_location where = std::source_location::current()) const {
    require_data(where);
    return {reinterpret_cast<const T*>(storage_->data), static_cast<std::size_t>(bytes_) / sizeof(T)};
  }
  template <class T>
  std::span<T> write(std::source_location where = std::source_location::current()) {
    require_unborrowed(where);
    require_data(where);
    return {reinterpret_cast<T*>(storage_->data), static_cast<std::size_t>(bytes_) / sizeof(T)};
  }

 private:
  friend class Rank;
  static constexpr std::uint32_t kOfAnother = ~std::uint32_t{0};  // entry of a slice: its memory is charged elsewhere
  Buffer(Rank* rank, std::shared_ptr<Storage> storage, std::int64_t bytes, std::uint32_t entry)
      : rank_(rank), storage_(std::move(storage)), bytes_(bytes), entry_(entry) {}
  void release() noexcept;
  void require_data(std::source_location where) const;
  void require_unborrowed(std::source_location where) const;

  Rank* rank_ = nullptr;
  std::shared_ptr<Storage> storage_;
  std::int64_t bytes_ = 0;
  std::uint32_t entry_ = 0;  // of the rank's ledger
};

// What programs do with bytes themselves, wherever these lie. Real data only; `from` lies where `to` does.
void copy_to(Buffer& to, std::int64_t offset, const std::byte* from, std::int64_t bytes);
void copy_to(Buffer& to, std::int64_t offset, const Buffer& from);
void fill_with(Buffer& to, unsigned char value);

}  // namespace assay::substrate
