#pragma once
// The one-rank oracle: softmax attention and its gradients in float64 over the whole sequence, row by row with the
// scores of one row in memory. Plain enough to be believed by reading; shares no code with the block kernels.
#include <cstdint>
#include <span>
#include <vector>

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
OracleOutputs attention_oracle(const OracleInputs& in);

// O, lse and dQ of query row `position` only; dK and dV stay empty.
struct OracleRow {
  std::vector<double> o, dq;
  double lse = 0;
};
OracleRow attention_oracle_row(const OracleInputs& in, int batch, int head, std::int64_t position);

}  // namespace assay::parallelism
