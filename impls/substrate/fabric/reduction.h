#pragma once
// Sums of tensors inside collectives: float32, or bf16 that is rounded after every addition as it travels.
#include <cstdint>
#include <span>
#include <vector>

#include "impls/substrate/dtype.h"
#include "impls/substrate/fabric/rank.h"

namespace assay::substrate {

// sum += addend, element by element.
void add_to(std::span<float> sum, const Buffer& addend, DType dtype);
void add_into(Buffer& sum, const Buffer& addend, DType dtype);
// float32 to the dtype of `to`.
void store_sum(std::span<const float> sum, Buffer& to, DType dtype);

// `addends` tensors of `bytes` read, one written.
OpWork addition(std::int64_t bytes, int addends, DType dtype);

// A tensor cut into `count` parts of whole elements, the first ones one element longer. Parts may be empty.
std::vector<Buffer> cut(Rank& rank, const Buffer& whole, int count, DType dtype);

}  // namespace assay::substrate
