#pragma once
// The kernels of this folder as plain functions, for tests and benchmarks; each is defined in the file of its
// technique.
#include "impls/attention/problem.h"

namespace assay::attention {

Kernel naive_attention(const Problem& problem, const Execution& execution);
Kernel mem_efficient_attention(const Problem& problem, const Execution& execution);
Kernel flash_attention_1(const Problem& problem, const Execution& execution);
Kernel flash_attention_2(const Problem& problem, const Execution& execution);
// Gives O alone. An empty function in a build without oneDNN.
Kernel onednn_attention(const Problem& problem, const Execution& execution);

}  // namespace assay::attention
