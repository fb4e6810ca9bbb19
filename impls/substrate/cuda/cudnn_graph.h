#pragma once
// Operation graphs of cuDNN through its backend API, opened at run time. The entry points and constants it needs are
// declared in the source as the ABI of cuDNN 9 has them; a build needs no header of it.
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "harness/gpu/device_buffer.h"

namespace assay::substrate::cuda {

// The library is not here or has no engine for the graph; one line.
class CudnnUnavailable : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Tensors of four dimensions, [batch, head, row, column] with any strides. Operations are added in order, then `plan`
// chooses an engine, then the graph can be enqueued any number of times.
class CudnnGraph {
 public:
  enum class Type : int { f32 = 0, f16 = 2, int32 = 4, bf16 = 9, boolean = 11 };
  enum class Pointwise : int {
    add = 0,
    multiply = 1,
    divide = 6,
    subtract = 9,
    exp = 13,
    log = 15,
    greater_or_equal = 303,
    index = 501,   // the position along `axis`
    select = 601,  // x where t, else b
  };
  enum class Reduction : int { sum = 0, max = 3 };
  using Shape = std::array<std::int64_t, 4>;
  struct Tensor {
    std::int64_t id;  // from 1; 0 is none
  };
  static constexpr Tensor none{0};

  // Names or paths of the library.
  explicit CudnnGraph(harness::gpu::Device& device,
                      const std::vector<std::string>& libraries = {"libcudnn.so.9", "libcudnn.so"});
  ~CudnnGraph();
  CudnnGraph(const CudnnGraph&) = delete;
  CudnnGraph& operator=(const CudnnGraph&) = delete;

  Tensor tensor(Type type, const Shape& dims, const Shape& strides);  // at an address given to `enqueue`
  Tensor scalar(float value);
  Tensor scalar(std::int32_t value);
  // Of an operation, never in memory.
  Tensor between(Type type, const Shape& dims, const Shape& strides);

  void matmul(Tensor a, Tensor b, Tensor c);
  void pointwise(Pointwise mode, Tensor x, Tensor b, Tensor y, Type precision = Type::f32, Tensor t = none,
                 std::int64_t axis = -1);
  void reduce(Reduction mode, Tensor x, Tensor y);

  // Throws CudnnUnavailable where no engine takes the graph.
  void plan();
  // On the device's stream.
  struct Bound {
    Tensor tensor = none;
    void* data = nullptr;
  };
  void enqueue(const std::vector<Bound>& tensors) const;

  int version() const;  // 91900 is 9.19.0

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace assay::substrate::cuda
