#pragma once
// One operator of a rank program as the device models see it: what it computes and moves, in base units.
#include <cstdint>
#include <string_view>

namespace assay::substrate {

enum class OpKind : std::uint8_t { gemm, attention, attention_backward, pointwise, norm, copy };

constexpr std::string_view to_string(OpKind kind) {
  switch (kind) {
    case OpKind::gemm:
      return "gemm";
    case OpKind::attention:
      return "attention";
    case OpKind::attention_backward:
      return "attention_backward";
    case OpKind::pointwise:
      return "pointwise";
    case OpKind::norm:
      return "norm";
    case OpKind::copy:
      return "copy";
  }
  return "?";
}

// The element type the matrix unit sees; it names the peak (`peak_<dtype>`) of a device descriptor.
enum class OpDtype : std::uint8_t { bf16, fp16, tf32, fp32, fp8, int8 };

constexpr std::string_view to_string(OpDtype dtype) {
  switch (dtype) {
    case OpDtype::bf16:
      return "bf16";
    case OpDtype::fp16:
      return "fp16";
    case OpDtype::tf32:
      return "tf32";
    case OpDtype::fp32:
      return "fp32";
    case OpDtype::fp8:
      return "fp8";
    case OpDtype::int8:
      return "int8";
  }
  return "?";
}

// How an attention kernel walks the score matrix; schedules differ in traffic, in work besides the two products, and in
// what they can spread over units.
enum class AttentionSchedule : std::uint8_t {
  flash2,         // a task per (batch, head, query tile); O and the softmax state stay in registers (arXiv 2307.08691)
  flash1,         // a task per (batch, head); warps split the keys, O is rescaled in every block (arXiv 2205.14135)
  materialised,   // scores and probabilities go through device memory
  mem_efficient,  // key chunks whose partial results go through device memory (arXiv 2112.05682)
};

struct OpWork {
  OpKind kind = OpKind::pointwise;
  OpDtype dtype = OpDtype::bf16;
  double flops = 0;  // executed FLOPs; masked-out blocks are not counted
  double bytes = 0;  // device memory traffic, each operand once
  double exps = 0;   // exponentials, attention only
  // gemm: C[m, n] += A[m, k] B[k, n], `batch` times. pointwise and norm: m rows of n results; 0 where unknown.
  std::int64_t m = 0, n = 0, k = 0;
  std::int64_t batch = 1;
  // attention: `sequence` query rows against `keys` key rows of one head; heads, kv_heads and batch multiply it.
  std::int64_t sequence = 0, keys = 0, heads = 0, kv_heads = 0, head_dim = 0;
  bool causal = false;  // the last query sees the last key
  AttentionSchedule schedule = AttentionSchedule::flash2;

  bool operator==(const OpWork&) const = default;
};

}  // namespace assay::substrate
