// Attention by cuDNN: the graph that its fused attention engines recognise (scaled dot-product attention of the graph
// API: product, scale, mask, softmax, product), on the same inputs as the kernels it stands beside.
//
//   S = scale Q K^T;  S = S where row + (M - N) >= column, else -infinity;  m = max S;  P = exp(S - m);  l = sum P
//   LSE = m + log l;  O = (P / l) V
#include <limits>
#include <memory>

#include "impls/attention/cuda/device_case.h"
#include "impls/substrate/cuda/cudnn_graph.h"

namespace assay::attention::cuda {
namespace {

using substrate::cuda::CudnnGraph;
using Pointwise = CudnnGraph::Pointwise;
using Reduction = CudnnGraph::Reduction;
using Shape = CudnnGraph::Shape;
using Tensor = CudnnGraph::Tensor;
using Type = CudnnGraph::Type;

struct AttentionGraph {
  AttentionGraph(const Problem& p, Device& device) : graph(device) {
    const std::int64_t b = p.batch;
    const std::int64_t h = p.heads;
    const std::int64_t kv = p.kv_heads;
    const std::int64_t n = p.queries;
    const std::int64_t m = p.keys;
    const std::int64_t d = p.head_dim;
    const Type element = p.dtype == DType::bf16 ? Type::bf16 : Type::f16;
    q = graph.tensor(element, {b, h, n, d}, {h * n * d, n * d, d, 1});
    k = graph.tensor(element, {b, kv, d, m}, {kv * m * d, m * d, 1, d});  // K^T
    v = graph.tensor(element, {b, kv, m, d}, {kv * m * d, m * d, d, 1});
    o = graph.tensor(element, {b, h, n, d}, {h * n * d, n * d, d, 1});
    lse = graph.tensor(Type::f32, {b, h, n, 1}, {h * n, n, 1, 1});
    const auto square = [&](Type type) { return graph.between(type, {b, h, n, m}, {h * n * m, n * m, m, 1}); };
    const auto column = [&] { return graph.between(Type::f32, {b, h, n, 1}, {h * n, n, 1, 1}); };
    const auto applied = [&](Pointwise mode, Tensor x, Tensor with, Tensor y) {
      graph.pointwise(mode, x, with, y);
      return y;
    };

    const Tensor product = square(Type::f32);
    graph.matmul(q, k, product);
    Tensor scores = applied(Pointwise::multiply, product, graph.scalar(p.scale), square(Type::f32));
    if (p.causal) scores = masked(scores, p, square);
    const Tensor top = column();
    graph.reduce(Reduction::max, scores, top);
    const Tensor shifted = applied(Pointwise::subtract, scores, top, square(Type::f32));
    const Tensor powers = applied(Pointwise::exp, shifted, CudnnGraph::none, square(Type::f32));
    const Tensor sum = column();
    graph.reduce(Reduction::sum, powers, sum);
    const Tensor logarithm = applied(Pointwise::log, sum, CudnnGraph::none, column());
    graph.pointwise(Pointwise::add, top, logarithm, lse);
    const Tensor weights = applied(Pointwise::divide, powers, sum, square(element));
    graph.matmul(weights, v, o);
    graph.plan();
  }

  // Bottom-right: row + keys - queries >= column. The engines look for these very steps, in int32.
  template <class Square>
  Tensor masked(Tensor scores, const Problem& p, const Square& square) {
    const Tensor row = square(Type::int32);
    const Tensor key = square(Type::int32);
    graph.pointwise(Pointwise::index, scores, CudnnGraph::none, row, Type::f32, CudnnGraph::none, 2);
    graph.pointwise(Pointwise::index, scores, CudnnGraph::none, key, Type::f32, CudnnGraph::none, 3);
    const Tensor ahead = square(Type::int32);
    const Tensor diagonal = square(Type::int32);
    graph.pointwise(Pointwise::add, row, graph.scalar(std::int32_t{p.diagonal + p.queries}), ahead, Type::int32,
                    CudnnGraph::none, 3);
    graph.pointwise(Pointwise::subtract, ahead, graph.scalar(std::int32_t{p.queries}), diagonal, Type::int32,
                    CudnnGraph::none, 3);
    const Tensor seen = square(Type::boolean);
    graph.pointwise(Pointwise::greater_or_equal, diagonal, key, seen, Type::boolean);
    // Versions before 9.10 take the least number for minus infinity.
    const Tensor nothing = graph.scalar(graph.version() < 91000 ? std::numeric_limits<float>::lowest()
                                                                : -std::numeric_limits<float>::infinity());
    const Tensor kept = square(Type::f32);
    graph.pointwise(Pointwise::select, scores, nothing, kept, Type::f32, seen);
    return kept;
  }

  void run(const DeviceTensors& tensors) const {
    graph.enqueue({{q, tensors.q.data()},
                   {k, tensors.k.data()},
                   {v, tensors.v.data()},
                   {o, tensors.o.data()},
                   {lse, tensors.lse.data()}});
  }

  CudnnGraph graph;
  Tensor q = CudnnGraph::none, k = q, v = q, o = q, lse = q;
};

DeviceTechnique make(const Problem& p, Device& device) {
  const auto held = std::make_shared<const AttentionGraph>(p, device);
  return {[held](const DeviceTensors& tensors) { held->run(tensors); }};
}

void run(harness::State& state) {
  const Problem p = read_device_problem(state);
  try {
    run_on_device(state, p, {}, make);
  } catch (const substrate::cuda::CudnnUnavailable& absent) {
    state.skip(absent.what());
  }
}

const harness::Registration registration({
    .id = "attention/cudnn-attention",
    .title = "Attention of cuDNN",
    .paper = "baseline",
    .summary = "the fused attention engine that cuDNN's heuristics choose, through its graph API",
    .implementations = {{.backend = "cuda",
                         .axes = device_axes(),
                         .run = run,
                         .source_file = __FILE__,
                         .verified = false,
                         .needs = "sm_80, sm_90; cuDNN 9"}},
});

}  // namespace
}  // namespace assay::attention::cuda
