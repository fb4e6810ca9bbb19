#pragma once
// The additions inside collectives, on a device. No CUDA header is needed to call them.
#include <cstdint>

#include "impls/substrate/dtype.h"

struct CUstream_st;

namespace assay::substrate::cuda {

// sum[i] += addend[i], rounded to sum's dtype to nearest even: f32 += f32, f32 += bf16 or bf16 += bf16, else
// std::invalid_argument. Any alignment of whole elements; 16 bytes an access where both allow it. Reads both, writes
// sum. Asynchronous; DeviceError where the launch fails.
void launch_add(void* sum, DType of_sum, const void* addend, DType of_addend, std::int64_t count, CUstream_st* stream);
// bf16(from[i]).
void launch_narrow(void* to, const float* from, std::int64_t count, CUstream_st* stream);

}  // namespace assay::substrate::cuda
