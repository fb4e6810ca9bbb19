// Attention composed of library calls, as it was before fused kernels: Q K^T by cuBLASLt, a softmax kernel, P V by
// cuBLASLt. Scores (fp32) and weights (16 bits) go through memory, and the products know nothing of the mask. What a
// fused kernel is held against, on the same inputs.
//
// The query heads of a group lie one after the other, so one product serves them together: [G N, d] against [M, d].
// Groups are taken as many at a time as fit into 4 GiB of scores and weights.
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "impls/attention/cuda/cublas_softmax.h"
#include "impls/attention/cuda/device_case.h"
#include "impls/substrate/cuda/cublas_lt.h"

namespace assay::attention::cuda {
namespace {

using substrate::cuda::CublasGemm;
using substrate::cuda::GemmShape;
using substrate::cuda::GemmType;

constexpr std::int64_t kWorkspace = std::int64_t{4} << 30;

struct Shape {
  std::int64_t groups;  // B Hkv
  std::int64_t rows;    // G N
  std::int64_t pitch;   // of scores, in elements
  std::int64_t at_once;

  explicit Shape(const Problem& p)
      : groups(std::int64_t{p.batch} * p.kv_heads),
        rows(std::int64_t{p.group()} * p.queries),
        pitch(rounded_up(p.keys, 8)),
        at_once(std::clamp<std::int64_t>(kWorkspace / (rows * pitch * 6), 1, groups)) {}
};

// Both products for `count` groups.
struct Products {
  Products(Device& device, const Problem& p, const Shape& shape, std::int64_t count)
      : groups(count), scores(device, scores_of(p, shape, count)), output(device, output_of(p, shape, count)) {}

  static GemmShape scores_of(const Problem& p, const Shape& shape, std::int64_t count) {
    return {.type = p.dtype == DType::bf16 ? GemmType::bf16 : GemmType::fp16,
            .wide_result = true,
            .m = p.keys,
            .n = shape.rows,
            .k = p.head_dim,
            .leading_a = p.head_dim,
            .leading_b = p.head_dim,
            .leading_c = shape.pitch,
            .batch = count,
            .stride_a = std::int64_t{p.keys} * p.head_dim,
            .stride_b = shape.rows * p.head_dim,
            .stride_c = shape.rows * shape.pitch};
  }
  static GemmShape output_of(const Problem& p, const Shape& shape, std::int64_t count) {
    return {.type = p.dtype == DType::bf16 ? GemmType::bf16 : GemmType::fp16,
            .depth_in_rows = true,
            .m = p.head_dim,
            .n = shape.rows,
            .k = p.keys,
            .leading_a = p.head_dim,
            .leading_b = shape.pitch,
            .leading_c = p.head_dim,
            .batch = count,
            .stride_a = std::int64_t{p.keys} * p.head_dim,
            .stride_b = shape.rows * shape.pitch,
            .stride_c = shape.rows * p.head_dim};
  }

  std::int64_t groups;
  CublasGemm scores, output;
};

struct Composed {
  std::vector<Products> products;  // for a full round, and for what is left over in the last
  DeviceBuffer<float> scores;
  DeviceBuffer<std::uint16_t> weights;
};

DeviceTechnique make(const Problem& p, Device& device) {
  const Shape shape(p);
  const auto elements = static_cast<std::size_t>(shape.at_once * shape.rows * shape.pitch);
  const auto held = std::make_shared<Composed>(Composed{{}, {device, elements}, {device, elements}});
  held->products.emplace_back(device, p, shape, shape.at_once);
  if (const std::int64_t rest = shape.groups % shape.at_once; rest > 0)
    held->products.emplace_back(device, p, shape, rest);
  return {[=, &device](const DeviceTensors& tensors) {
    for (std::int64_t first = 0; first < shape.groups; first += shape.at_once) {
      const Products& now = held->products[shape.groups - first >= shape.at_once ? 0 : 1];
      const std::int64_t queries = first * shape.rows * p.head_dim * 2;
      const std::int64_t keys = first * p.keys * p.head_dim * 2;
      now.scores(tensors.k.data() + keys, tensors.q.data() + queries, held->scores.data());
      composed_softmax({.scores = held->scores.data(),
                        .weights = held->weights.data(),
                        .lse = tensors.lse.data() + first * shape.rows,
                        .rows = now.groups * shape.rows,
                        .pitch = static_cast<int>(shape.pitch),
                        .mask = {p.queries, p.keys, p.causal, p.diagonal},
                        .scale = p.scale},
                       element_type(p.dtype), device.stream());
      now.output(tensors.v.data() + keys, held->weights.data(), tensors.o.data() + queries);
    }
  }};
}

void run(harness::State& state) {
  const Problem p = read_device_problem(state);
  const Shape shape(p);
  const double issued = 4.0 * static_cast<double>(shape.groups * shape.rows) * static_cast<double>(p.keys) * p.head_dim;
  try {
    run_on_device(state, p, {.issued = issued}, make);
  } catch (const substrate::cuda::CublasUnavailable& absent) {
    state.skip(absent.what());
  }
}

const harness::Registration registration({
    .id = "attention/cublas-attention",
    .title = "Attention composed of cuBLAS products",
    .paper = "baseline",
    .summary = "Q K^T and P V by cuBLASLt with a softmax kernel between them; scores through memory",
    .implementations = {{.backend = "cuda",
                         .axes = device_axes(),
                         .run = run,
                         .source_file = __FILE__,
                         .verified = false,
                         .needs = "sm_80, sm_90; cuBLAS"}},
});

}  // namespace
}  // namespace assay::attention::cuda
