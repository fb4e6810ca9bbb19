#pragma once
// Entered only where missing(Isa::avx512_bf16) is empty. This header and its source share no inline code with the rest
// of the program, so that no function compiled for AVX-512 can stand in for its portable twin.
#include <cstdint>

namespace assay::substrate::avx512bf16 {

void product(const void* a, std::int64_t a_stride, const void* b, int rows, int depth, float* c);
void scaled_product_add(const void* a, std::int64_t a_stride, const void* b, int rows, int depth, const float* scale,
                        float* c);
void column_max(const float* s, int rows, float c, float* m, float* alpha);
void softmax_block(const float* s, int rows, float c, const float* m, const float* alpha, float* l, void* p);
void exponentials(float* s, int rows, float c, const float* m, float* l);
void pack_scaled(const float* s, int rows, const float* scale, void* p);

}  // namespace assay::substrate::avx512bf16
