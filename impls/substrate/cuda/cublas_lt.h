#pragma once
// Matrix products of cuBLASLt, opened at run time: the yardstick of what the matrix units of a device do in practice.
#include <cstdint>
#include <memory>
#include <stdexcept>

#include "harness/gpu/device_buffer.h"

namespace assay::substrate::cuda {

enum class GemmType { bf16, fp16, tf32, fp8 };  // fp8: e4m3, results bf16; tf32: fp32 in memory
std::size_t input_bytes(GemmType type);
std::size_t output_bytes(GemmType type);

// The library is not here or refuses the product; one line.
class CublasUnavailable : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// C [n][m] = B [n][k] A^T, accumulated in fp32, `batch` times. A is [m][k], or [k][m] where `depth_in_rows` says so;
// all are stored row by row. `leading` is the distance of rows in elements, `stride` that of the batch's matrices.
struct GemmShape {
  GemmType type = GemmType::bf16;
  bool wide_result = false;  // C in fp32 whatever the type
  bool depth_in_rows = false;
  std::int64_t m = 0, n = 0, k = 0;
  std::int64_t leading_a = 0, leading_b = 0, leading_c = 0;
  std::int64_t batch = 1;
  std::int64_t stride_a = 0, stride_b = 0, stride_c = 0;
};

// Made once: the algorithm is the first that the library's heuristics propose with 32 MiB of workspace.
class CublasGemm {
 public:
  CublasGemm(harness::gpu::Device& device, const GemmShape& shape);
  // C [n][m] = B [n][k] A [m][k]^T: both inputs have k contiguous, the layout that every type takes. `leading` is the
  // distance of rows of A and B in elements (k where 0).
  CublasGemm(harness::gpu::Device& device, GemmType type, std::int64_t m, std::int64_t n, std::int64_t k,
             std::int64_t leading = 0);
  ~CublasGemm();
  CublasGemm(CublasGemm&&) noexcept;
  CublasGemm(const CublasGemm&) = delete;
  // Enqueues on the device's stream.
  void operator()(const void* a, const void* b, void* c) const;

 private:
  struct Plan;
  std::unique_ptr<Plan> plan_;
};

}  // namespace assay::substrate::cuda
