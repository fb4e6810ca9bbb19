#pragma once
// Entered only where missing(Isa::amx) is empty; no inline code shared, as in tile_avx512bf16.h.
#include <cstdint>

namespace assay::substrate::amx {

// A thread loads the tile configuration before its first product of a task and releases the tiles after the last: other
// users of the tiles in this thread (oneDNN is one) may have left their own.
void begin();
void end();
void product(const void* a, std::int64_t a_stride, const void* b, int rows, int depth, float* c);
void scaled_product_add(const void* a, std::int64_t a_stride, const void* b, int rows, int depth, const float* scale,
                        float* c);

}  // namespace assay::substrate::amx
