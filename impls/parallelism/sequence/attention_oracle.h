#pragma once
// The one-rank oracle: softmax attention and its gradients in float64 over the whole sequence, row by row with the
// scores of one row in memory. Plain enough to be believed by reading; shares no code with the block kernels.
//
// The same lines run a second time as naive attention in the program's own dtype, whose distance from float64 is the
// yardstick of the check: float32 sums in order, and what naive attention materialises (P, O, dP, dS) rounded to the
// dtype; delta = dO . O, of O as stored.
#include <cstdint>
#include <vector>

#include "impls/substrate/dtype.h"

namespace assay::parallelism {

// Q, dO [B][L][H][d]; K, V [B][L][Hk][d], in the global order of tokens. dO empty: forward only.
struct OracleInputs {
  std::int64_t length = 0;
  int batch = 1, heads = 1, kv_heads = 1, head_dim = 1;
  bool causal = false;
  std::vector<double> q, k, v, d_out;
};

struct OracleOutputs {
  std::vector<double> o, lse;      // as Q; [B][L][H]
  std::vector<double> dq, dk, dv;  // as Q, K, V; empty without dO
};

// Everything: 4 B H L^2 d FLOPs forward and 2.5 times that backward (half of it causal).
OracleOutputs attention_exact(const OracleInputs& in);
OracleOutputs attention_naive(const OracleInputs& in, substrate::DType dtype);

// O, lse and dQ of query row `position` only.
struct OracleRow {
  std::vector<double> o, dq;
  double lse = 0;
};
OracleRow attention_exact_row(const OracleInputs& in, int batch, int head, std::int64_t position);
OracleRow attention_naive_row(const OracleInputs& in, int batch, int head, std::int64_t position,
                              substrate::DType dtype);

// dK and dV of key `position` only, given lse and O of every query [B][L][H] and [B][L][H][d]: 8 (H / Hk) L d FLOPs,
// where finding these first would cost the whole forward pass.
struct OracleColumn {
  std::vector<double> dk, dv;
};
OracleColumn attention_exact_column(const OracleInputs& in, const std::vector<double>& lse,
                                    const std::vector<double>& o, int batch, int kv_head, std::int64_t position);
OracleColumn attention_naive_column(const OracleInputs& in, const std::vector<double>& lse,
                                    const std::vector<double>& o, int batch, int kv_head, std::int64_t position,
                                    substrate::DType dtype);

}  // namespace assay::parallelism
