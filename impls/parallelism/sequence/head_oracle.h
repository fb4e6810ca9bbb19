#pragma once
// The one-rank oracle of a language head with cross entropy and its gradients, in float64 over whole matrices:
// logits = z W, loss = sum over counted words of -log softmax(logits)[next] / n. Shares no code with the rank programs.
// The same lines a second time with float32 sums and what is stored rounded to the dtype are the yardstick of the
// check.
#include <cstdint>
#include <vector>

#include "impls/substrate/dtype.h"

namespace assay::parallelism {

struct HeadInputs {
  std::int64_t rows = 0, hidden = 0, vocab = 0;
  std::int64_t counted = 1;               // n: of these rows and any others
  const std::vector<double>& z;           // [rows][hidden]
  const std::vector<double>& w;           // [hidden][vocab]
  const std::vector<std::int32_t>& next;  // of a row; negative: does not count
};

struct HeadOutputs {
  double loss = 0;  // of these rows
  std::vector<double> dz, dw;
};

HeadOutputs head_exact(const HeadInputs& in);
HeadOutputs head_naive(const HeadInputs& in, substrate::DType dtype);

}  // namespace assay::parallelism
