#include "impls/substrate/simd/tile_kernels.h"

#include <stdexcept>

#include "impls/substrate/simd/tile_amx.h"
#include "impls/substrate/simd/tile_avx512bf16.h"
#include "impls/substrate/simd/tile_vector.h"

namespace assay::substrate {

#if defined(__x86_64__)
namespace {

void nothing() {}

}  // namespace
#endif

const TileKernels& tile_kernels(Isa isa, DType dtype) {
  if (isa != Isa::avx512_bf16 && isa != Isa::amx) return vector_kernels(isa, dtype);
  if (dtype != DType::bf16) throw std::invalid_argument("no bf16 products for an fp32 problem");
#if defined(__x86_64__)
  static const TileKernels dot{"AVX512-BF16",
                               DType::bf16,
                               false,
                               8,
                               2,
                               nothing,
                               nothing,
                               avx512bf16::product,
                               avx512bf16::scaled_product_add,
                               avx512bf16::column_max,
                               avx512bf16::softmax_block,
                               avx512bf16::exponentials,
                               avx512bf16::pack_scaled};
  static const TileKernels tiles{"AMX",
                                 DType::bf16,
                                 false,
                                 32,
                                 32,
                                 amx::begin,
                                 amx::end,
                                 amx::product,
                                 amx::scaled_product_add,
                                 avx512bf16::column_max,
                                 avx512bf16::softmax_block,
                                 avx512bf16::exponentials,
                                 avx512bf16::pack_scaled};
  return isa == Isa::amx ? tiles : dot;
#else
  throw std::invalid_argument("bf16 products need an x86-64 build");
#endif
}

Isa best_isa(DType dtype) {
  if (dtype == DType::bf16) {
    for (const Isa isa : {Isa::amx, Isa::avx512_bf16}) {
      if (available(isa)) return isa;
    }
  }
  for (const Isa isa : {Isa::avx512, Isa::avx2}) {
    if (available(isa)) return isa;
  }
  return Isa::portable;
}

}  // namespace assay::substrate
