#pragma once
// Rotary position embedding of queries and keys (RoPE): pairs of elements of a head are turned by an angle that grows
// with the token's position,
//   (a, b) -> (a cos t - b sin t, b cos t + a sin t),   t = position * base^(-2 i / d),  i = 0 .. d/2 - 1.
// Pair i is elements (i, i + d/2) ("half", as in NeoX and Llama) or (2i, 2i + 1) ("interleaved", as in the paper).
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "harness/registry.h"
#include "harness/state.h"
#include "impls/substrate/dtype.h"
#include "impls/substrate/tensor.h"

namespace assay::positional {

struct RopeProblem {
  std::int64_t tokens = 1;
  std::int64_t first_position = 0;  // of the first token: decoding continues a sequence
  int heads = 1, kv_heads = 1;
  int head_dim = 128;
  bool interleaved = false;
  double base = 10000;
  substrate::DType dtype = substrate::DType::bf16;

  std::int64_t all_heads() const { return heads + kv_heads; }
  std::int64_t elements() const { return tokens * all_heads() * head_dim; }
  std::size_t bytes() const { return static_cast<std::size_t>(elements() * size_of(dtype)); }
  std::int64_t table_elements() const { return tokens * head_dim; }
  // Q and K read and written once, the table of angles read once.
  harness::Work work() const;
};

std::vector<harness::Axis> rope_axes(const std::vector<std::string>& dtypes);
RopeProblem rope_problem(const harness::State& state);

// cos t and sin t of every (token, pair), f32 [tokens][d/2][2]: what engines keep beside the weights. `shift` moves
// every position, for a mutant.
std::vector<float> rope_table(const RopeProblem& problem, std::int64_t shift = 0);

// Q and K side by side as a fused projection leaves them: [tokens][heads + kv_heads][d], in host memory.
struct RopeTensors {
  explicit RopeTensors(const RopeProblem& problem) : in(problem.bytes()), out(problem.bytes()) {}
  void draw(const RopeProblem& problem, std::uint64_t seed);
  substrate::AlignedBuffer<std::byte> in, out;
};

// Wrong versions for the gate, all of which are right code given something wrong.
struct RopeFault {
  std::int64_t shift = 0;           // of positions
  bool other_pairs = false;         // half for interleaved and the other way round
  std::int64_t heads_left_out = 0;  // the last ones are not written
  bool coarse = false;              // inputs with 3 mantissa bits
};
std::vector<std::pair<std::string, RopeFault>> rope_faults(const RopeProblem& problem);
RopeProblem with_fault(RopeProblem problem, const RopeFault& fault);  // all of it that is part of the problem
void coarsen(const RopeProblem& problem, const std::byte* from, std::byte* to);

// Every element against float64 angles and sines. Tolerance: one unit roundoff of the exact value for storing it, and
// 4e-7 of the larger of its pair for the table's and the products' float32.
harness::Check compare_rope(const RopeProblem& problem, const RopeTensors& tensors);

}  // namespace assay::positional
