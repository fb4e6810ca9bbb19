#pragma once
// The tile operations attention is made of, one table per instruction set.
//
// Scores are held transposed: S^T[key][query], with kTileQueries queries side by side in the vector lanes. Then
//   - row maxima and row sums of the softmax are plain vertical operations, no horizontal reduction anywhere,
//   - rescaling O^T[column][query] is a vertical multiplication,
//   - both matrix products are the same one, C[rows][32] = A[rows][depth] * B[depth][32]:
//       S^T = K Q^T    A = K as it is stored,  B = Q^T, transposed once per query tile,
//       O^T += V^T P^T A = V^T, transposed once per key block,  B = P^T, which the softmax writes in this form.
//
// Operands are f32, or bf16 in "pairs": B then holds, for each query, the elements of two consecutive depths in one
// 32-bit word (the form vdpbf16ps and AMX want), while A keeps its row-major bf16 elements, whose neighbours are such
// pairs already.
#include <cstdint>
#include <span>
#include <string_view>

#include "impls/substrate/cpu_features.h"
#include "impls/substrate/dtype.h"

namespace assay::substrate {

inline constexpr int kTileQueries = 32;

struct TileKernels {
  std::string_view name;
  DType operand;  // element type of A and B
  bool round_p;   // P is rounded to bf16 although the operands are f32: a bf16 problem on a unit without bf16 products
  int row_grain;  // rows of A come in multiples of this
  int depth_grain;  // depth comes in multiples of this

  // Around the tile operations of one task, on the thread that runs it (AMX loads its tile configuration here).
  void (*begin)();
  void (*end)();

  // C[rows][32] = A B, and C[rows][32] = C diag(scale) + A B. a_stride in elements of A. Operands 64-byte aligned.
  void (*product)(const void* a, std::int64_t a_stride, const void* b, int rows, int depth, float* c);
  void (*scaled_product_add)(const void* a, std::int64_t a_stride, const void* b, int rows, int depth,
                             const float* scale, float* c);

  // m[32] = max(m, max over rows of S^T); alpha[32] = 2^((m_before - m_after) * c), 0 where m_before is -inf.
  void (*column_max)(const float* s, int rows, float c, float* m, float* alpha);

  // P^T = 2^(S^T c - m c), 0 where m is -inf, written as a B operand of `rows` depths; l = l * alpha + column sums of
  // the unrounded P. rows is a multiple of depth_grain.
  void (*softmax_block)(const float* s, int rows, float c, const float* m, const float* alpha, float* l, void* p);

  // The same in two passes for schedules that keep P in memory: exponentials in place, then scaling and packing.
  void (*exponentials)(float* s, int rows, float c, const float* m, float* l);
  void (*pack_scaled)(const float* s, int rows, const float* scale, void* p);
};

// Lives as long as the task whose tile operations it surrounds.
class TileTask {
 public:
  explicit TileTask(const TileKernels& kernels) : kernels_(kernels) { kernels_.begin(); }
  ~TileTask() { kernels_.end(); }
  TileTask(const TileTask&) = delete;
  TileTask& operator=(const TileTask&) = delete;

 private:
  const TileKernels& kernels_;
};

// The table for `isa` on problems of type `dtype`. Throws std::invalid_argument where the pair has none (avx512-bf16
// and amx with fp32). Check missing(isa) first: the table itself does not.
const TileKernels& tile_kernels(Isa isa, DType dtype);

// The amx table over a software model of the tile instructions; runs anywhere, at a crawl.
const TileKernels& emulated_amx_kernels();

// The best instruction set here for `dtype`.
Isa best_isa(DType dtype);

constexpr int round_up(int value, int grain) { return (value + grain - 1) / grain * grain; }

}  // namespace assay::substrate
