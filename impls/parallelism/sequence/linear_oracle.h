#pragma once
// The one-rank oracle of linear attention with decay: the recurrence token by token in float64, and its gradients by
// going back through it. The same lines a second time in float32, with O stored in the program's dtype, are the
// yardstick of the check.
#include <cstdint>
#include <vector>

#include "impls/substrate/dtype.h"

namespace assay::parallelism {

// Tensors [B][L][H][d] in the order of the sequence; `decay` are the a_t themselves. dO empty: forward only.
struct LinearOracleInputs {
  std::int64_t length = 0;
  int batch = 1, heads = 1, head_dim = 1;
  double scale = 1;
  std::vector<double> q, k, v, decay, d_out;
};

struct LinearOracleOutputs {
  std::vector<double> o, dq, dk, dv, d_log_decay;
};

LinearOracleOutputs linear_exact(const LinearOracleInputs& in);
LinearOracleOutputs linear_naive(const LinearOracleInputs& in, substrate::DType dtype);

}  // namespace assay::parallelism
