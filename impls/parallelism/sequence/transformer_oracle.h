#pragma once
// The one-rank oracle of a transformer layer and its gradients in float64: norm, attention, norm, inner layer, with
// residuals, written over whole matrices; of GPT's kind (GELU), or with what Llama and Qwen have: gains of the norms,
// rotary positions, an inner layer of silu(gate) * up. Attention is attention_oracle.h's. Shares no code with the rank
// programs.
//
// The same lines run a second time in the program's dtype, float32 sums and what a layer stores rounded; the distance
// from float64 is the yardstick of the check.
#include <cstdint>
#include <vector>

#include "impls/substrate/dtype.h"

namespace assay::parallelism {

// x, dz [L][B][h]; weights [h][H d], [h][Hk d] twice, [H d][h], [h][f], [f][h]. dz empty: forward only.
struct TransformerInputs {
  std::int64_t length = 0;
  int batch = 1, heads = 1, kv_heads = 1, head_dim = 1;
  std::int64_t inner = 0;
  bool causal = true;
  double epsilon = 0;  // of the norm
  std::vector<double> x, wq, wk, wv, wo, w1, w2, dz;
  std::int64_t hidden = 0;               // h; 0: H d
  double rotary_base = 0;                // 0: no positions; elements i and i + d/2 of a head are a pair
  std::vector<double> gate = {};         // [h][f]: silu(n gate) * (n w1) instead of gelu(n w1)
  std::vector<double> g1 = {}, g2 = {};  // gains [h] of the two norms, or none
};

struct TransformerOutputs {
  std::vector<double> z;
  std::vector<double> dx, dwq, dwk, dwv, dwo, dw1, dw2;  // empty without dz
  std::vector<double> d_gate = {}, dg1 = {}, dg2 = {};   // empty without them
};

TransformerOutputs transformer_exact(const TransformerInputs& in);
TransformerOutputs transformer_naive(const TransformerInputs& in, substrate::DType dtype);

}  // namespace assay::parallelism
