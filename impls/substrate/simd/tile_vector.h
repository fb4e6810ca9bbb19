#pragma once
#include <cstdint>

#include "impls/substrate/simd/tile_kernels.h"

namespace assay::substrate {

// Tables of the Highway kernels (fp32 arithmetic; bf16 problems with P rounded). `isa` is portable, avx2 or avx512.
const TileKernels& vector_kernels(Isa isa, DType dtype);

}  // namespace assay::substrate
