#pragma once
// The backward pass of a problem in host memory, for the kernels of either path.
#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "cuda_for_tests.h"
#include "impls/attention/cuda/flash_attention_3_backward.h"
#include "impls/attention/gradients.h"
#include "impls/substrate/random.h"

namespace assay::attention::cuda {

// Runs the kernels in the emulator; launches as emulator/kernels.h has them.
using EmulatedBackward = emulator::Findings (*)(const BackwardProblem&, int head_dim, ElementType,
                                                std::vector<emulator::Region>&, std::uint64_t order);

// A problem with dO drawn, O and LSE of float64, and room for the gradients.
struct Backward {
  Problem p;
  Storage storage;                // Q, K, V, O, LSE
  Storage gradients;              // dQ, dK, dV in the places of Q, K, V; dO in that of O
  std::vector<Words4> dots, sum;  // on 16 bytes

  // Workspace in floats.
  Backward(const Problem& of, std::int64_t row_dots, std::int64_t d_q_sum)
      : p(of),
        storage(of),
        gradients(of),
        dots(static_cast<std::size_t>(row_dots + 3) / 4),
        sum(static_cast<std::size_t>(d_q_sum + 3) / 4) {
    const Tensors& t = storage.tensors();
    draw_inputs(p, InputLaw::normal, 31, t);
    substrate::Random random(32);
    for (int b = 0; b < p.batch; ++b) {
      for (int h = 0; h < p.heads; ++h) {
        for (int i = 0; i < p.queries; ++i) {
          const ExactRow row = exact_row(p, t, b, h, i);
          t.lse_at(p, b, h, i) = static_cast<float>(row.lse);
          for (int c = 0; c < p.head_dim; ++c) {
            t.o.store(b, h, i, c, static_cast<float>(row.o[static_cast<std::size_t>(c)]));
            gradients.tensors().o.store(b, h, i, c, static_cast<float>(random.normal()));
          }
        }
      }
    }
  }

  GradientTensors tensors() const {
    const Tensors& g = gradients.tensors();
    return {.d_o = g.o, .d_q = g.q, .d_k = g.k, .d_v = g.v};
  }

  BackwardProblem problem() {
    const Tensors& t = storage.tensors();
    const GradientTensors g = tensors();
    BackwardProblem out{.forward = forward_problem(p, t)};
    out.d_o = matrix(g.d_o);
    out.d_q = matrix(g.d_q);
    out.d_k = matrix(g.d_k);
    out.d_v = matrix(g.d_v);
    out.row_dots = reinterpret_cast<float*>(dots.data());
    out.d_q_sum = reinterpret_cast<float*>(sum.data());
    return out;
  }

  // Every gradient must be written once.
  emulator::Findings run(EmulatedBackward kernels, std::uint64_t order = 0) {
    const Tensors& t = storage.tensors();
    const GradientTensors g = tensors();
    const std::size_t q = storage.output().size();
    const std::size_t k = static_cast<std::size_t>(p.batch) * p.kv_heads * p.keys * p.head_dim * size_of(p.dtype);
    std::fill_n(g.d_q.data, q, std::byte{0xff});
    std::fill_n(g.d_k.data, k, std::byte{0xff});
    std::fill_n(g.d_v.data, k, std::byte{0xff});
    std::vector<emulator::Region> memory = {{t.q.data, q, false},
                                            {t.k.data, k, false},
                                            {t.v.data, k, false},
                                            {t.o.data, q, false},
                                            {t.lse, storage.lse().size(), false},
                                            {g.d_o.data, q, false},
                                            {g.d_q.data, q, true},
                                            {g.d_k.data, k, true},
                                            {g.d_v.data, k, true},
                                            {dots.data(), dots.size() * sizeof(Words4), true},
                                            {sum.data(), sum.size() * sizeof(Words4), true}};
    const emulator::Findings found = kernels(problem(), p.head_dim, element_type(p.dtype), memory, order);
    memory.resize(9);  // D and the sums of dQ are scratch
    expect_each_byte_written_once(memory, "gradients");
    return found;
  }

  harness::Check compare() { return GradientReference(p, storage.tensors(), tensors().d_o, 1).compare(tensors()); }
};

// Both element types, all head sizes, lengths that divide nothing, causal and full: the gradients of float64, no race,
// no bank conflict. `make` gives the problem its workspace.
template <class Make>
void expect_gradients_of_float64(EmulatedBackward kernels, const Make& make) {
  struct Shape {
    int queries, keys;
  };
  for (const DType dtype : {DType::bf16, DType::f16}) {
    for (const int head_dim : {64, 128, 256}) {
      for (const Shape shape : {Shape{1, 1}, {70, 140}, {150, 40}}) {
        for (const bool causal : {false, true}) {
          if ((dtype == DType::f16) != causal && head_dim != 64) continue;  // half of the slow ones
          Backward backward = make(aligned({.queries = shape.queries,
                                            .keys = shape.keys,
                                            .heads = 2,
                                            .kv_heads = 1,
                                            .head_dim = head_dim,
                                            .dtype = dtype,
                                            .causal = causal}));
          const std::string what = fmt::format("{} d={} N={} M={} causal={}", substrate::to_string(dtype), head_dim,
                                               shape.queries, shape.keys, causal);
          const emulator::Findings found = backward.run(kernels);
          EXPECT_EQ(found.fault_count, 0) << what << ": " << first_fault(found);
          EXPECT_EQ(found.bank_conflicts, 0) << what << " in " << found.wavefronts << " passes";
          const harness::Check check = backward.compare();
          EXPECT_LE(check.error, 1) << what << ": " << check.detail;
          EXPECT_EQ(check.coverage, 1) << what;
        }
      }
    }
  }
}

}  // namespace assay::attention::cuda
