#pragma once
// Sums of tensors inside collectives: float32, or bf16 that is rounded after every addition as it travels. Where a
// rank's memory is a device's, they are enqueued there.
#include <cstdint>
#include <memory>
#include <vector>

#include "impls/substrate/dtype.h"
#include "impls/substrate/fabric/rank.h"

namespace assay::substrate {

// sum += addend, element by element.
void add_into(Buffer& sum, const Buffer& addend, DType dtype);

// A sum that starts at 0 and is float32 until it is stored. Not in the rank's ledger.
class WideSum {
 public:
  WideSum(Rank& rank, std::int64_t elements);
  ~WideSum();
  WideSum(const WideSum&) = delete;
  WideSum& operator=(const WideSum&) = delete;

  void add(const Buffer& addend, DType dtype);
  void store(Buffer& to, DType dtype) const;

 private:
  std::int64_t elements_;
  std::shared_ptr<BufferPlace> place_;  // null: the host
  std::vector<float> host_;
  std::byte* data_ = nullptr;  // at the place
};

// `addends` tensors of `bytes` read, one written.
OpWork addition(std::int64_t bytes, int addends, DType dtype);

// Where part `part` of a tensor of `bytes` begins that is cut into `count` parts of whole elements, the first ones one
// element longer; the end of all for `part` == `count`.
std::int64_t part_begin(std::int64_t bytes, int count, int part, DType dtype);

// The tensor cut into these parts. Parts may be empty.
std::vector<Buffer> cut(Rank& rank, const Buffer& whole, int count, DType dtype);

}  // namespace assay::substrate
