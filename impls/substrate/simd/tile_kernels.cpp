#include "impls/substrate/simd/tile_kernels.h"

#include <stdexcept>

#include "impls/substrate/simd/tile_vector.h"

namespace assay::substrate {

const TileKernels& tile_kernels(Isa isa, DType dtype) { return vector_kernels(isa, dtype); }

Isa best_isa(DType) {
  for (const Isa isa : {Isa::avx512, Isa::avx2}) {
    if (available(isa)) return isa;
  }
  return Isa::portable;
}

}  // namespace assay::substrate
