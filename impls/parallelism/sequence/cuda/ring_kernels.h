#pragma once
// The kernels between the blocks of a ring: what the flash kernels made of one block of keys is merged into the running
// result, or added to it. No CUDA header is needed to call them.
#include <cstddef>
#include <cstdint>

struct CUstream_st;

namespace assay::parallelism::cuda {

// acc[0, elements) = 0, lse[0, rows) = -infinity.
void launch_start(float* acc, std::int64_t elements, float* lse, std::int64_t rows, CUstream_st* stream);

// Rows [first, first + rows) of a rank's `tokens`: acc f32 [batch][tokens][heads][d] and lse f32 [batch][tokens][heads]
// take in part_o f32 [batch][heads][rows][d] and part_lse f32 [batch][heads][rows], both normalised:
//   l = log(exp l1 + exp l2);  O = exp(l1 - l) O1 + exp(l2 - l) O2.
// Bytes: 12 d + 12 a row.
struct MergeProblem {
  float* acc = nullptr;
  float* lse = nullptr;
  const float* part_o = nullptr;
  const float* part_lse = nullptr;
  int batch = 1, tokens = 0, first = 0, rows = 0, heads = 1, head_dim = 64;
  bool rescale = true;  // false adds O2 as it is: wrong, and the gate has to notice
};
void launch_merge(const MergeProblem& problem, CUstream_st* stream);

// Rows [first, first + rows) of a rank's `tokens`, of all heads.
struct QueryRows {
  int batch = 1, tokens = 0, first = 0, rows = 0, heads = 1;
};
// What the backward kernel reads by head: to[batch][heads][rows] = from[batch][tokens][heads] of these rows.
void launch_gather(const QueryRows& rows, const float* from, float* to, CUstream_st* stream);
// to[batch][tokens][heads][d] += scale from[batch][heads][rows][d].
void launch_add_scaled(const QueryRows& rows, int head_dim, const float* from, float scale, float* to,
                       CUstream_st* stream);
// delta[row] = sum over d of dO O, bf16 [rows][d], in float32.
void launch_row_delta(const std::byte* d_out, const std::byte* o, std::int64_t rows, int head_dim, float* delta,
                      CUstream_st* stream);

// bf16(from), rounded to nearest even. `count` is a multiple of 8.
void launch_store_bf16(const float* from, std::int64_t count, std::uint16_t* to, CUstream_st* stream);

}  // namespace assay::parallelism::cuda
