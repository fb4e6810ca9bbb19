// The backward kernels, run by the emulator from their own source: the gradients of float64, no race, no bank conflict.
#include "cuda_gradients_for_tests.h"

namespace assay::attention::cuda {
namespace {

TEST(CudaBackward, AgreesWithFloat64AndNeverRaces) {
  expect_gradients_of_float64(emulator::flash_attention_2_backward, [](const Problem& p) {
    const std::int64_t rows = static_cast<std::int64_t>(p.batch) * p.heads * p.queries;
    return Backward(p, rows, rows * p.head_dim);
  });
}

}  // namespace
}  // namespace assay::attention::cuda
