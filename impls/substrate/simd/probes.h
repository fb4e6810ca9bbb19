#pragma once
// Loops that do nothing but the arithmetic or the traffic a roof is made of. Each leaves results that can only be right
// if every step was executed: impls/hardware/cpu_roofs.cpp checks them.
#include <cstddef>
#include <cstdint>

namespace assay::substrate {

// The best vector unit: `steps` rounds of fused multiply-adds on twelve independent accumulators,
// accumulator i starting at first + i. out[0..fma_outputs()) = first + i + steps; 2 FLOPs per output and step.
int fma_outputs();
void probe_fma(std::int64_t steps, float first, float* out);

// Sum of `count` floats.
double probe_read(const float* data, std::size_t count);

namespace avx512bf16 {

// vdpbf16ps on registers: 16 accumulators of 16 lanes, out[16 i + lane] = first + i + 2 steps; 4 FLOPs per output and
// step.
void probe_registers(std::int64_t steps, float first, float* out);

// The matrix and the vector work of attention at d = 128, interleaved. `rounds` times over the `vectors` (even) score
// vectors of 16 in s, for each: 128 vdpbf16ps on registers, which is 4 d FLOPs for each of the 16 scores (both
// products), and the softmax of the vector: maximum, 2^(s c - shift), running sum, rounding to bf16 pairs stored in p.
// out[16 i + lane] = i + 16 rounds * vectors; sums[16] gets the sums, maxima[16] the maxima. 8192 FLOPs per vector.
void probe_matrix_and_exp(std::int64_t rounds, const float* s, int vectors, float c, float shift, void* p, float* out,
                          float* sums, float* maxima);

}  // namespace avx512bf16

namespace amx {

// TDPBF16PS on registers: four tiles of C, out[4 * 256] = first + 32 steps each; 65536 FLOPs a step. Between begin()
// and end().
void probe_registers(std::int64_t steps, float first, float* out);

// As avx512bf16::probe_matrix_and_exp with the products on the tiles: one TDPBF16PS for every two vectors of scores.
// vectors is a multiple of 8. out[4 * 256] = 4 rounds * vectors each.
void probe_matrix_and_exp(std::int64_t rounds, const float* s, int vectors, float c, float shift, void* p, float* out,
                          float* sums, float* maxima);

}  // namespace amx
}  // namespace assay::substrate
