#pragma once
// Softmax attention as a problem: O = softmax(scale * Q K^T + mask) V, LSE = ln(sum of the exponentials), per head.
// Symbols: B batch, N queries, M keys, Hq and Hkv query and key/value heads, d head size (of V too), G = Hq / Hkv.
#include <cstdint>
#include <functional>
#include <span>

#include "impls/substrate/cpu_features.h"
#include "impls/substrate/dtype.h"
#include "impls/substrate/tensor.h"

namespace assay::attention {

using substrate::DType;
using substrate::Isa;

inline constexpr int kLargestHeadDim = 256;

struct Problem {
  int batch = 1;
  int queries = 0;
  int keys = 0;
  int heads = 1;
  int kv_heads = 1;
  int head_dim = 128;
  DType dtype = DType::bf16;
  bool causal = true;
  float scale = 0;   // normally 1 / sqrt(d)
  int diagonal = 0;  // causal: query i sees key j when j <= i + diagonal; M - N aligns both ends bottom-right

  int group() const { return heads / kv_heads; }
  int kv_head(int head) const { return head / group(); }

  // Query `row` sees keys [0, visible(row)).
  int visible(int row) const;
  // Unmasked (query, key) pairs of one head of one batch element.
  std::int64_t pairs() const;

  // Useful FLOPs: 2 P (d + d_v) Hq over the batch (two products; softmax not counted).
  double flops() const;
  // Scores that need an exponential.
  double exps() const;
  // Q, K, V read once, O written once, and 4 bytes of LSE a row.
  double least_bytes() const;
};

// The problem with 1/sqrt(d) and bottom-right alignment filled in.
Problem aligned(Problem problem);

// Q [B,Hq,N,d], K and V [B,Hkv,M,d], O [B,Hq,N,d] of the problem's dtype; LSE f32 [B,Hq,N], contiguous; null where a
// technique gives none.
struct Tensors {
  substrate::View q, k, v, o;
  float* lse = nullptr;

  float& lse_at(const Problem& problem, std::int64_t b, std::int64_t h, std::int64_t row) const {
    return lse[(b * problem.heads + h) * problem.queries + row];
  }
};

// How a technique is to run: what is not part of the mathematics.
struct Execution {
  Isa isa = Isa::portable;
  int threads = 1;
  bool emulate = false;  // isa amx only: over the software model of the tile instructions
  int block_rows = 0;    // compositions of library calls: queries a block, 0 for all at once
};

// A technique made ready for a problem: workspace is allocated, calling it is the region that is timed. Deterministic:
// the same bits for any number of threads.
using Kernel = std::function<void(const Tensors&)>;
using MakeKernel = Kernel (*)(const Problem&, const Execution&);

// Owned memory for a problem in [batch, head, row, column] order, with views onto it.
class Storage {
 public:
  explicit Storage(const Problem& problem);
  const Tensors& tensors() const { return tensors_; }
  std::span<std::byte> output() { return o_.span(); }
  void drop_lse() { tensors_.lse = nullptr; }
  std::span<std::byte> lse() { return std::as_writable_bytes(lse_.span()); }

 private:
  substrate::AlignedBuffer<std::byte> q_, k_, v_, o_;
  substrate::AlignedBuffer<float> lse_;
  Tensors tensors_;
};

enum class InputLaw { normal, outlier };

// Q, K, V from N(0,1), or N(0,1) + N(0,100) * Bernoulli(0.001) (FlashAttention-3, section 4.3), rounded to the dtype.
// The same for any number of CPUs, on all of which it is done.
void draw_inputs(const Problem& problem, InputLaw law, std::uint64_t seed, const Tensors& tensors);
// One tensor [batch, heads, rows, columns] of that law.
void draw_tensor(const substrate::View& to, int batch, int heads, int rows, int columns, InputLaw law,
                 std::uint64_t seed);

}  // namespace assay::attention
